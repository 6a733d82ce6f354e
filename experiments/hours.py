"""How long runs take, estimated: no GPU has run them yet."""

import json
from pathlib import Path

from avalanche_gift.benchmarks.sources import SOURCES
from avalanche_gift.config import RunConfig
from experiments.plan import CIL_TASKS, ORDERS

COUNTED = Path(__file__).parents[1] / "benchmarks" / "step.jsonl"
H100_FLOPS = 40e12
"""Assumed of an H100 in full precision: six tenths of its 67e12 a second. Pictures are taken to be read as fast."""

SECONDS_MINI = {"zero-shot": 5, "gift": 80, "ewc-v": 80, "zscl": 70, "icarl": 60, "lwf": 60, "lwf-vr": 60, "moe-adapters": 90}
"""Of the six tasks on one quiet thread; finetune, l2 and the others about 30. gift and finetune are measured."""
SECONDS_PICTURES = 50
"""Of gift's, to make the 200 pictures of each task."""
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
        flops += tasks * config.train_iterations * counted["flops_task_pass"]
    if config.strategy in REPLAYING:
        flops += tasks * (config.train_iterations * counted["flops_synthetic_pass"] + counted["flops_once_a_task"])
    return flops


def seconds(config: RunConfig) -> float:
    """On one thread for the mini world, else on an H100."""
    if config.benchmark == "mini":
        share = len(config.tasks or "123456") / 6
        pictures = config.synthetic.get("synthetic_images", 200) / 200
        return share * (SECONDS_MINI.get(config.strategy, 30) + SECONDS_PICTURES * (pictures - 1))
    return run_flops(config) / H100_FLOPS


def _size(config: RunConfig) -> tuple[int, int]:
    """Tasks, and test pictures of them all."""
    if config.benchmark == "mtil":
        names = config.tasks or ORDERS[config.order or "I"]
        return len(names), sum(SOURCES[name].test for name in names)
    return CIL_TASKS[config.benchmark], 10_000
