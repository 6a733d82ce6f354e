"""How long runs take, estimated: no GPU has run them yet."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from avalanche_gift.benchmarks.mini.concepts import TASKS as MINI_TASKS
from avalanche_gift.benchmarks.sources import SOURCES
from avalanche_gift.config import RunConfig
from experiments.plan import CIL_STEPS, ORDERS

COUNTED = Path(__file__).parents[1] / "benchmarks" / "step.jsonl"
H100_FLOPS = 40e12
"""Assumed of an H100 in full precision: six tenths of its 67e12 a second. Pictures are taken to be read as fast."""

SECONDS_MINI = {
    "zero-shot": 5,
    "lwf": 60,
    "lwf-vr": 62,
    "icarl": 56,
    "zscl": 66,
    "moe-adapters": 85,
    "gift": 62,
    "ewc-v": 64,
}
"""Of the six tasks on one thread of a shared machine, measured; finetune, l2 and WiSE-FT 36. Without making pictures."""
SECONDS_PICTURES = 44
"""To make the 200 pictures of each of the six tasks, which runs that replay the same ones share. Measured."""
REPLAYING = ("gift", "ewc-v", "zscl", "icarl", "lwf", "lwf-vr")
"""Strategies that pass a second batch through the model at each step."""


def step_flops() -> dict[str, float]:
    """Counted on shapes by benchmarks/step.py, for ViT-B/16, 64 pictures and 100 classes."""
    for line in COUNTED.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["model"] == "ViT-B-16" and record["classes"] == 100:
            return record["ours"]
    raise ValueError(f"expected a count for ViT-B-16 with 100 classes in {COUNTED}, found none")


def run_flops(config: RunConfig) -> float:
    """Of training on every task, and of evaluating on every test set before the first and after each."""
    counted = step_flops()
    picture = counted["flops_synthetic_pass"] / 64 / 3  # backward costs two forward passes
    tasks, test = _size(config)
    evaluations = 1 if config.strategy == "zero-shot" else tasks + 1
    if config.class_incremental:
        test //= 2  # after each step those of the classes seen
    flops = evaluations * test * picture
    if config.strategy != "zero-shot":
        flops += iterations(config) * counted["flops_task_pass"]
    if config.strategy in REPLAYING:
        flops += iterations(config) * counted["flops_synthetic_pass"] + tasks * counted["flops_once_a_task"]
    return flops


def seconds(config: RunConfig) -> float:
    """On one thread for the mini world, whose pictures are not in it, else on an H100."""
    if config.benchmark == "mini":
        return len(config.tasks or MINI_TASKS) / len(MINI_TASKS) * SECONDS_MINI.get(config.strategy, 36)
    return run_flops(config) / H100_FLOPS


def total_seconds(configs: Iterable[RunConfig]) -> float:
    """Of several runs; of the mini world with the pictures, of which each set is made once."""
    runs = list(configs)
    made = {_pictures(config) for config in runs if config.benchmark == "mini" and config.synthetic}
    drawn = sum(len(tasks or MINI_TASKS) * images for source, tasks, images, *_ in made if source != "perfect")
    return sum(map(seconds, runs)) + SECONDS_PICTURES * drawn / (200 * len(MINI_TASKS))


def iterations(config: RunConfig) -> int:
    """Of all tasks together."""
    if config.train_epochs is not None:
        return sum(config.train_epochs * -(-500 * classes // config.train_mb_size) for classes in CIL_STEPS[config.benchmark])
    if isinstance(config.train_iterations, Sequence):
        return sum(config.train_iterations)
    return _size(config)[0] * (config.train_iterations or 0)


def _pictures(config: RunConfig) -> tuple[Any, ...]:
    """What decides the synthetic pictures of a run."""
    which = tuple(config.synthetic.get("skip", ())), config.options.get("extend_pool", True), config.seed
    return config.source, config.tasks, config.synthetic["synthetic_images"], *which


def _size(config: RunConfig) -> tuple[int, int]:
    """Tasks, and test pictures of them all."""
    if config.benchmark == "mtil":
        names = config.tasks or ORDERS[config.order or "I"]
        return len(names), sum(SOURCES[name].test for name in names)
    return len(CIL_STEPS[config.benchmark]), 10_000
