"""Plain Avalanche strategies over the made world, for tests of plugins by themselves."""

from avalanche.core import SupervisedPlugin
from avalanche.training.supervised import Naive
from torch import nn
from world import BASE_PROMPTS, MadePictures, quiet, tiny_model

from avalanche_gift.training.plugins import SyntheticReplayPlugin, clip_optimizer


def plain_strategy(*plugins, model=None, strategy=Naive, evaluator=None, lr=1e-3, **kwargs):
    model = tiny_model() if model is None else model
    return strategy(
        model=model,
        optimizer=clip_optimizer(model, lr=lr),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=8,
        train_epochs=1,
        plugins=[*plugins],
        evaluator=quiet() if evaluator is None else evaluator,
        **kwargs,
    )


def replay(source=None, **kwargs):
    settings = {"images": 12, "batch_size": 5, "base_prompts": BASE_PROMPTS, **kwargs}
    return SyntheticReplayPlugin(MadePictures() if source is None else source, **settings)


class Own(SupervisedPlugin):
    """A user's own synthetic loss; `look` sees the strategy and the batch."""

    def __init__(self, look=None):
        super().__init__()
        self.look, self.sizes = look, []

    def synthetic_loss(self, strategy, batch):
        self.sizes.append(len(batch.image_features))
        if self.look is not None:
            self.look(strategy, batch)
        return {"own": 1 - (batch.image_features * batch.text_features).sum(1).mean()}


def gradients(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.clip.named_parameters()}
