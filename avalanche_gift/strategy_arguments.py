"""What a strategy takes beyond the arguments that all share, from the configuration of a run."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avalanche_gift.benchmarks.mini.references import mini_references
from avalanche_gift.benchmarks.references import FolderPictures
from avalanche_gift.benchmarks.sources import DRAWN
from avalanche_gift.by_name import base_vocabulary, load_source
from avalanche_gift.config import RunConfig
from avalanche_gift.generation import PerTask
from avalanche_gift.strategy_options import check_options
from avalanche_gift.training.moe_adapters import FEW_SHOT_RATES


def _gift(config: RunConfig) -> dict[str, Any]:
    """`skip` among the synthetic settings names tasks that never join the pool of prompts, for a source that makes pictures."""
    given = dict(config.synthetic)
    source, skip = load_source(config), given.pop("skip", ())
    return {
        "synthetic": PerTask(source, skip=skip) if skip else source,
        "base_prompts": base_vocabulary(config.benchmark),
        "prompts_drawn": DRAWN[config.order or "I"] if config.benchmark == "mtil" else None,
        **given,
    }


def _l2(config: RunConfig) -> dict[str, Any]:
    return {"l2_weight": config.l2_weight}


def _icarl(config: RunConfig) -> dict[str, Any]:
    return {"memory_mb_size": config.train_mb_size}


def _zscl(config: RunConfig) -> dict[str, Any]:
    """The small benchmarks take the mini world's reference pictures; elsewhere `options` must name a folder of them."""
    made: dict[str, Any] = {"reference_mb_size": config.train_mb_size, "texts": base_vocabulary(config.benchmark)}
    if config.benchmark in ("mini", "digits") and "pictures" not in config.options:
        made["pictures"], made["texts"] = mini_references(seed=config.seed)
    return made


def _moe_adapters(config: RunConfig) -> dict[str, Any]:
    """Reference pictures for its selector: the mini world's, or TinyImageNet's in the folder of the benchmark."""
    made: dict[str, Any] = {}
    if config.benchmark == "mtil" and config.shots is not None:
        # The reference warms up for 100 of its 500 iterations, which is more than the tenth that is usual elsewhere.
        given = config.train_iterations
        shortest = 500 if given is None else min([given] if isinstance(given, int) else given)
        made = {"rates": FEW_SHOT_RATES, "threshold": 0.0585, "warmup_iterations": min(100, shortest // 5)}
    if config.class_incremental or config.options.get("oracle") or "reference_pictures" in config.options:
        return made
    if config.benchmark in ("mini", "digits"):
        return {**made, "reference_pictures": mini_references(seed=config.seed)[0]}
    folder = Path(config.data or ".", "tiny-imagenet-200", "train")
    if not folder.is_dir():
        raise ValueError(
            f"expected TinyImageNet for the task selector of moe-adapters in '{folder}'; or give its option "
            "reference_pictures: a folder of pictures of no task, or null for the threshold alone"
        )
    return {**made, "reference_pictures": folder}


ARGUMENTS: Mapping[str, Callable[[RunConfig], dict[str, Any]]] = {
    "ewc-v": _gift,
    "gift": _gift,
    "icarl": _icarl,
    "l2": _l2,
    "moe-adapters": _moe_adapters,
    "zscl": _zscl,
}
"""By strategy; those not listed need nothing of their own."""


def own_arguments(config: RunConfig) -> dict[str, Any]:
    """Keyword arguments of `config.strategy`; those in `config.options` win. Raises ValueError as `check_options`."""
    check_options(config.strategy, config.options)
    made = ARGUMENTS.get(config.strategy, lambda _: {})(config)
    arguments = {**made, **config.options}
    for name in ("pictures", "reference_pictures"):
        if not config.exif_orientation and isinstance(arguments.get(name), str | os.PathLike):
            arguments[name] = FolderPictures(arguments[name], exif_orientation=False)
    return arguments
