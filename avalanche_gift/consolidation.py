"""Weight consolidation as pure functions on parameters: snapshots, Fisher weights, penalty and its gradient (Eq. 6)."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

NO_GRADIENT_FISHER = 1e-6
"""Fisher weight of a parameter that the synthetic losses do not reach at all, as in the reference code."""


def trainable_parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that carry gradient, with their names, in the module's order."""
    return [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]


def snapshot(named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Detached copies by name: `theta_prev` when taken as an experience begins, `theta_initial` before all of them."""
    return {name: tensor.detach().clone() for name, tensor in named}


def interpolate(theta_a: Mapping[str, Tensor], theta_b: Mapping[str, Tensor], *, share_a: float) -> dict[str, Tensor]:
    """`share_a * theta_a + (1 - share_a) * theta_b`, name by name (WiSE-FT; the teacher `wise:R` has R of theta_initial).

    Tensors that are not floating point are theta_b's. Raises ValueError for a share outside [0, 1] or for unequal names.
    """
    if not 0 <= share_a <= 1:
        raise ValueError(f"expected a share between 0 and 1, got {share_a}")
    if theta_a.keys() != theta_b.keys():
        raise ValueError(f"expected weights of one model; only one side has {sorted(theta_a.keys() ^ theta_b.keys())[:5]}")
    return {name: torch.lerp(b, theta_a[name].to(b), share_a) if b.is_floating_point() else b for name, b in theta_b.items()}


def fisher_weights(gradient: Tensor | None) -> Tensor | float:
    """Squared gradient divided by its mean over the tensor, so that the weights of each tensor average one.

    gradient: any shape, the batch-mean gradient of the synthetic losses. Zeros where the whole gradient is zero;
    `NO_GRADIENT_FISHER` where there is none. Constant: carries no gradient.
    """
    if gradient is None:
        return NO_GRADIENT_FISHER
    squares = gradient.detach().square()
    mean = squares.mean()
    return squares / mean.where(mean > 0, 1.0)


def consolidation_penalty(parameter: Tensor, anchor: Tensor, fisher: Tensor | float = 1.0) -> Tensor:
    """`sum F (theta - theta_prev)^2` over one tensor; a sum, without one half. A scalar; differentiable in `parameter`."""
    return (fisher * (parameter - anchor).square()).sum()


def consolidation_gradient(parameter: Tensor, anchor: Tensor, fisher: Tensor | float = 1.0) -> Tensor:
    """`2 F (theta - theta_prev)`, the gradient of `consolidation_penalty` in closed form. Shape of the parameter."""
    return 2 * fisher * (parameter - anchor)


@torch.no_grad()
def consolidate_(parameter: nn.Parameter, anchor: Tensor, *, weight: float, fisher: Tensor | float = 1.0) -> Tensor:
    """Adds the gradient of `weight * penalty` to `parameter.grad` and returns that penalty, a scalar.

    fisher: shape of the parameter, or one number for all of it (1: plain l2).
    """
    difference = parameter - anchor
    if isinstance(fisher, Tensor):
        pull = fisher * difference
    else:
        weight, pull = weight * fisher, difference
    if parameter.grad is None:
        parameter.grad = 2 * weight * pull
    else:
        parameter.grad.add_(pull, alpha=2 * weight)
    return weight * torch.dot(pull.flatten(), difference.flatten())


@torch.no_grad()
def consolidate_adaptively_(parameter: nn.Parameter, anchor: Tensor, *, weight: float) -> Tensor:
    """`consolidate_` by the Fisher weights of the gradient in `parameter.grad`, which are never stored.

    With `r` the root mean square of the gradient `g`, the weights are `g^2 / r^2`, and the penalty is the squared length of
    `g (theta - theta_prev) / r`: one temporary of the parameter's size at a time, and no number is read back from a GPU.
    """
    gradient = parameter.grad
    if gradient is None:
        return consolidate_(parameter, anchor, weight=weight, fisher=NO_GRADIENT_FISHER)
    mean = gradient.square().mean()
    root = mean.where(mean > 0, 1.0).sqrt()
    pull = (parameter - anchor).mul_(gradient).div_(root)
    penalty = weight * torch.dot(pull.flatten(), pull.flatten())
    gradient.addcmul_(gradient, pull.mul_(2 * weight / root))
    return penalty
