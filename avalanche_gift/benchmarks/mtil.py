"""MTIL, the paper's stream of eleven data sets."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from avalanche.benchmarks.scenarios import CLScenario

from avalanche_gift.benchmarks.class_names import class_names, templates
from avalanche_gift.benchmarks.datasets import MissingDataset, how_to_get, missing_files, read_dataset, strays_of
from avalanche_gift.benchmarks.sources import LEARNING_RATES, ORDERS, SOURCES, check_sizes
from avalanche_gift.benchmarks.stream import Task, clip_benchmark
from avalanche_gift.benchmarks.transforms import given_or_clip
from avalanche_gift.names import check_name


def MTIL(
    root: str | Path,
    order: str | Sequence[str] = "I",
    *,
    train_transform: Callable[[Any], Any] | None = None,
    eval_transform: Callable[[Any], Any] | None = None,
    class_incremental: bool = False,
    **options: Any,
) -> CLScenario:
    """The eleven data sets of MTIL (Tables 1 and 2) as experiences: 1,201 classes, labels 0..k-1 in each, task labels 0..10.

    root: where torchvision's data sets are, each in its own folder (`avalanche-gift datasets --data ROOT` lists them).
    order: "I" (alphabetical), "II", or names of data sets, any of them in any order; only those are read.
    Transforms: usually `model.train_transform` and `model.eval_transform`; CLIP's at 224 pixels where None.
    options: shots, max_pictures, seed, skip_unreadable and cache_dir, as `clip_benchmark`.

    Every experience carries the published class names and templates and the learning rate of the paper's code.
    Class-incremental, names that two data sets share are refused: choose data sets without.
    Raises ValueError for an unknown order or data set, MissingDataset (a FileNotFoundError) with a line for each data set that
    is missing, DamagedDataset (a ValueError). Warns where a data set holds other numbers of pictures than the protocol's.
    """
    names, root = task_order(order), Path(root).expanduser()
    _check_root(root, names)
    tasks = [_task(name, root) for name in names]
    return clip_benchmark(
        tasks, **given_or_clip(train_transform, eval_transform), class_incremental=class_incremental, **options
    )


def task_order(order: str | Sequence[str]) -> tuple[str, ...]:
    """The data sets in the order "I" or "II", or those given. ValueError for other words or unknown names.

    >>> task_order("II")[:2]
    ('StanfordCars', 'Food')
    """
    if isinstance(order, str):
        return ORDERS[check_name("order", order, ORDERS)]
    return tuple(check_name("data set", name, ORDERS["I"]) for name in order)


def _check_root(root: Path, names: Sequence[str]) -> None:
    if not root.is_dir():
        raise FileNotFoundError(f"expected a folder with the data sets of MTIL, got {root}, which is no folder")
    missing = [(SOURCES[name], lacking) for name in names if (lacking := missing_files(SOURCES[name], root))]
    if missing:
        raise MissingDataset("\n".join(how_to_get(source, root, lacking) for source, lacking in missing))


def _task(name: str, root: Path) -> Task:
    train, test = read_dataset(name, root)
    try:
        check_sizes(name, len({*train.targets, *test.targets}), len(train), len(test), strays_of(train, test))
    except ValueError as error:
        warnings.warn(f"{error}: results are not comparable with published ones", stacklevel=1)
    return Task(
        name=name,
        train=train,
        test=test,
        class_names=class_names(name),
        templates=templates(name),
        learning_rate=LEARNING_RATES[name],
    )
