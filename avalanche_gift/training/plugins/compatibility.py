"""Avalanche's own plugins beside ours: what some of them need of a CLIP model, and which can not work with one.

Most need nothing. The order of a step with those that project gradients: the synthetic losses and adaptive consolidation go
backward before the task, so that AGEMPlugin and GEMPlugin project the sum of all three; the pulls that are added after the
backward pass (`L2ConsolidationPlugin`, `OnlineEWCPlugin`) are not projected.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from avalanche.models import MultiTaskModule
from avalanche.training import plugins as stock
from avalanche.training.plugins import update_fecam, update_ncm
from avalanche.training.templates.base_sgd import PeriodicEval
from torch import Tensor, nn
from torch.fx import Proxy

from avalanche_gift.losses import contrastive_logits
from avalanche_gift.stream_classes import StreamClasses
from avalanche_gift.training.plugins.schedule import WarmupCosinePlugin


class UnsupportedPluginError(ValueError):
    """A plugin of Avalanche's that would fail, or do nothing or something else than it says, in a strategy over CLIP."""


@dataclass(frozen=True)
class Refusal:
    """Why a plugin is refused, what to use instead, and when: `when(plugin, strategy)`, always if None.

    task_incremental: only on task-incremental streams.
    """

    plugin: type
    reason: str
    instead: str
    when: Callable[[Any, Any], bool] | None = None
    task_incremental: bool = False


_NO_HEAD = "needs a last linear layer with a row per class, which CLIP has not"
_NO_PROTOTYPES = "needs a model with an eval_classifier"
_NO_TASK_LABELS = "calls the model without task labels, so that images of other tasks would be told apart among wrong classes"
_ONE_EPOCH = "counts epochs, and an experience is one epoch of train_iterations"


def _without_effect(plugin: Any, strategy: Any) -> bool:
    """Steps after the last iteration of an experience, and then puts the rate back."""
    return plugin.step_granularity == "epoch" and plugin.metric != "val_loss" and plugin.reset_lr


def _never_evaluated(plugin: Any, strategy: Any) -> bool:
    modes = [other.peval_mode for other in strategy.plugins if isinstance(other, PeriodicEval)]
    return strategy.eval_every < 1 or "iteration" not in modes


REFUSALS = (
    Refusal(stock.BiCPlugin, "takes models with one head only", "ReplayPlugin with LwFPlugin"),
    Refusal(stock.CWRStarPlugin, _NO_HEAD, "L2ConsolidationPlugin"),
    Refusal(stock.LFLPlugin, _NO_HEAD, "LwFPlugin or L2ConsolidationPlugin"),
    Refusal(stock.CoPEPlugin, _NO_HEAD, "ReplayPlugin with a ClassBalancedBuffer"),
    *(
        Refusal(each, _NO_PROTOTYPES, "the strategy ICaRL")
        for module in (update_ncm, update_fecam)
        for each in (getattr(module, name) for name in module.__all__)
    ),
    Refusal(stock.FeatureDistillationPlugin, "reads model.features", 'GIFT(distillation="feature")'),
    Refusal(
        stock.GSS_greedyPlugin,
        "clears and fills the gradients in the middle of a step",
        "ReplayPlugin with a ClassBalancedBuffer",
    ),
    Refusal(
        stock.GEMPlugin,
        "needs a quadratic solver that is not installed",
        "AGEMPlugin, or pip install quadprog",
        when=lambda plugin, strategy: find_spec("quadprog") is None,
    ),
    Refusal(
        stock.GenerativeReplayPlugin,
        "takes images from model.generate, unless told otherwise",
        "generator_strategy=...",
        when=lambda plugin, strategy: plugin.generator_strategy in (None, strategy),
    ),
    Refusal(stock.GenerativeReplayPlugin, _NO_TASK_LABELS, "GIFT(synthetic=...)", task_incremental=True),
    Refusal(stock.RARPlugin, _NO_TASK_LABELS, "MIRPlugin", task_incremental=True),
    Refusal(
        stock.RARPlugin,
        'finds layers by their name, and a CLIPClassifier shows it only "features", its image features',
        "name_ext_layer=None",
        when=lambda plugin, strategy: plugin.name_ext_layer not in (None, "features"),
    ),
    Refusal(
        stock.LRSchedulerPlugin,
        f"has no effect with step_granularity='epoch': it {_ONE_EPOCH}",
        'step_granularity="iteration"',
        when=_without_effect,
    ),
    Refusal(
        stock.LRSchedulerPlugin,
        "has a scheduler of another optimizer",
        "optimizer=... with the one that the scheduler was made for",
        when=lambda plugin, strategy: plugin.scheduler.optimizer is not strategy.optimizer,
    ),
    Refusal(
        stock.LRSchedulerPlugin,
        "sets the learning rate, as the strategy's own schedule does",
        "either LRSchedulerPlugin, in plugins=[...], or lr, warmup_iterations and reference_schedule",
        when=lambda plugin, strategy: any(isinstance(other, WarmupCosinePlugin) for other in strategy.plugins),
    ),
    Refusal(
        stock.EarlyStoppingPlugin,
        f"has no effect with peval_mode='epoch': it {_ONE_EPOCH}",
        'peval_mode="iteration"',
        when=lambda plugin, strategy: plugin.peval_mode == "epoch",
    ),
    Refusal(
        stock.EarlyStoppingPlugin,
        "has no effect without evaluations within an experience",
        'eval_every=..., peval_mode="iteration" of the strategy',
        when=_never_evaluated,
    ),
)
"""Everything that is refused. Each becomes one line, at construction or when training begins."""


