"""Pulls towards the weights that an experience began with: adaptive (Eq. 6) or plain l2."""

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor, nn

from avalanche_gift.consolidation import consolidate_, consolidate_adaptively_, snapshot, trainable_parameters
from avalanche_gift.training.loss_terms import record_term, show_in_loss


class ConsolidationPlugin(SupervisedPlugin):
    """What all pulls share: keeps theta_prev for the length of an experience and adds the pull in closed form, tensor by
    tensor. Subclasses say how much each weight counts (`fisher`), or pull in their own way (`pull`), and call `consolidate`
    at the hook that suits them.
    """

    supports_distributed = True
    term: str

    def __init__(self, weight: float = 1.0):
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"expected a consolidation weight >= 0, got {weight}")
        self.weight = weight
        self._anchor: dict[str, Tensor] = {}
        self._penalty: Tensor | None = None

    def fisher(self, name: str, parameter: nn.Parameter) -> Tensor | float:
        """How much each weight counts: shape of the parameter, or one number for all of it."""
        return 1.0

    def pull(self, name: str, parameter: nn.Parameter, anchor: Tensor) -> Tensor:
        """Adds the gradient of one tensor's penalty to its `.grad`; returns the penalty, a scalar."""
        return consolidate_(parameter, anchor, weight=self.weight, fisher=self.fisher(name, parameter))

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._anchor = snapshot(trainable_parameters(strategy.model))

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self._penalty is not None:
            show_in_loss(strategy, self._penalty)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._anchor, self._penalty = {}, None

    def consolidate(self, strategy: Any) -> None:
        """Adds the gradient of the penalty to `.grad` and notes its value."""
        penalties = [
            self.pull(name, parameter, self._anchor[name])
            for name, parameter in trainable_parameters(strategy.model)
            if name in self._anchor
        ]
        self._penalty = torch.stack(penalties).sum()
        record_term(strategy, self.term, self._penalty)


class AdaptiveWeightConsolidationPlugin(ConsolidationPlugin):
    """Weights the pull towards theta_prev by the squared gradient that stands in `.grad` before the task's forward pass.

    List it after `SyntheticReplayPlugin`, whose losses leave that gradient. The Fisher weights average one in each tensor
    and are made anew at every step; they are never stored. weight: lambda of the reference, 1.
    """

    term = "awc"

    def pull(self, name: str, parameter: nn.Parameter, anchor: Tensor) -> Tensor:
        """By the gradient in `.grad`."""
        return consolidate_adaptively_(parameter, anchor, weight=self.weight)

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        if all(parameter.grad is None for _, parameter in trainable_parameters(strategy.model)):
            raise ValueError(
                "adaptive weight consolidation expects the gradient of a synthetic loss, got none: list a "
                "SyntheticReplayPlugin with distillation or alignment before it, or use L2ConsolidationPlugin"
            )
        self.consolidate(strategy)


class L2ConsolidationPlugin(ConsolidationPlugin):
    """`weight * sum (theta - theta_prev)^2` over all trained parameters: the l2 baseline."""

    term = "l2"

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        self.consolidate(strategy)
        super().after_backward(strategy, **kwargs)
