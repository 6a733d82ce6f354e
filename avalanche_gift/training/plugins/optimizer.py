"""The optimiser of the paper's protocol: all of CLIP but its logit_scale, new for every experience."""

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import nn

from avalanche_gift.consolidation import trainable_parameters

FUSED_DEVICES = ("cpu", "cuda")


def clip_optimizer(
    model: nn.Module, *, lr: float = 1e-5, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0
) -> torch.optim.AdamW:
    """AdamW over every parameter that carries gradient; a `CLIPClassifier` has frozen its logit_scale.

    In one fused kernel, which needs no temporaries, where torch has one for the device.
    """
    parameters = [parameter for _, parameter in trainable_parameters(model)]
    fused = all(parameter.device.type in FUSED_DEVICES for parameter in parameters) or None
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=fused)


class FreshOptimizerPlugin(SupervisedPlugin):
    """Starts every experience with an empty optimiser, as a new one would be; Avalanche keeps the state by default.

    Avalanche also puts every parameter of the model into the optimiser. Frozen ones have no gradient and are skipped, which
    is how logit_scale stays out.
    """

    supports_distributed = True

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        strategy.optimizer.state.clear()
