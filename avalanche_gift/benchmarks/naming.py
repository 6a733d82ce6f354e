"""Gives any Avalanche benchmark the names of its classes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.scenarios import CLScenario
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset

from avalanche_gift.benchmarks.named_data import name_dataset, new_identity
from avalanche_gift.prompts import DEFAULT_TEMPLATES, class_prompts
from avalanche_gift.stream_classes import StreamClasses, TaskClasses, find_classes

Names = Sequence[str] | Mapping[int, str] | Sequence[Sequence[str]]


def with_class_names(
    benchmark: CLScenario,
    class_names: Names,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    *,
    class_incremental: bool | None = None,
) -> CLScenario:
    """Any Avalanche benchmark, its data with class names: `with_class_names(SplitCIFAR100(10), CIFAR100.classes)`.

    Args:
        benchmark: with a stream `train`; validation and online splits are made from the result.
        class_names: by the label of the original data set (a list or a dict), also if Avalanche has numbered the classes
            anew. Or one list per training experience, its classes in the order of their labels: needed if labels begin anew
            in every experience and the benchmark does not know the original ones.
        templates: with `{c}`; training uses the first, evaluation averages over all.
        class_incremental: None reads it from the benchmark: task-incremental if its training experiences have different
            task labels, else class-incremental. False numbers the tasks of a benchmark without task labels.

    Returns:
        A new benchmark with the same streams; all samples carry task labels (0 throughout if class-incremental).

    Raises:
        ValueError: for labels without a name, labels that begin anew in a class-incremental stream, or names that the
            benchmark does not decide.
    """
    class_prompts([], templates)
    train = list(benchmark.streams["train"])
    labels = [_labels(experience.dataset) for experience in train]
    task_labels = [sorted(_task_labels(experience.dataset)) for experience in train]
    has_tasks = len({task for tasks in task_labels for task in tasks}) > 1
    originals = _original_labels(benchmark, labels)
    if class_incremental is None:
        class_incremental = not has_tasks
    elif class_incremental and _restart(labels, task_labels):
        raise ValueError(
            "expected labels that run on through a class-incremental stream, got labels that begin anew with each task label; "
            "make the benchmark with task_labels=False, or leave class_incremental out"
        )
    names = _names_by_experience(class_names, labels, originals, restart=has_tasks and _restart(labels, task_labels))
    if class_incremental:
        _check_one_name(labels, names)
        tasks = [TaskClasses(tuple(own), tuple(called), tuple(templates)) for own, called in zip(labels, names, strict=True)]
    else:
        own_tasks = [_sample_tasks(e.dataset) if has_tasks else [k] * len(e.dataset) for k, e in enumerate(train)]
        tasks = _task_incremental(train, labels, names, own_tasks, tuple(templates))
        if has_tasks and originals is None and not _is_nested(class_names):
            tasks = _with_classes_of_other_streams(benchmark, tasks, class_names)
    stream = StreamClasses(tuple(_carried(train, tasks)), class_incremental)
    identity = new_identity()
    streams = {
        name: [
            _named(experience.dataset, stream, place, identity, number_tasks=not class_incremental and not has_tasks)
            for place, experience in enumerate(each)
        ]
        for name, each in benchmark.streams.items()
    }
    made = with_task_labels(with_classes_timeline(benchmark_from_datasets(**streams)))
    facts = _facts(benchmark)
    for each in made.streams.values():
        for experience in each:
            if facts is not None:
                experience.benchmark = facts
    for fact in RENUMBERING:
        if (known := _fact(benchmark, fact)) is not None:
            setattr(made, fact, known)
    return made


RENUMBERING = ("class_mapping", "original_classes_in_exp")
"""What Avalanche's `nc_benchmark` knows of the labels that it gave anew."""


def _is_nested(names: Any) -> bool:
    return not isinstance(names, Mapping) and len(names) > 0 and not isinstance(names[0], str)


def _fact(benchmark: Any, name: str) -> Any:
    """Of the benchmark, or of the one that a stream of it was taken over from."""
    for each in (benchmark, *(getattr(stream, "benchmark", None) for stream in benchmark.streams.values())):
        if (found := getattr(each, name, None)) is not None:
            return found
    return None


def _sample_tasks(dataset: Any) -> list[int]:
    return [int(task) for task in dataset.targets_task_labels]


