"""Loss scaling, without which small gradients of towers in float16 would be zero."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler  # type: ignore[attr-defined]
from torch.nn.utils import get_total_norm


class NonFiniteGradientsError(ArithmeticError):
    """Gradients were NaN or infinite at any scale."""


class LossScaling:
    """Torch's GradScaler for steps of several backward passes, between which `.grad` holds the true gradient.

    To GradScaler each pass is an optimiser of its own, whose gradients it unscales once. The scale is a power of two: scaling
    what earlier passes have left in `.grad` up and down again is exact.

    scale: to begin with. It is halved after a step in which a gradient overflowed, and doubled after 2,000 without.
    """

    def __init__(self, scale: float = 2.0**16):
        self._scaler = GradScaler("cpu", init_scale=scale)  # works on any device: the scale goes where the loss is
        self._passes: list[torch.optim.Optimizer] = []
        self._finite = True

    @property
    def scale(self) -> float:
        """What losses are multiplied by now."""
        return self._scaler.get_scale()

    @contextmanager
    def around(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> Iterator[Tensor]:
        """Around a backward pass: gives the loss to go backward on; afterwards `.grad` is not scaled.

        Where a gradient overflowed, all are zeros afterwards, so that nothing computed from them in this step is NaN.
        """
        scaled = self._scaler.scale(loss)
        if before := _gradients(parameters):
            torch._foreach_mul_(before, self.scale)
        yield scaled
        self._passes.append(torch.optim.SGD(parameters))
        self._scaler.unscale_(self._passes[-1])
        gradients = _gradients(parameters)
        if not get_total_norm(gradients, torch.inf).isfinite():
            self._finite = False
            torch._foreach_zero_(gradients)

    def finish(self) -> bool:
        """Ends a step and adapts the scale; whether the gradients of all its passes were finite.

        Raises NonFiniteGradientsError where they are not although the scale is down at one.
        """
        finite, last = self._finite, self.scale
        self._scaler.update()
        self._passes, self._finite = [], True
        if not finite and last <= 1:
            raise NonFiniteGradientsError(
                "expected finite gradients, got NaN or infinity although losses are no longer scaled up; use --precision bf16 "
                "or float32, lower the learning rate or look at this experience's pictures"
            )
        return finite

    def state_dict(self) -> dict[str, Any]:
        """The scale, the steps since it changed, and GradScaler's constants: plain numbers."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self._scaler.load_state_dict(state)


def _gradients(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]
