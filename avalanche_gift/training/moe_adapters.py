"""MoE-Adapters (CVPR 2024): a frozen CLIP with experts beside its blocks, routers a task, and a selector of tasks."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from avalanche.core import BasePlugin
from torch import Tensor
from typing_extensions import Unpack

from avalanche_gift.benchmarks.references import FolderPictures
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.models.moe_adapters import attach_adapters
from avalanche_gift.training.options import MoEAdaptersOptions
from avalanche_gift.training.plugins import MoEAdaptersPlugin, TaskSelectionPlugin, clip_optimizer
from avalanche_gift.training.template import FineTune

_USUAL = ("Caltech101", "DTD", "Flowers", "Food", "OxfordPet", "StanfordCars", "SUN397")

FULL_SHOT_RATES = {"Aircraft": 5e-3, "CIFAR100": 5e-3, "EuroSAT": 1e-4, "MNIST": 1e-4} | dict.fromkeys(_USUAL, 1e-3)
"""Of the released configurations of MTIL order I; those of order II were not released."""

FEW_SHOT_RATES = {
    "Aircraft": 8e-3,
    "Caltech101": 5e-4,
    "CIFAR100": 2e-4,
    "DTD": 5e-3,
    "EuroSAT": 1e-3,
    "Flowers": 1e-3,
    "Food": 1e-2,
    "MNIST": 1e-4,
    "OxfordPet": 1e-2,
    "StanfordCars": 1e-2,
    "SUN397": 1e-2,
}
"""Of order I with 5 images a class, for 500 iterations of which 100 warm up, and a threshold of 0.0585."""


class MoEAdapters(FineTune):
    """Trains small experts beside every block of both towers and, for each task, the routers that choose two of them.

    The model gets its adapters here (`model.adapters`), and its CLIP is frozen. Test batches are routed by
    `TaskSelectionPlugin`; what no autoencoder knows is left to the plain CLIP.

    experts, bottleneck, top, dropout: as `attach_adapters`. freeze: experts of each block frozen after a task.
    backbone, reference_pictures, threshold, code, selector_iterations, reference_iterations, selection_mb_size: as
    `TaskSelectionPlugin`, the pictures also as a folder. oracle: routed by the true task instead, as an upper bound.
    lr: as `FineTune`; where None, rates by `experience.task_name`, and `base_lr` for tasks not among them.
    class_incremental: the form of the class-incremental code, with 2 experts, one router for all experiences, nothing
    frozen, no selector and no label smoothing, unless those are given. evaluation_noise: routers stay noisy in evaluation,
    as in that code; class texts then keep one draw for as long as the weights are the same.
    Other arguments as `FineTune`. After training, `model(images)` uses the routers that were in use last: see
    `model.adapters.use`.
    """

    several_processes = False  # the noise of its routers, and the count of its experts' use, would be each process's own

    def __init__(
        self,
        model: CLIPClassifier,
        *,
        experts: int | None = None,
        bottleneck: int = 64,
        top: int = 2,
        dropout: float = 0.1,
        freeze: int | None = None,
        evaluation_noise: bool = False,
        backbone: str | Callable[[Tensor], Tensor] = "alexnet",
        reference_pictures: Any = None,
        threshold: float = 0.0655,
        code: int = 100,
        selector_iterations: int = 300,
        reference_iterations: int = 1000,
        selection_mb_size: int = 128,
        oracle: bool = False,
        lr: float | Sequence[float] | Mapping[str, float] | None = None,
        rates: Mapping[str, float] = FULL_SHOT_RATES,
        base_lr: float = 1e-3,
        weight_decay: float = 0.0,
        label_smoothing: float | None = None,
        class_incremental: bool = False,
        seed: int = 42,
        **base_kwargs: Unpack[MoEAdaptersOptions],
    ):
        attach_adapters(
            model,
            experts=(2 if class_incremental else 22) if experts is None else experts,
            bottleneck=bottleneck,
            top=top,
            dropout=dropout,
            evaluation_noise=evaluation_noise,
            seed=seed,
        )
        frozen = (0 if class_incremental else 2) if freeze is None else freeze
        plugins: list[BasePlugin] = [
            MoEAdaptersPlugin(freeze=frozen, one_router=class_incremental, oracle=oracle and not class_incremental, seed=seed)
        ]
        if not (oracle or class_incremental):
            folder = isinstance(reference_pictures, str | os.PathLike)
            select = TaskSelectionPlugin(
                backbone,
                reference_pictures=FolderPictures(reference_pictures) if folder else reference_pictures,
                threshold=threshold,
                code=code,
                iterations=selector_iterations,
                reference_iterations=reference_iterations,
                selection_mb_size=selection_mb_size,
                seed=seed,
            )
            plugins.append(select)
        super().__init__(
            model=model,
            optimizer=clip_optimizer(model, lr=base_lr, weight_decay=weight_decay),
            lr=rates if lr is None else lr,
            label_smoothing=(0.0 if class_incremental else 0.2) if label_smoothing is None else label_smoothing,
            class_incremental=class_incremental,
            seed=seed,
            method_plugins=plugins,
            **base_kwargs,
        )
