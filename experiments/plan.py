"""From a row of a table to the configuration of a run, in a world: the embedded one, or the paper's data sets."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from avalanche_gift.benchmarks.defaults import hyperparameters, strategy_options
from avalanche_gift.benchmarks.mini.concepts import TASKS as MINI_TASKS
from avalanche_gift.benchmarks.sources import ORDERS
from avalanche_gift.config import RunConfig
from avalanche_gift.protocol_differences import in_words, protocol_differences

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

CIL_STEPS: dict[str, tuple[int, ...]] = {
    "cifar100": (10,) * 10,
    "cifar100-20": (5,) * 20,
    "cifar100-50": (2,) * 50,
    "tinyimagenet": (100,) + (20,) * 5,
    "tinyimagenet-10": (100,) + (10,) * 10,
    "tinyimagenet-20": (100,) + (5,) * 20,
}
"""Classes of each step; every class has 500 training images."""
CIL_ROWS = ("zero-shot", "finetune", "lwf", "icarl", "lwf-vr", "zscl", "gift")
"""The strategies of Tables 7 and 8."""


class _Anything(dict[str, str]):
    """Folders by name: a made-up one for a name that was not given."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return name


class NotPossible(ValueError):
    """A run needs what was not given; says what."""


@dataclass(frozen=True)
class World:
    """Where runs happen. sources: folders of pictures by the names that rows use. iterations: None for the protocol's.

    test_transform: `train` for test images in the random training transform, as the protocol of `cil` has them.
    """

    name: str
    data: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    num_workers: int = 0
    cache_dir: str | None = None
    iterations: int | None = None
    test_transform: str = "test"

    def departures(self, rows: "Sequence[Row] | None" = None) -> str:
        """In words, where the settings of rows are not the protocol's; empty where they are, row by row.

        rows: of Tables 7 and 8 in `cil`, else GIFT's own, where None.
        """
        few = "" if self.iterations is None else f"{self.iterations} iterations a task, to try the command out: no result."
        if self.name == "mini":
            return few or (
                "The embedded world: six tasks of drawn pictures of 32 pixels, a CLIP of a million weights, 80 iterations and "
                "200 synthetic pictures a task. Not the paper's protocol: compare the order of rows, not the numbers."
            )
        words = in_words(self.row_departures(rows))
        return " ".join(filter(None, [few, words and f"Not as in the published protocol: {words}"]))

    def row_departures(self, rows: "Sequence[Row] | None" = None) -> dict[str, list[str]]:
        """By the names of rows, the differences of their settings from the protocol (`protocol_differences`); [] for none."""
        if rows is None:
            rows = (
                [Row(name, name, benchmark="cifar100", steps=10) for name in CIL_ROWS] if self.name == "cil" else [Row("gift")]
            )
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row.label, [])
            if self.name == "mini":
                found[row.label] = ["the embedded world"]
                continue
            try:
                configs = row.configs(replace(self, data=self.data or ".", sources=_Anything(self.sources)), 42)
            except NotPossible:
                continue
            texts = [text for config in configs[:1] for text in protocol_differences(config, row.on_purpose)]
            found[row.label] = list(dict.fromkeys([*found[row.label], *texts]))
        return found

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

    @property
    def on_purpose(self) -> set[str]:
        """The names of settings that make the row what it is, so that they depart from no protocol."""
        more = {"awc_weight", "l2_weight"} if self.plain_l2 else set()
        return {*self.given, *self.options, *more, *({"images"} if self.images != 1 else ())}

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
            config = replace(config, train_iterations=world.iterations, train_epochs=None)
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
        options = dict(self.options)
        if self.strategy == "zscl":
            options["pictures"] = world.source("captioned" if world.name == "cil" else "imagenet")
        config = self._common(self.benchmark, seed, strategy_options(self.benchmark, self.strategy, options))
        return replace(
            config,
            data=world.data,
            source=self._sampled() + world.source(self._source(world)) if self.replays else None,
            order="II" if self.order == "II" and world.name == "mtil" else None,
            cache_dir=world.cache_dir,
            num_workers=world.num_workers,
            device=world.device,
            test_transform=world.test_transform,
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
        settings = hyperparameters(benchmark, dict(self.given), self.strategy)
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
            train_epochs=settings["epochs"],
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