def _task_incremental(
    train: Sequence[Any],
    labels: Sequence[Sequence[int]],
    names: Sequence[Sequence[str]],
    sample_tasks: Sequence[Sequence[int]],
    templates: tuple[str, ...],
) -> list[TaskClasses]:
    """One task per task label; ValueError for a label of a task that has two names."""
    found: dict[int, dict[int, str]] = {}
    for experience, own, called, tasks in zip(train, labels, names, sample_tasks, strict=True):
        name_of = dict(zip(own, called, strict=True))
        for task, label in sorted({*zip(tasks, map(int, experience.dataset.targets), strict=True)}):
            if (known := found.setdefault(task, {}).setdefault(label, name_of[label])) != name_of[label]:
                raise ValueError(
                    f"expected one class per label and task label, got {known!r} and {name_of[label]!r} for label {label} of "
                    f"task label {task}; give experiences of other classes task labels of their own"
                )
    return [_task(task, by_label, templates) for task, by_label in sorted(found.items())]


def _task(task: int, by_label: Mapping[int, str], templates: tuple[str, ...]) -> TaskClasses:
    labels = tuple(sorted(by_label))
    class_prompts([by_label[label] for label in labels], templates)
    return TaskClasses(labels, tuple(by_label[label] for label in labels), templates, task)


def _with_classes_of_other_streams(benchmark: Any, tasks: Sequence[TaskClasses], names: Any) -> list[TaskClasses]:
    """A named class without training images is one of its task, too, if the test images say of which."""
    flat = names if isinstance(names, Mapping) else dict(enumerate(names))
    known = {task.task_label: dict(zip(task.labels, task.class_names, strict=True)) for task in tasks}
    for stream in benchmark.streams.values():
        for experience in stream:
            for task, label in {*zip(_sample_tasks(experience.dataset), map(int, experience.dataset.targets), strict=True)}:
                if task in known and label in flat:
                    known[task].setdefault(label, flat[label])
    return [_task(task.task_label, known[task.task_label], task.templates) for task in tasks]


def _carried(train: Sequence[Any], tasks: Sequence[TaskClasses]) -> list[TaskClasses]:
    """With the names, rates and generation templates of the tasks, if the data carried them before."""
    before = [find_classes(experience) for experience in train]
    if len(tasks) != len(train) or any(found is None or len(found.numbers) != 1 for found in before):
        return list(tasks)
    kept = ("task_name", "learning_rate", "generation_template")
    olds = [found.tasks[0] for found in before if found is not None]
    return [replace(new, **{name: getattr(old, name) for name in kept}) for new, old in zip(tasks, olds, strict=True)]


def _labels(dataset: Any) -> list[int]:
    return sorted({int(label) for label in dataset.targets.uniques})


def _task_labels(dataset: Any) -> set[int]:
    attribute = getattr(dataset, "targets_task_labels", None)
    return {0} if attribute is None else {int(task) for task in attribute.uniques}


def _restart(labels: Sequence[Sequence[int]], task_labels: Sequence[Sequence[int]]) -> bool:
    """Whether a label occurs under two task labels."""
    owners: dict[int, set[tuple[int, ...]]] = {}
    for own, tasks in zip(labels, task_labels, strict=True):
        for label in own:
            owners.setdefault(label, set()).add(tuple(tasks))
    return any(len(tasks) > 1 for tasks in owners.values())


def _original_labels(benchmark: Any, labels: Sequence[Sequence[int]]) -> list[list[int]] | None:
    """For each experience the label in the original data set of each of its labels; None if they were not renumbered."""
    mapping, originals = (_fact(benchmark, name) for name in RENUMBERING)
    if mapping is None or originals is None or len(originals) != len(labels):
        return None
    back = [{mapping[original]: original for original in own} for own in originals]
    if any(set(own) - known.keys() for own, known in zip(labels, back, strict=True)):
        return None
    return [[known[label] for label in own] for own, known in zip(labels, back, strict=True)]


