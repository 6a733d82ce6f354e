"""From tasks (pictures, class names, templates) to an Avalanche benchmark for CLIP."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.scenarios import CLScenario

# The one way to datasets with task labels and `task_set`, which Avalanche's own LwF and balanced loaders read.
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset
from torch.utils.data import Dataset

from avalanche_gift.benchmarks.named_data import name_dataset, new_identity
from avalanche_gift.benchmarks.picture_cache import CachedPictures, FromCache, FromOriginal
from avalanche_gift.benchmarks.pictures import readable, thin
from avalanche_gift.names import check_name
from avalanche_gift.prompts import DEFAULT_TEMPLATES, class_prompts
from avalanche_gift.stream_classes import StreamClasses, TaskClasses


@dataclass(frozen=True)
class Task:
    """One data set of a stream, its labels counted from 0.

    train, test: map-style data sets of (PIL picture, label) with `.targets`, the labels, so that no picture is opened to
    learn them. class_names[label], templates with `{c}`, learning_rate: the base rate, where the protocol has one a task.
    generation_template: of prompts for synthetic pictures of these classes; the first template where None.
    """

    name: str
    train: Dataset
    test: Dataset
    class_names: Sequence[str]
    templates: Sequence[str] = DEFAULT_TEMPLATES
    learning_rate: float | None = None
    generation_template: str | None = None


def clip_benchmark(
    tasks: Sequence[Task],
    *,
    train_transform: Callable[[Any], Any],
    eval_transform: Callable[[Any], Any],
    class_incremental: bool = False,
    shots: int | None = None,
    max_pictures: int | None = None,
    seed: int = 0,
    skip_unreadable: bool = False,
    cache_dir: str | Path | None = None,
) -> CLScenario:
    """A benchmark with `train_stream` and `test_stream`, one experience a task, in the order given.

    Task-incremental: labels 0..k-1 in each experience, the task label is its number and comes with every sample, so that
    buffers and loaders keep it. Class-incremental: labels run on through the stream, in its order; the task label is 0.
    shots: train pictures of every class; max_pictures: a cap on each split of a task. Both drawn by `seed`, none opened.
    skip_unreadable: opens every picture beforehand and leaves out, with a warning, those that can't be read; otherwise such
    a picture is an error that names it, once it is needed.
    cache_dir: a folder where the resized test pictures are kept, so that every one is decoded once (150 kB each at 224
    pixels). The results are the same bit by bit.

    Class names, templates, rates and the protocol travel with the data (`stream_classes.classes_of(dataset)`), so that subsets,
    buffers, validation and online splits keep them. For reading, every experience also has `task_name`, `class_names`,
    `templates`, `learning_rate` and `generation_template`.

    Raises ValueError for no task, repeated task names, a task with fewer than two classes, or labels without a name; in the
    class-incremental case also for a class name in two tasks.
    """
    _check_tasks(tasks, class_incremental)
    tasks = [_fewer(task, shots, max_pictures, seed, skip_unreadable) for task in tasks]
    transforms: dict[str, Any] = {
        key: {"train": (train_transform, None), "eval": (eval_transform, None)} for key in ("train", "test")
    }
    if cache_dir is not None:
        tasks = [replace(task, test=_cached(task, eval_transform, cache_dir)) for task in tasks]
        transforms["test"] = {"train": (FromOriginal(train_transform), None), "eval": (FromCache(eval_transform), None)}
    streams: dict[str, list[Any]] = {"train": [], "test": []}
    classes, identity = _stream_classes(tasks, class_incremental), new_identity()
    for number, (task, own) in enumerate(zip(tasks, classes.tasks, strict=True)):
        first = own.labels[0]
        for stream, source in (("train", task.train), ("test", task.test)):
            dataset = _make_taskaware_classification_dataset(
                _Shifted(source, first) if class_incremental else source,
                transform_groups=transforms[stream],
                task_labels=own.task_label,
                targets=[int(label) + first for label in _targets(source, task.name)],
            )
            streams[stream].append(name_dataset(dataset, classes, number, identity))
    benchmark = with_task_labels(with_classes_timeline(benchmark_from_datasets(**streams)))
    for stream in benchmark.streams.values():
        for experience, task in zip(stream, tasks, strict=True):
            experience.task_name = task.name
            experience.class_names = tuple(task.class_names)
            experience.templates = tuple(task.templates)
            experience.learning_rate = task.learning_rate
            experience.generation_template = task.generation_template
    return benchmark


def _stream_classes(tasks: Sequence[Task], class_incremental: bool) -> StreamClasses:
    made, first = [], 0
    for number, task in enumerate(tasks):
        made.append(
            TaskClasses(
                labels=tuple(range(first, first + len(task.class_names))),
                class_names=tuple(task.class_names),
                templates=tuple(task.templates),
                task_label=0 if class_incremental else number,
                task_name=task.name,
                learning_rate=None if task.learning_rate is None else float(task.learning_rate),
                generation_template=task.generation_template,
            )
        )
        first += len(task.class_names) if class_incremental else 0
    return StreamClasses(tuple(made), class_incremental)


def in_order(names: Sequence[str], order: Sequence[str] | None) -> list[str]:
    """`order` itself where every name in it is known; all names, as they are, where it is None; the first 2 for `["2"]`.

    Raises ValueError for an unknown name, or a number of tasks that there are not.
    """
    if order is None:
        return list(names)
    if len(order) == 1 and order[0] not in names and str(order[0]).isdecimal():
        if not 1 <= (count := int(order[0])) <= len(names):
            raise ValueError(f"expected a number of tasks from 1 to {len(names)}, got {count}; there are {', '.join(names)}")
        return list(names)[:count]
    return [check_name("task", name, names) for name in order]


def _fewer(task: Task, shots: int | None, max_pictures: int | None, seed: int, skip_unreadable: bool) -> Task:
    train = thin(task.train, name=f"{task.name}, train", shots=shots, max_pictures=max_pictures, seed=seed)
    test = thin(task.test, name=f"{task.name}, test", max_pictures=max_pictures, seed=seed)
    if skip_unreadable:
        train, test = (readable(part, name=task.name) for part in (train, test))
    return replace(task, train=train, test=test)


def _cached(task: Task, transform: Callable[[Any], Any], folder: str | Path) -> CachedPictures:
    return CachedPictures(task.test, name=task.name, transform=transform, folder=folder)


class _Shifted(Dataset):
    """A data set whose labels begin at `first`."""

    def __init__(self, source: Any, first: int):
        self.source, self.first = source, first

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        picture, label = self.source[index]
        return picture, int(label) + self.first


def _targets(source: Any, name: str) -> Sequence[int]:
    targets = getattr(source, "targets", None)
    if targets is None:
        raise ValueError(f"expected data sets with .targets for the task {name!r}, got {type(source).__name__} without")
    return targets


def _check_tasks(tasks: Sequence[Task], class_incremental: bool) -> None:
    names = [task.name for task in tasks]
    if not tasks or len(set(names)) != len(names):
        raise ValueError(f"expected at least one task and distinct names, got {names}")
    for task in tasks:
        class_prompts(task.class_names, task.templates)
        if len(task.class_names) < 2:
            raise ValueError(f"expected at least two classes in the task {task.name!r}, got {list(task.class_names)}")
        for split, source in (("train", task.train), ("test", task.test)):
            labels = {int(label) for label in _targets(source, task.name)}
            if not labels or min(labels) < 0 or max(labels) >= len(task.class_names):
                raise ValueError(
                    f"expected {split} labels 0..{len(task.class_names) - 1} in the task {task.name!r}, got "
                    f"{f'{min(labels)}..{max(labels)}' if labels else 'no pictures'}"
                )
    if class_incremental:
        class_prompts([name for task in tasks for name in task.class_names], DEFAULT_TEMPLATES)
