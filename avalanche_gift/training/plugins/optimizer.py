"""The optimiser of the paper's protocol: all of CLIP but its logit_scale, new for every experience."""

from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor, nn

from avalanche_gift import distributed
from avalanche_gift.consolidation import trainable_parameters

if TYPE_CHECKING:
    from torch.distributed.optim import ZeroRedundancyOptimizer

FUSED_DEVICES = ("cpu", "cuda")


def clip_optimizer(
    model: nn.Module,
    *,
    lr: float = 1e-5,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    shard: bool = False,
) -> torch.optim.Optimizer:
    """AdamW over every parameter that carries gradient; a `CLIPClassifier` has frozen its logit_scale.

    In one fused kernel, which needs no temporaries, where torch has one for the device.
    shard: each of several processes keeps the moments of its share of the tensors, about as many weights as every other, and
    sends the others what it makes of them (ZeRO 1, by torch's ZeroRedundancyOptimizer). The numbers are the same.

    Raises ValueError for `shard` in one process, and for a model whose parameters differ in dtype.
    """
    parameters = [parameter for _, parameter in trainable_parameters(model)]
    fused = all(parameter.device.type in FUSED_DEVICES for parameter in parameters) or None
    options: Any = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "fused": fused}
    if not shard:
        return torch.optim.AdamW(parameters, **options)
    distributed.check_several("shard_optimizer")
    from torch.distributed.optim import ZeroRedundancyOptimizer  # takes a second to import

    return ZeroRedundancyOptimizer(parameters, torch.optim.AdamW, **options)


def own_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimiser that holds the moments of this process: of a sharded one, that of its share."""
    return optimizer.optim if _is_sharded(optimizer) else optimizer


def gather_moments(optimizer: torch.optim.Optimizer) -> None:
    """For all processes together: the first gets the moments of all, for `moments`, into the memory of its CPU.

    Does nothing unless the optimiser is sharded.
    """
    if _is_sharded(optimizer):
        optimizer.consolidate_state_dict()


def moments(optimizer: torch.optim.Optimizer) -> dict[Tensor, dict[str, Any]]:
    """What the optimiser keeps of each parameter it has moved; of a sharded one as of the last `gather_moments`."""
    if not _is_sharded(optimizer):
        return optimizer.state
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {parameters[number]: values for number, values in optimizer.state_dict()["state"].items()}


def _is_sharded(optimizer: torch.optim.Optimizer) -> TypeGuard["ZeroRedundancyOptimizer"]:
    """Without the import where none can be."""
    if distributed.size() == 1:
        return False
    from torch.distributed.optim import ZeroRedundancyOptimizer

    return isinstance(optimizer, ZeroRedundancyOptimizer)


class FreshOptimizerPlugin(SupervisedPlugin):
    """Starts every experience with an empty optimiser, as a new one would be; Avalanche keeps the state by default.

    Avalanche also puts every parameter of the model into the optimiser. Frozen ones have no gradient and are skipped, which
    is how logit_scale stays out.
    """

    supports_distributed = True

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        own_optimizer(strategy.optimizer).state.clear()
