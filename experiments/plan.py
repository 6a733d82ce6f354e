"""From a row of a table to the configuration of a run, in a world: the embedded one, or the paper's data sets."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from avalanche_gift.benchmarks.defaults import hyperparameters, strategy_options
from avalanche_gift.benchmarks.mini.concepts import TASKS as MINI_TASKS
from avalanche_gift.benchmarks.sources import ORDERS
from avalanche_gift.config import RunConfig

WORLDS = ("mini", "mtil", "cil")
"""The embedded world; MTIL; CIFAR100 and TinyImageNet in steps of new classes."""

MINI_ORDERS = {"I": None, "II": ("letters", "icons", "textures", "digits", "land", "shapes")}
MINI_SOURCES = {
    "synthetic": None,
    "base-only": None,
    "imagenet": "perfect",  # drawings that no generator made, as real pictures
    "steps-25": "mini:6",
    "guidance-4.5": "mini:12:1.0",
    "guidance-10.5": "mini:12:2.5",
}
"""What stands for the paper's sources of pictures; the embedded generator's defaults are 12 steps and guidance 1.5."""

CIL_TASKS = {
    "cifar100": 10,
    "cifar100-20": 20,
    "cifar100-50": 50,
    "tinyimagenet": 6,
    "tinyimagenet-10": 11,
    "tinyimagenet-20": 21,
}
CIL_ITERATIONS = {
    **{"cifar100": 79, "cifar100-20": 40, "cifar100-50": 16},
    **{"tinyimagenet": 157, "tinyimagenet-10": 79, "tinyimagenet-20": 40},
}
"""One epoch of a step, as in ZSCL's code; the 100 base classes of TinyImageNet get no more than a later step does."""
CIL_OPTIONS: dict[str, dict[str, Any]] = {
    "lwf": {"distillation_weight": 5.0},
    "lwf-vr": {"distillation_weight": 5.0},
    "icarl": {"distillation_weight": 5.0, "memory_size": 5000, "candidates": 10_000, "memory_update": "before"},
    "zscl": {"distillation_weight": 5.0, "ensemble_every": 10, "l2_weight": 0.0},
}
"""Where the class-incremental code of ZSCL departs from its MTIL settings. Its rate is 7.1e-6; GIFT's is not published."""
TINY_GIFT = {"label_smoothing": 0.0, "weight_decay": 0.1}


class NotPossible(ValueError):
    """A run needs what was not given; says what."""


@dataclass(frozen=True)
class World:
    """Where runs happen. sources: folders of pictures by the names that rows use. iterations: None for the protocol's."""

    name: str
    data: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    num_workers: int = 0
    cache_dir: str | None = None
    iterations: int | None = None

    def departures(self) -> str:
        """In words, why numbers are not the paper's; empty where the protocol is the same."""
        few = "" if self.iterations is None else f"{self.iterations} iterations a task, to try the command out: no result."
        if self.name == "mini":
            return few or (
                "The embedded world: six tasks of drawn pictures of 32 pixels, a CLIP of a million weights, 80 iterations and "
                "200 synthetic pictures a task. Not the paper's protocol: compare the order of rows, not the numbers."
            )
        return few

    def source(self, name: str) -> str:
        """The folder of pictures of that name. Raises NotPossible where none was given."""
        if name not in self.sources:
            raise NotPossible(f"--sources {name}=DIR")
        return self.sources[name]


