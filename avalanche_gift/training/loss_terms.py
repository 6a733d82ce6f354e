"""How plugins hand the terms of a step to the loggers: plain values on the strategy, by name."""

from typing import Any

from torch import Tensor


def record_term(strategy: Any, name: str, value: Tensor) -> None:
    """Notes a loss term of the current iteration, a scalar, under `strategy.loss_terms[name]`; detached, not read back."""
    if not hasattr(strategy, "loss_terms"):
        strategy.loss_terms = {}
    strategy.loss_terms[name] = value.detach()


def show_in_loss(strategy: Any, value: Tensor) -> None:
    """Adds a term whose gradient is already in `.grad` to `strategy.loss`, which metrics and loggers read.

    For the hooks after the backward pass, when nothing differentiates `strategy.loss` any more.
    """
    strategy.loss = strategy.loss.detach() + value.detach()
