"""Faster or smaller arithmetic, which changes numbers: off unless asked for."""

from typing import TYPE_CHECKING

import torch

from avalanche_gift.models.loss_scaling import LossScaling
from avalanche_gift.names import check_name

if TYPE_CHECKING:
    from avalanche_gift.models.clip_classifier import CLIPClassifier

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def set_numerics(
    model: "CLIPClassifier",
    *,
    precision: str = "float32",
    compile: bool = False,
    tf32: bool = False,
    gradient_checkpointing: bool = False,
) -> None:
    """Says how a model's towers compute, in training and evaluation, as student and as teacher.

    precision: `bf16` runs the towers under autocast: products of matrices in bfloat16 (three digits), weights, gradients,
    optimiser, features, logits and losses in float32. `fp16` does so in float16 (four digits, and nothing above 65,504), for
    GPUs without bfloat16: losses are scaled up for each backward pass, and a step whose gradient overflows is left out
    (`models.loss_scaling`). It is for this package's strategies: `FineTune` and what is built on it.
    compile: the towers' blocks by torch.compile; sums in another order, so differences are rounding.
    tf32: products of float32 matrices with ten bits of mantissa on GPUs that can; for all of PyTorch in this process.
    gradient_checkpointing: the blocks are computed again in the backward pass instead of kept, a third more time for a
    fraction of the memory; the same numbers.

    Raises ValueError for an unknown precision, and for towers without blocks to compile or to compute again.
    """
    model.train(model.training)  # forgets the class features of another precision
    model.autocast_dtype = PRECISIONS[check_name("precision", precision, PRECISIONS)]
    model.loss_scaling = LossScaling() if model.autocast_dtype == torch.float16 else None
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    if gradient_checkpointing:
        if not hasattr(model.clip, "set_grad_checkpointing"):
            raise ValueError(f"expected an open_clip model for gradient checkpointing, got {type(model.clip).__name__}")
        model.clip.set_grad_checkpointing(True)
    if compile:
        blocks = [module for name, module in model.clip.named_modules() if name.rpartition(".")[0].endswith("resblocks")]
        if not blocks:
            raise ValueError(f"expected towers of open_clip's blocks to compile, got {type(model.clip).__name__} without")
        for block in blocks:  # they share their code, so that this takes as long as compiling one
            block.compile()
