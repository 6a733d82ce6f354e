"""The keyword arguments that strategies hand on to `FineTune`, as types: what editors complete and type checkers read.

Names, defaults and meaning are `FineTune`'s (and `GIFT`'s). A strategy that gives one of them a place in its own signature
takes a set without it, since a name may stand in one of both only.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from avalanche.core import BasePlugin
from avalanche.training.plugins.evaluation import EvaluationPlugin
from torch import Tensor
from typing_extensions import TypedDict

Rates = float | Sequence[float] | Mapping[str, float] | None
"""Learning rates: one, one an experience, by the name of the task, or None for the stream's own."""


class TemplateOptions(TypedDict, total=False):
    """What `FineTune` hands on to Avalanche's `SupervisedTemplate`, beyond its own signature."""

    peval_mode: Literal["epoch", "iteration"]


class CommonOptions(TemplateOptions, total=False):
    """Those that no strategy gives a place of its own."""

    criterion: Callable[[Tensor, Tensor], Tensor] | None
    train_iterations: int | Sequence[int] | None
    train_epochs: int | None
    warmup_iterations: int | None
    reference_schedule: bool
    eval_mb_size: int | None
    device: str | torch.device
    plugins: Sequence[BasePlugin] | None
    evaluator: EvaluationPlugin | Callable[[], EvaluationPlugin]
    eval_every: int
    class_incremental_loss: Literal["step", "seen"]


class MoEAdaptersOptions(CommonOptions, total=False):
    """Of `MoEAdapters`, which makes its own optimiser."""

    train_mb_size: int


class OptimiserOptions(CommonOptions, total=False):
    """Of every strategy that trains CLIP itself."""

    optimizer: torch.optim.Optimizer | None
    shard_optimizer: bool
    lr: Rates
    weight_decay: float
    class_incremental: bool | None


class LwFOptions(OptimiserOptions, total=False):
    """Of `LwF`, which has train_mb_size and seed itself."""

    label_smoothing: float


class GIFTCommonOptions(OptimiserOptions, total=False):
    """Of `GIFT`, which has label_smoothing and seed itself."""

    train_mb_size: int


class UnseededOptions(OptimiserOptions, total=False):
    """Of strategies that have seed themselves."""

    train_mb_size: int
    label_smoothing: float


class FineTuneOptions(UnseededOptions, total=False):
    """All of them."""

    seed: int


class GIFTOptions(GIFTCommonOptions, total=False):
    """All of `GIFT` but static_fisher: what `EWCV` hands on."""

    synthetic: Any
    alpha: float
    beta: float
    temperature: float
    awc_weight: float
    l2_weight: float
    distillation: str
    teacher: str
    theta_initial: dict[str, Tensor] | None
    synthetic_images: int
    synthetic_mb_size: int
    base_prompts: Sequence[str] | None
    prompts_drawn: int | None
    extend_pool: bool
    label_smoothing: float
    seed: int
