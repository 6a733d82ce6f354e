"""Hyperparameters by benchmark: the paper's, and where a small world needs others. Named like the command line's options."""

from collections.abc import Mapping
from typing import Any

from avalanche_gift.benchmarks.protocols import CIL, MTIL, protocol_hyperparameters, protocol_of, protocol_options
from avalanche_gift.benchmarks.references import captions_beside

PAPER: dict[str, Any] = dict(MTIL.hyperparameters)
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
    """What goes into `RunConfig.options`: the benchmark's own values, overridden by those given.

    MTIL's are the strategies' own defaults, so that only those of class-incremental streams and small worlds are written out.
    Captions that lie beside the reference images of ZSCL (`captions_beside`) are its texts, unless others are given.
    """
    own: dict[str, Any] = {}
    if protocol_of(benchmark) is CIL:
        own = {name: value for name, value in protocol_options(benchmark, strategy).items() if name not in _NOT_WRITTEN}
    options = {**own, **OPTIONS.get(benchmark, {}).get(strategy, {}), **given}
    if strategy == "zscl" and isinstance(options.get("pictures"), str) and "texts" not in options:
        captions = captions_beside(options["pictures"])
        options |= {} if captions is None else {"texts": str(captions)}
    return options


_NOT_WRITTEN = ("texts", "class_incremental_loss", "temperature")
"""Options of a protocol that are the strategies' defaults, or depend on what is there."""


def hyperparameters(benchmark: str, given: dict[str, Any], strategy: str | None = None) -> dict[str, Any]:
    """The protocol's, overridden by the benchmark's own, overridden by those given (None: not given).

    strategy: of whom, where the protocol has other values for some. Iterations or epochs: whichever is given counts.
    """
    given = {key: value for key, value in given.items() if value is not None}
    own = protocol_hyperparameters(benchmark, strategy)
    length = {"iterations", "epochs"}
    small = SMALL.get(benchmark, {})
    if length & given.keys():
        own, small = {**own, **dict.fromkeys(length)}, {key: value for key, value in small.items() if key not in length}
    return {**own, **small, **given}


def departures(settings: dict[str, Any], benchmark: str = "mtil") -> str:
    """In words, where hyperparameters differ from the protocol's: `iterations 80 (paper: 1000), ...`; empty where none does.

    The protocol is that of the benchmark, MTIL's where it has none. `protocol_differences` looks at a whole run instead.
    """
    paper = protocol_hyperparameters(benchmark)
    different = {key: value for key, value in settings.items() if key in paper and value not in (paper[key], None)}
    return ", ".join(f"{key} {value} (paper: {paper_value(paper, key)})" for key, value in different.items())


def paper_value(paper: Mapping[str, Any], name: str) -> str:
    """A hyperparameter of a protocol in words: a number of iterations where epochs are asked for and it has none."""
    if paper[name] is not None:
        return str(paper[name])
    return {"lr": "by data set", "iterations": f"{paper['epochs']} epoch", "epochs": f"{paper['iterations']} iterations"}[name]
