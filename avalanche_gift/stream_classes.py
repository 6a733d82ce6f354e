"""The classes of a stream, task by task: what its data sets carry with them, and what a CLIP classifier scores images by."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from avalanche_gift.prompts import DEFAULT_TEMPLATES, class_prompts, training_prompts

ATTRIBUTE = "named_classes"
"""Of a data set: for each sample the number of its task, and `.stream`, the `StreamClasses` that the number counts in."""


@dataclass(frozen=True)
class TaskClasses:
    """The classes of one task, or of one step of a class-incremental stream.

    labels: of the classes, as the data has them. class_names: in the same order.
    templates: with `{c}`; training uses the first, evaluation averages over all.
    task_label: of every sample of the task; 0 throughout a class-incremental stream.
    learning_rate: the base rate, if the protocol has one per task.
    generation_template: of prompts for synthetic images of these classes; the first template if None.
    """

    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    templates: tuple[str, ...] = DEFAULT_TEMPLATES
    task_label: int = 0
    task_name: str | None = None
    learning_rate: float | None = None
    generation_template: str | None = None

    @cached_property
    def prompts(self) -> tuple[tuple[str, ...], ...]:
        """For each class its prompts, the training prompt first."""
        return class_prompts(self.class_names, self.templates)

    @property
    def generation_prompts(self) -> list[str]:
        """One prompt per class for synthetic images."""
        template = self.generation_template
        return training_prompts(self.class_names, self.templates if template is None else [template])


@dataclass(frozen=True, eq=False)
class StreamClasses:
    """The tasks of a stream, and how its classes are told apart.

    Task-incremental: each sample among the classes of its own task, which its task label names; labels may begin anew in
    every task. Class-incremental: among all classes seen so far; a label means one class throughout the stream.

    Two of them are equal if their contents are, whichever process or stream object made them.
    Raises ValueError for no task, or for task labels that two tasks of a task-incremental stream share.
    """

    tasks: tuple[TaskClasses, ...]
    class_incremental: bool

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("expected at least one task, got none")
        task_labels = [task.task_label for task in self.tasks]
        if not self.class_incremental and len(set(task_labels)) < len(task_labels):
            raise ValueError(f"expected a task label for each task of a task-incremental stream, got {task_labels}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the contents: the name of the stream's classes in checkpoints and caches."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, StreamClasses) and self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __deepcopy__(self, memo: Any) -> "StreamClasses":
        return self  # never changed; teachers are deep copies of the model, which knows it

    @property
    def protocol(self) -> str:
        """In words, as errors name it."""
        return "class-incremental" if self.class_incremental else "task-incremental"

    @cached_property
    def task_of_label(self) -> dict[int, int]:
        """The number of the task that each task label names, in a task-incremental stream."""
        return {task.task_label: number for number, task in enumerate(self.tasks)}

    @cached_property
    def prompts_of_class(self) -> dict[int, tuple[str, ...]]:
        """By label, in a class-incremental stream."""
        pairs = [(label, each) for task in self.tasks for label, each in zip(task.labels, task.prompts, strict=True)]
        return dict(reversed(pairs))  # the first task that has a class decides

    def labels_of(self, tasks: Sequence[int]) -> tuple[int, ...]:
        """The labels of these tasks, in order, each once."""
        return tuple(sorted({label for number in tasks for label in self.tasks[number].labels}))

    def __str__(self) -> str:
        """The first names of each task, for errors."""
        shown = ["/".join(task.class_names[:3]) + ("/..." if len(task.class_names) > 3 else "") for task in self.tasks]
        return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")


@dataclass(frozen=True)
class ExperienceClasses:
    """The tasks of a stream that a data set holds samples of; one, but for joint training and replay buffers."""

    stream: StreamClasses
    numbers: tuple[int, ...]

    @property
    def tasks(self) -> tuple[TaskClasses, ...]:
        """In the order of the stream."""
        return tuple(self.stream.tasks[number] for number in self.numbers)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all its tasks."""
        return tuple(name for task in self.tasks for name in task.class_names)

    @property
    def prompts(self) -> tuple[tuple[str, ...], ...]:
        """For each class its prompts, the training prompt first."""
        return tuple(prompts for task in self.tasks for prompts in task.prompts)

    @property
    def first_prompts(self) -> list[str]:
        """The training prompt of each class."""
        return [prompts[0] for prompts in self.prompts]

    @property
    def generation_prompts(self) -> list[str]:
        """One prompt per class for synthetic images."""
        return [prompt for task in self.tasks for prompt in task.generation_prompts]


def find_classes(source: Any) -> ExperienceClasses | None:
    """The named classes of an experience or a data set; None if it carries none."""
    dataset = getattr(source, "dataset", source)
    attribute = getattr(dataset, ATTRIBUTE, None)
    if attribute is None:
        return None
    return ExperienceClasses(attribute.stream, tuple(sorted(int(number) for number in attribute.uniques)))


def classes_of(source: Any) -> ExperienceClasses:
    """As `find_classes`; raises ValueError, with the shortest way to give names, if there are none."""
    found = find_classes(source)
    if found is None:
        raise ValueError(
            f"expected data with class names, got {type(source).__name__} without; name the classes of the whole benchmark "
            'once, by label: benchmark = with_class_names(benchmark, ["cat", "dog", ...]) '
            "(from avalanche_gift.benchmarks), or make it with clip_benchmark or ClassFolders"
        )
    return found


def check_protocol(class_incremental: bool | None, stream: StreamClasses, strategy: str) -> None:
    """Raises ValueError if the argument of a strategy says otherwise than its data; None says nothing."""
    if class_incremental not in (None, stream.class_incremental):
        raise ValueError(
            f"expected a {'class' if class_incremental else 'task'}-incremental stream, as "
            f"class_incremental={class_incremental} of {strategy} says, got data of a {stream.protocol} one ({stream}); change "
            f"that argument, or make the stream with class_incremental={class_incremental}"
        )


def origin_stream(experience: Any) -> Any:
    """The stream that an experience is of; None if it is of none, which Avalanche says in different ways."""
    try:
        return experience.origin_stream
    except (AssertionError, AttributeError):
        return None


def other_stream(one: StreamClasses, other: StreamClasses, keeper: str = "a memory or batch") -> ValueError:
    """The error for samples that two streams number by the same labels."""
    return ValueError(
        f"expected samples of one stream in {keeper}, got some of ({one}) and some of ({other}); make one benchmark of all "
        "tasks, or use no memory across the two"
    )


def check_attributes(experience: Any) -> None:
    """Raises ValueError if names or templates were set on an experience by hand, since those of its data count."""
    (task, *others) = classes_of(experience).tasks
    for name in ("class_names", "templates"):
        given = getattr(experience, name, None)
        if not others and given is not None and tuple(given) != getattr(task, name):
            raise ValueError(
                f"expected the {name} that the data carries, {getattr(task, name)}, got {tuple(given)} set on the experience; "
                "give them when the stream is made, or by with_class_names(benchmark, names, templates)"
            )
