"""What the command line names: models, streams, sources of pictures."""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from avalanche.benchmarks.scenarios import CLScenario

from avalanche_gift.benchmarks import (
    MTIL,
    ClassFolders,
    MiniWorld,
    PerfectGenerator,
    PrintedGlyphs,
    SplitCIFAR100CLIP,
    SplitDigits,
    SplitTinyImageNetCLIP,
)
from avalanche_gift.benchmarks.class_names import base_prompts as cil_base_prompts
from avalanche_gift.benchmarks.digits import LETTER_PROMPTS
from avalanche_gift.benchmarks.mini import base_prompts
from avalanche_gift.benchmarks.mtil import task_order
from avalanche_gift.benchmarks.sources import ORDERS
from avalanche_gift.benchmarks.stream import in_order
from avalanche_gift.config import RunConfig
from avalanche_gift.generation import (
    DiffusersGenerator,
    KeptPictures,
    PairSource,
    RandomSplitFolder,
    as_source,
    mini_generator,
    picture_seed,
)
from avalanche_gift.generation.mini import GUIDANCE
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.models.mini import mini_clip
from avalanche_gift.names import check_name

BASE_PROMPTS = {"digits": LETTER_PROMPTS, "mini": base_prompts()}
"""The broad vocabulary where it is not ImageNet's."""

CLASS_INCREMENTAL = {
    **{f"cifar100{tail}": (SplitCIFAR100CLIP, steps) for tail, steps in {"": 10, "-10": 10, "-20": 20, "-50": 50}.items()},
    **{f"tinyimagenet{tail}": (SplitTinyImageNetCLIP, steps) for tail, steps in {"": 5, "-5": 5, "-10": 10, "-20": 20}.items()},
}
"""Streams of new classes by name, and their steps."""

BENCHMARKS = ("digits", "folders", "mini", "mtil", *CLASS_INCREMENTAL)


NOT_OF = {"mini": ("data", "shots", "max_pictures"), "digits": ("data", "shots", "max_pictures", "tasks")}
"""Options that a benchmark does not have."""


def check_device(name: str) -> None:
    """Raises ValueError for a device that is not there. torch says it late, and each kind in another kind of error."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"expected a --device such as cpu, cuda or cuda:1, got {name!r}: {error}") from None
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise ValueError(f"expected a --device that is there, got {name!r}, but PyTorch finds {count or 'no'} GPU")
    try:
        torch.ones(1, device=device).item()
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"expected a --device that computes here, got {name!r}: {error}") from None


def load_model(name: str) -> CLIPClassifier:
    """The embedded `mini` (or a folder with such a pair), a folder with an open_clip config, or open_clip's `NAME[:TAG]`."""
    if name == "mini":
        return mini_clip()
    if Path(name, "clip").is_dir():
        return mini_clip(name)
    if Path(name).is_dir():
        return CLIPClassifier.from_folder(name)
    architecture, _, tag = name.partition(":")
    return CLIPClassifier.from_open_clip(architecture, tag or None)


def load_benchmark(config: RunConfig, model: CLIPClassifier) -> CLScenario:
    check_name("benchmark", config.benchmark, BENCHMARKS)
    if config.order is not None and config.benchmark != "mtil":
        raise ValueError(f"expected --order for the benchmark mtil only, got it for {config.benchmark}")
    if given := [name for name in NOT_OF.get(config.benchmark, ()) if getattr(config, name) is not None]:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(f"expected no {options} for the benchmark {config.benchmark}, which has no such choice; leave it out")
    common: dict[str, Any] = {
        "train_transform": model.train_transform,
        "eval_transform": model.train_transform if config.test_transform == "train" else model.eval_transform,
        "class_incremental": config.class_incremental,
    }
    if config.benchmark == "mini":
        return MiniWorld(config.seed, order=config.tasks, **common)
    if config.benchmark == "digits":
        return SplitDigits(seed=config.seed, **common)
    common |= {"shots": config.shots, "max_pictures": config.max_pictures, "cache_dir": config.cache_dir}
    if config.test_transform == "train":
        common["cache_dir"] = None  # a random transform is drawn anew each time
    if config.data is None:
        raise ValueError(f"expected --data DIR, the folder of the benchmark {config.benchmark}, got none")
    if config.benchmark == "mtil":
        return MTIL(config.data, in_order(task_order(config.order or "I"), config.tasks), **common)
    if config.benchmark in CLASS_INCREMENTAL:
        if config.tasks is not None:
            raise ValueError(f"expected no --tasks for {config.benchmark}, whose steps are fixed, got {config.tasks}")
        stream, steps = CLASS_INCREMENTAL[config.benchmark]
        return stream(config.data, steps, **common)
    return ClassFolders(config.data, order=config.tasks, exif_orientation=config.exif_orientation, **common)


