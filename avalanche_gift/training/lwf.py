"""Learning without forgetting, and its form with a vocabulary of random texts."""

from typing_extensions import Unpack

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.training.options import LwFOptions
from avalanche_gift.training.plugins import LwFPlugin, LwFVRPlugin
from avalanche_gift.training.template import FineTune


class LwF(FineTune):
    """Cross-entropy and distillation from the previous model on the task's own pictures and prompts (`LwFPlugin`).

    distillation_weight: 1 on MTIL, 5 in class-incremental learning. reference_transform: of the images that are distilled on,
    `eval` on MTIL, `train` in class-incremental learning. Other arguments as `FineTune`.
    """

    plugin = LwFPlugin

    def __init__(
        self,
        model: CLIPClassifier,
        *,
        distillation_weight: float = 1.0,
        temperature: float = 2.0,
        reference_transform: str = "eval",
        train_mb_size: int = 64,
        seed: int = 42,
        **base_kwargs: Unpack[LwFOptions],
    ):
        plugin = self.plugin(
            weight=distillation_weight,
            temperature=temperature,
            transform=reference_transform,
            batch_size=train_mb_size,
            seed=seed,
        )
        super().__init__(model=model, train_mb_size=train_mb_size, seed=seed, method_plugins=[plugin], **base_kwargs)


class LwFVR(LwF):
    """`LwF` with 1,000 random texts in place of the task's prompts (`LwFVRPlugin`)."""

    plugin = LwFVRPlugin
