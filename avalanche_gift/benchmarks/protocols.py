"""The published protocols as data: what runs take their defaults from, and what their settings are compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Protocol:
    """One published protocol.

    hyperparameters: by the names of the command line, for every strategy (lr None: by data set). of_strategy: of one strategy
    in their place; a tuple holds the values to choose from, the first of which is the default. shared: keyword arguments of
    every strategy that trains. options: of one strategy. run: fields of `RunConfig`.
    """

    hyperparameters: Settings
    of_strategy: Mapping[str, Settings] = field(default_factory=dict)
    shared: Settings = field(default_factory=dict)
    options: Mapping[str, Settings] = field(default_factory=dict)
    run: Settings = field(default_factory=dict)


_PAPER = {
    "iterations": 1000,
    "epochs": None,
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
_DISTILLATION = {"distillation_weight": 1.0, "temperature": 2.0}
_LWF = {**_DISTILLATION, "reference_transform": "eval"}
_CIL_LWF = {**_LWF, "distillation_weight": 5.0, "reference_transform": "train"}

MTIL = Protocol(
    hyperparameters=_PAPER,
    shared={"warmup_iterations": 100, "label_smoothing": 0.2, "weight_decay": 0.0},
    options={
        "gift": {"temperature": 2.0},
        "ewc-v": {"temperature": 2.0},
        "lwf": _LWF,
        "lwf-vr": _LWF,
        "icarl": {
            **_LWF,
            "memory_size": 10_000,
            "candidates": 30_000,
            "memory_update": "after",
            "herd_first": False,
            "teacher": "initial",
        },
        "wise-ft": {"share": 0.2},
        "zscl": {**_DISTILLATION, "l2_weight": 1.0, "ensemble_every": 100, "teacher": "initial", "texts": "captions"},
        "moe-adapters": {
            "bottleneck": 64,
            "base_lr": 1e-3,
            "backbone": "alexnet",
            "threshold": 0.0655,
            "selector_iterations": 300,
            "reference_iterations": 1000,
        },
    },
    run={"test_transform": "test"},
)
"""Eleven data sets, one a task (Tables 1 to 6). iCaRL's published settings are not known: its memory is that of ZSCL's code."""

CIL = Protocol(
    hyperparameters={**_PAPER, "iterations": None, "epochs": 1, "lr": 7.1e-6},
    of_strategy={
        "gift": {"lr": (1e-5, 1e-6, 1e-7)},
        "ewc-v": {"lr": (1e-5, 1e-6, 1e-7)},
        "moe-adapters": {"lr": 1e-3},
    },
    shared={
        "warmup_iterations": 30,
        "reference_schedule": True,
        "label_smoothing": 0.2,
        "weight_decay": 0.0,
        "class_incremental_loss": "step",
    },
    options={
        "gift": {"temperature": 2.0},
        "ewc-v": {"temperature": 2.0},
        "lwf": _CIL_LWF,
        "lwf-vr": _CIL_LWF,
        "icarl": {
            **_CIL_LWF,
            "memory_size": 5000,
            "memory_quota": "rest",
            "candidates": 10_000,
            "memory_update": "before",
            "herd_first": True,
            "teacher": "previous",
        },
        "wise-ft": {"share": 0.2},
        "zscl": {
            **_DISTILLATION,
            "distillation_weight": 5.0,
            "l2_weight": 0.0,
            "ensemble_every": 10,
            "teacher": "initial",
            "texts": "captions",
        },
        "moe-adapters": {"evaluation_noise": True, "label_smoothing": 0.0},
    },
    run={"test_transform": "train"},
)
"""CIFAR100 and TinyImageNet in steps of new classes (Tables 7 and 8): the values of ZSCL's class-incremental code, the only
one there is. An epoch a step; the test images, too, go through the random training transform. GIFT names three rates, and
publishes neither its pictures nor its weights for these tables."""

_TINY_GIFT = {"label_smoothing": 0.0, "weight_decay": 0.1}
_FAMILIES = {"mtil": MTIL, "cifar100": CIL, "tinyimagenet": CIL}

TRUE_COPY = (
    "its teacher is a true copy of the model before the step (the released code's moves along with the student, so that its "
    "distillation has no effect)"
)
PICKED_IMAGES = "it stores the images that herding picks (the released code, by mistake, others)"
UNPUBLISHED = "its iterations, images and loss weights are published nowhere (ours are a reading)"
ALWAYS: dict[str, Mapping[str, tuple[str, ...]]] = {
    "cil": {
        "lwf": (TRUE_COPY,),
        "lwf-vr": (TRUE_COPY,),
        "icarl": (TRUE_COPY, PICKED_IMAGES),
        "gift": (UNPUBLISHED,),
        "ewc-v": (UNPUBLISHED,),
    },
    "mtil": {"icarl": ("its published settings are not known",)},
}
"""By protocol and strategy: where ours is not what the published numbers were made with, whatever the settings."""


def protocol_of(benchmark: str) -> Protocol | None:
    """The published protocol of a benchmark; None for one that nobody published numbers on.

    >>> protocol_of("tinyimagenet-10") is CIL
    True
    """
    return _FAMILIES.get(benchmark.partition("-")[0])


def protocol_hyperparameters(benchmark: str, strategy: str | None = None) -> dict[str, Any]:
    """Of a strategy, the default where the protocol names several values; MTIL's for a benchmark without a protocol."""
    protocol = protocol_of(benchmark) or MTIL
    own = dict(protocol.of_strategy.get(strategy or "", {}))
    if strategy == "moe-adapters" and benchmark in ("cifar100", "cifar100-10", "cifar100-20"):
        own["batch_size"] = 128
    found = {**protocol.hyperparameters, **own}
    return {name: value[0] if isinstance(value, tuple) else value for name, value in found.items()}


def protocol_options(benchmark: str, strategy: str) -> dict[str, Any]:
    """Keyword arguments of a strategy in the protocol of a benchmark; none for zero-shot, which trains nothing."""
    protocol = protocol_of(benchmark)
    if protocol is None or strategy == "zero-shot":
        return {}
    tiny = _TINY_GIFT if benchmark.startswith("tinyimagenet") and strategy in ("gift", "ewc-v") else {}
    return {**protocol.shared, **protocol.options.get(strategy, {}), **tiny}


def always_different(benchmark: str, strategy: str) -> tuple[str, ...]:
    """In words, as `ALWAYS`."""
    protocol = protocol_of(benchmark)
    name = "cil" if protocol is CIL else "mtil" if protocol is MTIL else ""
    return tuple(ALWAYS.get(name, {}).get(strategy, ()))
