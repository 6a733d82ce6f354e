"""Hyperparameters by benchmark: the paper's, and where a small world needs others. Named like the command line's options."""

from typing import Any

PAPER: dict[str, Any] = {
    "iterations": 1000,
    "batch_size": 64,
    "lr": None,
    "images": 1000,
    "l2_weight": 1.0,
    "awc_weight": 1.0,
    "alpha": 1.0,
    "beta": 0.25,
    "distillation": "contrastive",
    "teacher": "previous",
}
"""MTIL (lr None: the stream's own rates, or 1e-5)."""

SMALL: dict[str, dict[str, Any]] = {
    # 400 pictures a task and 1 M weights: fewer and larger steps. At weight 1 consolidation costs 4 points of plasticity.
    "mini": {"iterations": 80, "batch_size": 32, "images": 200, "l2_weight": 0.1, "awc_weight": 0.1},
    # A CLIP with random weights has everything to learn.
    "digits": {"iterations": 100, "batch_size": 32, "images": 200, "l2_weight": 0.1, "awc_weight": 0.1, "lr": 1e-3},
}

OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "mini": {
        # Half the pictures of one task, for all of them.
        "icarl": {"memory_size": 200},
        "avalanche-icarl": {"memory_size": 200},
        "avalanche-replay": {"mem_size": 200},
        # 80 iterations hold one snapshot of 100; consolidation as weak as l2's here.
        "zscl": {"ensemble_every": 10, "l2_weight": 0.1},
        # Best Average of 1e3, 1e5 and 1e6 on seed 100: the squares of gradients that are means over a batch are small.
        "avalanche-ewc": {"ewc_lambda": 1e5},
        # Best Average of 30, 100, 300, 1,000, 3,000 and 10,000 on seed 100.
        "ewc": {"ewc_weight": 3000.0},
        # Two experts for each of the six tasks; 80 steps need a high rate, as every update is a tenth of an expert's output.
        # On these features the pictures of a task are off by less than 0.035, those of another by more (seed 100).
        "moe-adapters": {
            "experts": 12,
            "bottleneck": 32,
            "base_lr": 0.02,
            "backbone": "clip",
            "threshold": 0.04,
            "selector_iterations": 100,
            "reference_iterations": 300,
        },
    },
}
"""By benchmark and strategy: keyword arguments of the strategy that a small world needs other than its own defaults."""


def strategy_options(benchmark: str, strategy: str, given: dict[str, Any]) -> dict[str, Any]:
    """What goes into `RunConfig.options`: the benchmark's own values, overridden by those given."""
    return {**OPTIONS.get(benchmark, {}).get(strategy, {}), **given}


def hyperparameters(benchmark: str, given: dict[str, Any]) -> dict[str, Any]:
    """The paper's, overridden by the benchmark's own, overridden by those given (None: not given)."""
    return {**PAPER, **SMALL.get(benchmark, {}), **{key: value for key, value in given.items() if value is not None}}


def departures(settings: dict[str, Any]) -> str:
    """In words, where settings differ from the paper's: `iterations 80 (paper: 1000), ...`; empty where they do not."""
    different = {key: value for key, value in settings.items() if key in PAPER and value != PAPER[key]}
    shown = {key: "by data set" if paper is None else paper for key, paper in PAPER.items()}
    return ", ".join(f"{key} {value} (paper: {shown[key]})" for key, value in different.items())