def _names_by_experience(
    names: Names, labels: Sequence[Sequence[int]], originals: list[list[int]] | None, *, restart: bool
) -> list[list[str]]:
    """The name of each label of each training experience."""
    if isinstance(names, str):
        raise ValueError(f"expected a list of class names, got the one string {names!r}")
    if not isinstance(names, Mapping):
        names = [each if isinstance(each, str) else list(each) for each in names]  # an array of names is one, too
    if _is_nested(names):
        names = cast(Sequence[Sequence[str]], names)
        counts = [len(own) for own in labels]
        if [len(own) for own in names] != counts:
            raise ValueError(
                f"expected class names for experiences of {counts} classes, got lists of {[len(own) for own in names]}"
            )
        for own in names:
            class_prompts(list(own), DEFAULT_TEMPLATES)
        return [list(own) for own in names]
    flat: Mapping[int, str] = names if isinstance(names, Mapping) else dict(enumerate(names))  # type: ignore[arg-type]
    wanted = labels if originals is None else originals
    used = [label for own in wanted for label in own]
    repeated_with_names_left = len(set(used)) < len(used) and bool(flat.keys() - set(used))
    if originals is None and (restart or repeated_with_names_left):
        raise ValueError(
            "expected one list of class names per experience, because the same labels occur in several: "
            'with_class_names(benchmark, [["cat", "dog"], ["car", "bus"]]); got one list for all'
        )
    if missing := sorted({label for own in wanted for label in own} - flat.keys()):
        raise ValueError(f"expected a name for every label of the benchmark, got {len(flat)} names and none for {missing[:20]}")
    class_prompts(list(flat.values()), DEFAULT_TEMPLATES)
    return [[flat[label] for label in own] for own in wanted]


def _check_one_name(labels: Sequence[Sequence[int]], names: Sequence[Sequence[str]]) -> None:
    """Raises ValueError for a label of a class-incremental stream that has two names."""
    known: dict[int, str] = {}
    for own, called in zip(labels, names, strict=True):
        for label, name in zip(own, called, strict=True):
            if known.setdefault(label, name) != name:
                raise ValueError(
                    f"expected one class per label of a class-incremental stream, got {known[label]!r} and {name!r} for label "
                    f"{label}: labels begin anew in each experience; make the benchmark with task_labels=True"
                )
    class_prompts([known[label] for label in sorted(known)], DEFAULT_TEMPLATES)


def _named(dataset: Any, stream: StreamClasses, place: int, identity: str, *, number_tasks: bool) -> Any:
    """The data set with names and with task labels; place: of its experience in its stream."""
    targets = [int(label) for label in dataset.targets]
    if stream.class_incremental or number_tasks or not hasattr(dataset, "targets_task_labels"):
        task_labels: Any = 0
        if number_tasks:
            task_labels = [stream.tasks[number].task_label for number in _numbers_by_label(stream, targets, place)]
        dataset = _make_taskaware_classification_dataset(dataset, targets=targets, task_labels=task_labels)
    if stream.class_incremental:
        return name_dataset(dataset, stream, _numbers_by_label(stream, targets, place), identity)
    own = _sample_tasks(dataset)
    if strange := sorted(set(own) - stream.task_of_label.keys()):
        raise ValueError(f"expected the task labels of training, {sorted(stream.task_of_label)}, got also {strange}")
    return name_dataset(dataset, stream, [stream.task_of_label[task] for task in own], identity)


def _numbers_by_label(stream: StreamClasses, targets: Sequence[int], place: int) -> list[int]:
    """The tasks of samples by their labels; `place`, the task of their own experience, if it has all of them."""
    if place < len(stream.tasks) and set(targets) <= set(stream.tasks[place].labels):
        return [place] * len(targets)
    first: dict[int, int] = {}
    for number, task in enumerate(stream.tasks):
        for label in task.labels:
            if first.setdefault(label, number) != number and not stream.class_incremental:
                raise ValueError(
                    f"expected experiences of one task each, got one with the label {label}, which is a class of several "
                    "tasks; give its samples task labels"
                )
    if missing := sorted(set(targets) - first.keys()):
        raise ValueError(f"expected the classes of the training stream in every stream, got also the labels {missing[:20]}")
    return [first[label] for label in targets]


def _facts(benchmark: Any) -> SimpleNamespace | None:
    """What Avalanche's iCaRL asks an experience's benchmark for, if the benchmark given knows it."""
    counts, order = (getattr(benchmark, name, None) for name in ("n_classes_per_exp", "classes_order"))
    return None if counts is None or order is None else SimpleNamespace(n_classes_per_exp=counts, classes_order=order)
