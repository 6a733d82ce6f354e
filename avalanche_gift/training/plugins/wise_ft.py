"""WiSE-FT: weights averaged with those before the experience."""

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from avalanche_gift.consolidation import interpolate, snapshot, trainable_parameters


class WiSEFTPlugin(SupervisedPlugin):
    """After each experience `theta <- (1 - share) * theta + share * theta_prev`; the next one starts from there."""

    supports_distributed = True

    def __init__(self, share: float = 0.2):
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"expected a share of the weights before between 0 and 1, got {share}")
        self.share = share
        self._theta_prev: dict[str, Tensor] = {}

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._theta_prev = snapshot(trainable_parameters(strategy.model))

    @torch.no_grad()
    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        parameters = dict(trainable_parameters(strategy.model))
        for name, merged in interpolate(self._theta_prev, parameters, share_a=self.share).items():
            parameters[name].copy_(merged)
        self._theta_prev = {}
