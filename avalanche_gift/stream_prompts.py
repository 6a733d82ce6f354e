"""The prompts of a stream's synthetic pictures, by the benchmark's name; only one's own folders are read for them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from avalanche_gift.benchmarks import ClassFolders, SplitCIFAR100CLIP
from avalanche_gift.benchmarks.class_names import class_names, class_order, templates
from avalanche_gift.benchmarks.digits import DIGITS, TEMPLATE
from avalanche_gift.benchmarks.mini import TASKS, TEMPLATES
from avalanche_gift.benchmarks.mtil import task_order
from avalanche_gift.benchmarks.sources import DRAWN
from avalanche_gift.benchmarks.stream import in_order
from avalanche_gift.by_name import BENCHMARKS, CLASS_INCREMENTAL, base_vocabulary
from avalanche_gift.names import check_name
from avalanche_gift.prompts import DEFAULT_TEMPLATES, imagenet_prompts, training_prompts
from avalanche_gift.stream_classes import classes_of

OF_OWN_ORDER = ("folders", "mini", "mtil")
"""Benchmarks whose tasks can be chosen."""


def base_of(benchmark: str) -> list[str]:
    """The broad vocabulary that training on a benchmark draws from."""
    base = base_vocabulary(benchmark)
    return imagenet_prompts() if base is None else list(base)


def drawn_of(benchmark: str, order: str | None, images: int) -> int:
    """Prompts drawn a task, of which the first `images` are used: of mtil as many as its published lists hold."""
    return max(images, DRAWN[order or "I"]) if benchmark == "mtil" else images


def stream_prompts(
    benchmark: str, *, data: str | None = None, order: str | None = None, tasks: Sequence[str] | None = None
) -> list[tuple[str, list[str]]]:
    """Name and generation prompts of each experience of the stream that `by_name.load_benchmark` makes.

    Raises ValueError for an unknown benchmark or task, or an option that the benchmark does not have.
    """
    check_name("benchmark", benchmark, BENCHMARKS)
    if order is not None and benchmark != "mtil":
        raise ValueError(f"expected --order for the benchmark mtil only, got it for {benchmark}")
    if tasks is not None and benchmark not in OF_OWN_ORDER:
        raise ValueError(f"expected no --tasks for {benchmark}, whose steps are fixed, got {list(tasks)}")
    if benchmark == "mini":
        return [(name, training_prompts(TASKS[name], TEMPLATES)) for name in in_order(tuple(TASKS), tasks)]
    if benchmark == "mtil":
        names = in_order(task_order(order or "I"), tasks)
        return [(name, training_prompts(class_names(name), templates(name))) for name in names]
    if benchmark == "digits":
        pairs = [DIGITS[first : first + 2] for first in range(0, len(DIGITS), 2)]
        return [("-".join(pair), training_prompts(pair, [TEMPLATE])) for pair in pairs]
    if benchmark == "folders":
        return _of_folders(data, tasks)
    stream, steps = CLASS_INCREMENTAL[benchmark]
    return _in_steps("CIFAR100" if stream is SplitCIFAR100CLIP else "TinyImageNet", steps)


def _of_folders(data: str | None, tasks: Sequence[str] | None) -> list[tuple[str, list[str]]]:
    if data is None:
        raise ValueError("expected --data DIR, the folder of the benchmark folders, got none")

    stream = ClassFolders(data, order=tasks, train_transform=_as_it_is, eval_transform=_as_it_is).train_stream
    return [(str(task.task_name), task.generation_prompts) for task in classes_of(stream[0]).stream.tasks]


def _in_steps(dataset: str, steps: int) -> list[tuple[str, list[str]]]:
    """TinyImageNet begins with half of its classes."""
    names = class_names("CIFAR100_CIL" if dataset == "CIFAR100" else dataset)
    labels = class_order(dataset)
    first = len(labels) // 2 if dataset == "TinyImageNet" else 0
    bounds = [0] * bool(first) + list(range(first, len(labels) + 1, (len(labels) - first) // steps))
    return [
        (f"classes {start}-{end - 1}", training_prompts([names[label] for label in labels[start:end]], DEFAULT_TEMPLATES))
        for start, end in pairwise(bounds)
    ]


def _as_it_is(picture: Any) -> Any:
    return picture