def is_class_incremental(benchmark: str) -> bool:
    """Whether a benchmark's protocol classifies among all classes seen."""
    return benchmark in CLASS_INCREMENTAL


def load_source(config: RunConfig) -> Any:
    """The pictures for GIFT: a folder, or the generator that belongs to the benchmark.

    `random-split:DIR` are images of a folder, sampled as the reference samples ImageNet's (Table 5).
    `mini:STEPS` and `mini:STEPS:GUIDANCE` are the embedded generator with other settings (the paper's Tables 11 and 12).
    What an embedded generator makes is kept in `config.cache_dir`, where there is one.
    """
    source = _source(config)
    if config.cache_dir is not None and isinstance(source, DiffusersGenerator):
        return KeptPictures(source, config.cache_dir)
    return source


def _source(config: RunConfig) -> Any:
    if config.source is not None and config.source.startswith("mini:"):
        return _mini_with(config.source)
    if config.source is not None and config.source.startswith("random-split:"):
        # By the place in order I, also where training is in order II, as in the reference.
        tasks = ORDERS["I"] if config.benchmark == "mtil" else ()
        return RandomSplitFolder(config.source.partition(":")[2], tasks=tasks, exif_orientation=config.exif_orientation)
    if config.source in ("mini", "perfect") or (config.source is None and config.benchmark == "mini"):
        return PerfectGenerator() if config.source == "perfect" else mini_generator()
    if config.source is not None:
        if Path(config.source, "text_to_image").is_dir():
            return mini_generator(config.source)
        return config.source if config.exif_orientation else as_source(config.source, exif_orientation=False)
    if config.benchmark == "digits":
        return PrintedGlyphs()
    raise ValueError("expected --source DIR, pictures with prompts or a diffusers pipeline, for the strategy gift; got none")


def _mini_with(source: str) -> Any:
    if (found := re.fullmatch(r"mini:(\d+)(?::(\d+(?:\.\d+)?))?", source)) is None:
        raise ValueError(f"expected a source as mini:STEPS or mini:STEPS:GUIDANCE, got {source!r}")
    return mini_generator(steps=int(found[1]), guidance=float(found[2] or GUIDANCE))


def base_vocabulary(benchmark: str) -> Sequence[str] | None:
    """The base prompts of a benchmark; None for ImageNet's 1,000."""
    if benchmark in CLASS_INCREMENTAL:
        return cil_base_prompts("CIFAR100" if benchmark.startswith("cifar100") else "TinyImageNet")
    return BASE_PROMPTS.get(benchmark)


def sample_pictures(config: RunConfig, count: int = 24) -> list[tuple[Any, str]]:
    """Some of the source's pictures with their prompts, to look at; none where making them could take long."""
    source = as_source(load_source(config))
    seed = picture_seed(0, 0, config.seed)
    if isinstance(source, PairSource):
        pictures, prompts = source.pairs(count, seed=seed)
    elif config.benchmark in BASE_PROMPTS:
        prompts = random.Random(seed).sample(list(BASE_PROMPTS[config.benchmark]), count)
        pictures = source.generate(prompts, [picture_seed(0, index, config.seed) for index in range(count)])
    else:
        return []
    return list(zip(pictures, prompts, strict=True))