@dataclass(frozen=True)
class Row:
    """A row of a table: the paper's name of it, and what departs from the defaults of the world.

    given: hyperparameters by the command line's names. images: synthetic pictures, times the default (the paper's 1K).
    plain_l2: a plain l2 term in place of adaptive consolidation, as in the paper's rows without AWC.
    source: which pictures. options: arguments of the strategy. skip_first: the first task never joins the pool of prompts.
    alone: a run for every task by itself, from the pre-trained model. first_task: the first task only, after which the weights
    are kept. pictures_only: no run, its source is looked at. benchmark, steps: of Tables 7 and 8.
    """

    label: str
    strategy: str = "gift"
    given: Mapping[str, Any] = field(default_factory=dict)
    images: float = 1
    plain_l2: bool = False
    source: str = "synthetic"
    options: Mapping[str, Any] = field(default_factory=dict)
    order: str = "I"
    skip_first: bool = False
    alone: bool = False
    first_task: bool = False
    pictures_only: bool = False
    benchmark: str = "mtil"
    steps: int | None = None

    @property
    def replays(self) -> bool:
        return self.strategy in ("gift", "ewc-v")

    def tasks(self, world: World) -> tuple[str, ...]:
        """In order; of mini and mtil."""
        if world.name == "mini":
            return MINI_ORDERS[self.order] or tuple(MINI_TASKS)
        return ORDERS[self.order]

    def configs(self, world: World, seed: int) -> list[RunConfig]:
        """Of its run, or of its runs task by task. Raises NotPossible where the world lacks a folder."""
        if self.pictures_only:
            if world.name != "mini":
                world.source(self._source(world))
            return []
        if world.name != "mini" and world.data is None:
            raise NotPossible("--data DIR, the folder of the data sets")
        config = self._mini(world, seed) if world.name == "mini" else self._full(world, seed)
        if world.iterations is not None:
            config = replace(config, train_iterations=world.iterations)
        if self.alone:
            return [replace(config, tasks=(task,), order=None) for task in self.tasks(world)]
        if self.first_task:
            return [replace(config, tasks=self.tasks(world)[:1], order=None)]
        return [config]

    def _mini(self, world: World, seed: int) -> RunConfig:
        config = self._common("mini", seed, strategy_options("mini", self.strategy, dict(self.options)))
        if self.skip_first:
            config.synthetic["skip"] = [(MINI_ORDERS[self.order] or tuple(MINI_TASKS))[0]]
        source = MINI_SOURCES[self.source] if self.replays else None
        return replace(config, model="mini", tasks=MINI_ORDERS[self.order], source=source, cache_dir=world.cache_dir)

    def _full(self, world: World, seed: int) -> RunConfig:
        options, rate, iterations = dict(self.options), None, None
        if world.name == "cil":
            iterations = CIL_ITERATIONS[self.benchmark]
            rate = None if self.replays else 7.1e-6
            options = {**CIL_OPTIONS.get(self.strategy, {}), **options}
            if self.replays and self.benchmark.startswith("tiny"):
                options = {**TINY_GIFT, **options}
            if self.strategy != "zero-shot":
                options["warmup_iterations"] = 30
        if self.strategy == "zscl":
            options["pictures"] = world.source("captioned" if world.name == "cil" else "imagenet")
        config = self._common(self.benchmark, seed, options)
        return replace(
            config,
            data=world.data,
            source=self._sampled() + world.source(self._source(world)) if self.replays else None,
            order="II" if self.order == "II" and world.name == "mtil" else None,
            train_iterations=iterations or config.train_iterations,
            lr=rate or config.lr,
            cache_dir=world.cache_dir,
            num_workers=world.num_workers,
            device=world.device,
        )

    def _sampled(self) -> str:
        """How images come from its folder: ImageNet's as the reference samples them, of all classes."""
        return "random-split:" if self.source == "imagenet" else ""

    def _source(self, world: World) -> str:
        """The name of its pictures: a store holds the prompts of one stream in one order."""
        if world.name == "cil":
            return self.benchmark
        name = "without-first" if self.skip_first else self.source
        return name if self.order == "I" or self.source == "imagenet" else f"{name}-II"

    def _common(self, benchmark: str, seed: int, options: dict[str, Any]) -> RunConfig:
        settings = hyperparameters(benchmark, dict(self.given))
        synthetic = {
            "synthetic_images": round(self.images * settings["images"]),
            "synthetic_mb_size": settings["batch_size"],
            **{name: float(settings[name]) for name in ("alpha", "beta", "awc_weight")},
            "distillation": settings["distillation"],
            "teacher": settings["teacher"],
        }
        if self.plain_l2:
            synthetic |= {"awc_weight": 0.0, "l2_weight": float(settings["l2_weight"])}
        return RunConfig(
            strategy=self.strategy,
            benchmark=benchmark,
            model="ViT-B-16:openai",
            seed=seed,
            class_incremental=self.steps is not None,
            train_iterations=settings["iterations"],
            train_mb_size=settings["batch_size"],
            lr=settings["lr"],
            l2_weight=float(settings["l2_weight"]),
            synthetic=synthetic if self.replays else {},
            options=options,
        )


def run_name(config: RunConfig) -> str:
    """Of the folder that a run has in common for all tables: readable, and a hash of all that decides its numbers."""
    text = json.dumps(config.settings(), sort_keys=True)
    return f"{config.strategy}-seed{config.seed}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