REMEMBERING = (
    stock.AGEMPlugin,
    stock.GDumbPlugin,
    stock.GEMPlugin,
    stock.GenerativeReplayPlugin,
    stock.LwFPlugin,
    stock.MIRPlugin,
    stock.RARPlugin,
    stock.ReplayPlugin,
)
"""Plugins that keep samples or a teacher by task labels, which mean other classes in another stream."""


def sets_learning_rate(plugins: Any) -> bool:
    """Whether a plugin among them does, so that the strategy's own schedule steps aside."""
    return any(isinstance(plugin, stock.LRSchedulerPlugin) for plugin in plugins)


def admit_plugins(strategy: Any, stream: StreamClasses | None = None) -> None:
    """Prepares the strategy's plugins for a CLIP model. stream: of the data at hand, None before there are any.

    Raises UnsupportedPluginError, which says what to use instead, for one that can not work.
    """
    for plugin in strategy.plugins:
        for refusal in REFUSALS:
            if not isinstance(plugin, refusal.plugin):
                continue
            if refusal.task_incremental and (stream is None or stream.class_incremental):
                continue
            if refusal.when is None or refusal.when(plugin, strategy):
                where = " on a task-incremental stream" if refusal.task_incremental else ""
                raise UnsupportedPluginError(
                    f"expected plugins that work with {type(strategy).__name__}{where}, got {type(plugin).__name__}, which "
                    f"{refusal.reason}; use {refusal.instead}"
                )
        for kind, hook, call in _ADAPTED:
            if isinstance(plugin, kind) and hook not in vars(plugin):
                setattr(plugin, hook, partial(call, getattr(plugin, hook)))


def _call_with(view: Callable[[Any], nn.Module], hook: Callable[..., None], strategy: Any, **kwargs: Any) -> None:
    """Shows a `before_backward` hook a view of the model instead of the model itself."""
    names = ("loss", "optimizer", "_criterion", "device", "mb_x", "mb_y")
    seen = SimpleNamespace(model=view(strategy.model), **{name: getattr(strategy, name) for name in names})
    hook(seen, **kwargs)
    strategy.loss = seen.loss


def _train_again(hook: Callable[..., None], strategy: Any, **kwargs: Any) -> None:
    """Undoes a hook's `model.eval()`, without which the rest of the step would run in evaluation mode."""
    hook(strategy, **kwargs)
    strategy.model.train()


def _constant_images(hook: Callable[..., None], strategy: Any, **kwargs: Any) -> None:
    """Cuts the images that a hook puts into the batch from the graph of their generator, which one backward pass frees."""
    hook(strategy, **kwargs)
    strategy.mbatch[0] = strategy.mbatch[0].detach()


class _TrainedPart(MultiTaskModule):
    """A model whose `parameters()` are those it trains: MIRPlugin asks for the gradient of every one."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def parameters(self, recurse: bool = True) -> Any:
        return (parameter for parameter in super().parameters(recurse) if parameter.requires_grad)

    def forward(self, images: Tensor, task_labels: Tensor) -> Tensor:  # type: ignore[override]
        return self.model(images, task_labels)


class _Layer(nn.Module):
    """A step of the classifier that torch.fx takes as one layer instead of tracing into it."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def compute(self, values: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, values: Tensor) -> Any:
        if isinstance(values, Proxy):
            return values.tracer.create_proxy("call_module", values.tracer.path_of_module(self), (values,), {})  # type: ignore[attr-defined]
        return self.compute(values)


class _ImageFeatures(_Layer):
    def compute(self, values: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, D]."""
        return self.model.encode_image(values)


class _Logits(_Layer):
    def compute(self, values: Tensor) -> Tensor:
        """[N, D] -> logits [N, classes], among the classes of the experience at hand."""
        texts = self.model.class_features()
        logits = contrastive_logits(image_features=values, text_features=texts, logit_scale=self.model.logit_scale)
        return self.model.class_texts.place(logits)


class _Layers(nn.Module):
    """A classifier as two layers, for RARPlugin, which takes the features of the last but one by torch.fx."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.features, self.logits = _ImageFeatures(model), _Logits(model)

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(self.features(images))


_ADAPTED = (
    (stock.MIRPlugin, "before_backward", partial(_call_with, _TrainedPart)),
    (stock.RARPlugin, "before_backward", partial(_call_with, _Layers)),
    (stock.RWalkPlugin, "before_training_iteration", _train_again),
    (stock.GenerativeReplayPlugin, "before_training_iteration", _constant_images),
)
"""The hooks that need help: of which plugin, and how they are called."""
