"""CIFAR100 and TinyImageNet in steps of new classes, as the paper's Tables 7 and 8 have them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from avalanche.benchmarks.scenarios import CLScenario

from avalanche_gift.benchmarks.class_names import class_names, class_order, templates
from avalanche_gift.benchmarks.datasets import read_dataset
from avalanche_gift.benchmarks.pictures import Pictures
from avalanche_gift.benchmarks.stream import Task, clip_benchmark
from avalanche_gift.benchmarks.transforms import given_or_clip
from avalanche_gift.prompts import DEFAULT_TEMPLATES


def SplitCIFAR100CLIP(
    root: str | Path,
    steps: int = 10,
    *,
    fixed_class_order: Sequence[int] | None = None,
    class_incremental: bool = True,
    train_transform: Callable[[Any], Any] | None = None,
    eval_transform: Callable[[Any], Any] | None = None,
    **options: Any,
) -> CLScenario:
    """CIFAR100 in 10, 20 or 50 steps of as many classes (any divisor of 100 is taken).

    The class at place k of the fixed order has label k; names keep their underscores; the one template is "a bad photo of a
    {c}."; prompts for synthetic pictures are "a photo of a {c}.". Class-incremental (default): the metric
    is `ClassIncrementalAccuracy`. Otherwise every step counts its labels from 0.
    The reference also tests with the random train transform; for that, give it as eval_transform, too.
    options: shots, max_pictures, seed, skip_unreadable and cache_dir, as `clip_benchmark`.
    Raises ValueError for steps that don't divide the classes or an order that is no permutation, and as `read_dataset`.
    """
    parts = read_dataset("CIFAR100", root)
    order = _order("CIFAR100", fixed_class_order)
    tasks = _steps(parts, class_names("CIFAR100_CIL"), order, _equal(len(order), steps))
    transforms = given_or_clip(train_transform, eval_transform)
    return clip_benchmark(tasks, **transforms, class_incremental=class_incremental, **options)


def SplitTinyImageNetCLIP(
    root: str | Path,
    steps: int = 5,
    *,
    base_classes: int = 100,
    fixed_class_order: Sequence[int] | None = None,
    class_incremental: bool = True,
    train_transform: Callable[[Any], Any] | None = None,
    eval_transform: Callable[[Any], Any] | None = None,
    **options: Any,
) -> CLScenario:
    """TinyImageNet: a first experience of 100 classes, then 5, 10 or 20 steps of as many; the official val set is the test.

    The rest as `SplitCIFAR100CLIP`. base_classes: 0 leaves the large first experience out.
    """
    parts = read_dataset("TinyImageNet", root)
    order = _order("TinyImageNet", fixed_class_order)
    if not 0 <= base_classes < len(order) or base_classes == 1:
        raise ValueError(f"expected base_classes of 0 or from 2 to {len(order) - 1}, got {base_classes}")
    sizes = [base_classes] * bool(base_classes) + _equal(len(order) - base_classes, steps)
    tasks = _steps(parts, class_names("TinyImageNet"), order, sizes)
    transforms = given_or_clip(train_transform, eval_transform)
    return clip_benchmark(tasks, **transforms, class_incremental=class_incremental, **options)


def _equal(classes: int, steps: int) -> list[int]:
    if steps < 1 or classes % steps or classes // steps < 2:
        raise ValueError(f"expected steps that divide {classes} classes into two or more each, got {steps}")
    return [classes // steps] * steps


def _order(dataset: str, given: Sequence[int] | None) -> Sequence[int]:
    order = class_order(dataset) if given is None else list(given)
    if sorted(order) != list(range(len(class_order(dataset)))):
        raise ValueError(f"expected a fixed_class_order with each of {len(class_order(dataset))} labels once, got {order}")
    return order


def _steps(parts: tuple[Pictures, Pictures], names: Sequence[str], order: Sequence[int], sizes: Sequence[int]) -> list[Task]:
    tasks, first = [], 0
    for size in sizes:
        labels = order[first : first + size]
        train, test = (_of_classes(part, labels) for part in parts)
        tasks.append(
            Task(
                name=f"classes {first}-{first + size - 1}",
                train=train,
                test=test,
                class_names=tuple(names[label] for label in labels),
                templates=templates("CIL"),
                generation_template=DEFAULT_TEMPLATES[0],
            )
        )
        first += size
    return tasks


def _of_classes(pictures: Pictures, labels: Sequence[int]) -> Pictures:
    """The pictures of some classes, the class at place k labelled k."""
    place = {label: index for index, label in enumerate(labels)}
    rows = [row for row, label in enumerate(pictures.targets) if label in place]
    return pictures.take(rows).relabel(place)
