"""Pulls towards the weights that an experience began with: adaptive (Eq. 6) or plain l2."""

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from avalanche_gift.consolidation import consolidate_, snapshot, trainable_parameters
from avalanche_gift.training.loss_terms import record_term, show_in_loss


class _ConsolidationPlugin(SupervisedPlugin):
    """Keeps theta_prev for the length of an experience and adds the pull in closed form, tensor by tensor."""

    supports_distributed = True
    adaptive: bool
    term: str

    def __init__(self, weight: float = 1.0):
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"expected a consolidation weight >= 0, got {weight}")
        self.weight = weight
        self._theta_prev: dict[str, Tensor] = {}
        self._penalty: Tensor | None = None

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._theta_prev = snapshot(trainable_parameters(strategy.model))

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._theta_prev, self._penalty = {}, None

    def _consolidate(self, strategy: Any) -> None:
        penalties = [
            consolidate_(parameter, self._theta_prev[name], weight=self.weight, adaptive=self.adaptive)
            for name, parameter in trainable_parameters(strategy.model)
            if name in self._theta_prev
        ]
        self._penalty = torch.stack(penalties).sum()
        record_term(strategy, self.term, self._penalty)


class AdaptiveWeightConsolidationPlugin(_ConsolidationPlugin):
    """Weights the pull towards theta_prev by the squared gradient that stands in `.grad` before the task's forward pass.

    List it after `SyntheticReplayPlugin`, whose losses leave that gradient. The Fisher weights average one in each tensor
    and are made anew at every step; they are never stored. weight: lambda of the reference, 1.
    """

    adaptive, term = True, "awc"

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        if all(parameter.grad is None for _, parameter in trainable_parameters(strategy.model)):
            raise ValueError(
                "adaptive weight consolidation expects the gradient of a synthetic loss, got none: list a "
                "SyntheticReplayPlugin with distillation or alignment before it, or use L2ConsolidationPlugin"
            )
        self._consolidate(strategy)

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self._penalty is not None:
            show_in_loss(strategy, self._penalty)


class L2ConsolidationPlugin(_ConsolidationPlugin):
    """`weight * sum (theta - theta_prev)^2` over all trained parameters: the l2 baseline."""

    adaptive, term = False, "l2"

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        self._consolidate(strategy)
        assert self._penalty is not None
        show_in_loss(strategy, self._penalty)
