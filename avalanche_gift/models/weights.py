"""Telling whether a model's weights have changed, without looking at them."""

from typing import Any

from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

_optimizer_steps = 0


def _count_step(*_: Any) -> None:
    global _optimizer_steps
    _optimizer_steps += 1


# PyTorch counts in-place changes of each tensor itself, except those of its fused optimisers.
register_optimizer_step_post_hook(_count_step)


def weights_version(module: nn.Module) -> tuple[Any, ...]:
    """Equal as long as no parameter was replaced or changed in place, and no optimiser has stepped, in between."""
    return (_optimizer_steps, *((parameter.data_ptr(), parameter._version) for parameter in module.parameters()))
