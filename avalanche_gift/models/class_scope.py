"""Which classes an image is scored among: decided by the data at hand, not by a setting."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.models import MultiTaskModule
from torch import Tensor

from avalanche_gift.losses import MASKED_LOGIT
from avalanche_gift.models.class_texts import ClassTexts
from avalanche_gift.prompts import DEFAULT_TEMPLATES, class_prompts
from avalanche_gift.stream_classes import StreamClasses, classes_of, find_classes, origin_stream

KEPT_TEXTS = 64
"""Sets of classes whose tokens are kept."""

_NOT_GIVEN: Any = object()


@dataclass(frozen=True)
class ClassScope:
    """The classes of the experience that a strategy works on.

    own: numbers of its tasks in `stream`. seen: numbers of the tasks that a class-incremental stream is told apart among: those
    trained so far and its own, or all of them if none was trained.
    """

    stream: StreamClasses
    own: tuple[int, ...]
    seen: tuple[int, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """Of the classes that a class-incremental stream is told apart among."""
        return self.stream.labels_of(self.seen)

    def tasks_of(self, task_labels: Tensor) -> list[int]:
        """The tasks of a task-incremental batch, in the order of the stream. ValueError for a label that names none."""
        present = torch.unique(task_labels).tolist()
        if strange := sorted(set(present) - self.stream.task_of_label.keys()):
            raise ValueError(
                f"expected the task labels {sorted(self.stream.task_of_label)} of the stream at hand ({self.stream}), got also "
                f"{strange}: samples of another stream"
            )
        return sorted(self.stream.task_of_label[label] for label in present)


def own_columns(logits: Tensor, labels_of_tasks: Sequence[Sequence[int]], task_of_row: Tensor) -> Tensor:
    """From logits over several tasks' classes, one task behind the other, those of each row's own task: [B, width].

    logits: [B, classes of all tasks]. labels_of_tasks: the labels of each task's classes. task_of_row: [B], places in that
    list. Column = label; the columns that are no class of a row's own task hold `MASKED_LOGIT`.
    """
    width = 1 + max(label for labels in labels_of_tasks for label in labels)
    sources, first = torch.full((len(labels_of_tasks), width), -1), 0
    for task, labels in enumerate(labels_of_tasks):
        sources[task, list(labels)] = torch.arange(first, first + len(labels))
        first += len(labels)
    source = sources.to(logits.device)[task_of_row]
    return logits.gather(1, source.clamp(min=0)).masked_fill(source < 0, MASKED_LOGIT)


class AnotherStreamWarning(UserWarning):
    """A model that was trained on one stream is trained on another whose task labels mean other classes."""


def _check_task_labels(dataset: Any, stream: StreamClasses) -> None:
    """Raises ValueError if task labels were given anew after the names."""
    attribute = getattr(dataset, "targets_task_labels", None)
    known = {task.task_label for task in stream.tasks}
    if attribute is not None and (strange := sorted({int(task) for task in attribute.uniques} - known)):
        raise ValueError(
            f"expected the task labels {sorted(known)} of the {stream.protocol} stream ({stream}), got also {strange}, given "
            "after the names; call with_class_names last"
        )


class ScopedClassifier(MultiTaskModule):
    """Scores images among the classes that the data names.

    Avalanche's strategies show each experience to the model (`adaptation`) and hand
    over the task labels of every batch, in training, evaluation, teachers and reference passes alike:

    - task-incremental streams: each row among the classes of its own task, whichever tasks the batch mixes;
    - class-incremental streams: all rows among all classes trained so far and those of the experience; a model that was trained
      on none of the stream, among all of its classes.

    The column of a class is its label; columns without a class to compare with hold `losses.MASKED_LOGIT`.

    Without a strategy, `set_classes` names them. Subclasses tokenise prompts and score images against them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._texts: ClassTexts | None = None
        self._scope: ClassScope | None = None
        self._training_scope: ClassScope | None = None
        self._trained: dict[str, set[int]] = {}
        self._built: dict[Any, ClassTexts] = {}
        self._checked: set[str] = set()

    @abstractmethod
    def tokenize_classes(
        self,
        prompts: Sequence[Sequence[str]],
        *,
        columns: Sequence[int] | None = None,
        width: int | None = None,
        groups: Sequence[int] | None = None,
    ) -> ClassTexts:
        """The texts of classes, from the prompts of each. Raises ValueError for classes of a group that can't be told apart."""

    @abstractmethod
    def _scores(self, images: Tensor, texts: ClassTexts) -> Tensor:
        """[N, 3, H, W] -> logits [N, columns of `texts`]."""

    @property
    def class_texts(self) -> ClassTexts | None:
        """What `model(images)` compares images with: the classes of the experience at hand, or those set; None for neither."""
        return self._texts if self.scope is None else self._texts_of(self.scope)

    @class_texts.setter
    def class_texts(self, texts: ClassTexts | None) -> None:
        """Sets them until a strategy shows the next experience with class names. Nothing is encoded before it is needed."""
        self._texts, self._scope, self._training_scope = texts, None, None

    def set_classes(self, class_names: Sequence[str], templates: Sequence[str] = DEFAULT_TEMPLATES) -> None:
        """Sets the classes by name, for use without a stream; column k of the logits is `class_names[k]`."""
        self.class_texts = self.tokenize_classes(class_prompts(class_names, templates))

    @contextmanager
    def using(self, texts: ClassTexts) -> Iterator[None]:
        """Within the block images are compared with these texts, whatever the experience."""
        before = self._texts, self._scope, self._training_scope
        self.class_texts = texts
        try:
            yield
        finally:
            self._texts, self._scope, self._training_scope = before

    def among(self, labels: Sequence[int]) -> ClassTexts:
        """Texts of some classes of the class-incremental stream at hand, at the columns of their labels, for `using`."""
        assert self.scope is not None and self.scope.stream.class_incremental
        return self._texts_of_labels(self.scope, tuple(sorted(labels)))

    def adaptation(self, experience: Any) -> None:
        """Avalanche's hook before each experience, in training and evaluation: takes up the names that its data carries.

        Raises ValueError if the data has no names and none were set by `set_classes`.
        """
        if find_classes(experience) is None and self._texts is not None:
            return
        found = classes_of(experience)
        self._check_stream(found.stream)
        _check_task_labels(experience.dataset, found.stream)
        # Not by train() and eval(), which plugins of Avalanche's leave as they please: its evaluations run without gradients.
        with_gradients = torch.is_grad_enabled()
        trains = with_gradients and getattr(origin_stream(experience), "name", "train") == "train"
        trained = self._trained.setdefault(found.stream.digest, set())
        if trains:
            self._warn_of_another_stream(found.stream)
            trained.update(found.numbers)
            self.known_train_tasks_labels |= {task.task_label for task in found.tasks}
        if not hasattr(experience, "task_labels") and hasattr(experience.dataset, "targets_task_labels"):
            # Online and validation splits lose the attribute, without which strategies do not hand task labels to a model.
            experience.task_labels = sorted(experience.dataset.targets_task_labels.uniques)
        self._texts = None
        seen = trained.union(found.numbers) if trained else range(len(found.stream.tasks))
        self._scope = ClassScope(found.stream, found.numbers, tuple(sorted(seen)))
        if with_gradients:
            self._training_scope = self._scope if trains else None

    @property
    def scope(self) -> ClassScope | None:
        """The classes of the experience at hand; None before the first, and after `set_classes`.

        With gradients the one in training, whatever was evaluated meanwhile.
        """
        return self._training_scope if torch.is_grad_enabled() and self._training_scope is not None else self._scope

    def trained_tasks(self) -> dict[str, list[int]]:
        """The numbers of the tasks trained so far, by the digest of their stream's classes: what a checkpoint keeps."""
        return {digest: sorted(tasks) for digest, tasks in self._trained.items() if tasks}

    def restore_trained_tasks(self, tasks: Mapping[str, Sequence[int]]) -> None:
        """What `trained_tasks` returned."""
        self._trained = {digest: set(numbers) for digest, numbers in tasks.items()}

    def forward(self, images: Tensor, task_labels: Tensor | int | None = _NOT_GIVEN) -> Any:
        """[N, 3, H, W] -> logits [N, classes].

        task_labels: [N], or one for all rows; needed for batches of several tasks of a task-incremental stream. None, as
        Avalanche means it: the logits among each trained task's classes, {task label: [N, classes]}.
        """
        if task_labels is None:
            return self.forward_all_tasks(images)
        scope = self.scope
        if scope is None or scope.stream.class_incremental or task_labels is _NOT_GIVEN:
            return self._scores(images, self._texts_at_hand())
        if isinstance(task_labels, int):
            return self.forward_single_task(images, task_labels)
        tasks = scope.tasks_of(task_labels)
        texts = self._texts_of_tasks(scope.stream, tuple(tasks))
        logits = self._scores(images, texts)
        if len(tasks) == 1:
            return logits
        labels = torch.tensor([scope.stream.tasks[task].task_label for task in tasks], device=task_labels.device)
        task_of_row = (task_labels[:, None] == labels[None, :]).int().argmax(1)
        return own_columns(logits, [scope.stream.tasks[task].labels for task in tasks], task_of_row)

    def forward_single_task(self, images: Tensor, task_label: int) -> Tensor:
        """Logits among the classes of one task, or, class-incremental, among those of the experience at hand."""
        scope = self.scope
        if scope is None or scope.stream.class_incremental:
            return self._scores(images, self._texts_at_hand())
        (task,) = scope.tasks_of(torch.tensor([task_label]))
        return self._scores(images, self._texts_of_tasks(scope.stream, (task,)))

    def forward_all_tasks(self, images: Tensor) -> dict[int, Tensor]:
        """By task label, among the classes of each task trained so far; one entry, 0, for a class-incremental stream."""
        scope = self.scope
        if scope is None or scope.stream.class_incremental:
            return {0: self._scores(images, self._texts_at_hand())}
        labels = [scope.stream.tasks[task].task_label for task in sorted(self._trained.get(scope.stream.digest, ()))]
        return {label: self.forward_single_task(images, label) for label in labels}

    def train(self, mode: bool = True) -> Any:
        if mode and self._training_scope is not None:
            self._scope = self._training_scope  # the way back from an evaluation within training
        return super().train(mode)

    def _warn_of_another_stream(self, stream: StreamClasses) -> None:
        before = None if self._training_scope is None else self._training_scope.stream
        if before is None or before == stream:
            return
        if {task.task_label for task in before.tasks} & {task.task_label for task in stream.tasks}:
            warnings.warn(
                f"training goes on with another stream ({stream}) whose task labels are those of the first ({before}): a "
                "memory or teacher that a plugin keeps of the first would be read by other names; use none across the two",
                AnotherStreamWarning,
                stacklevel=2,
            )

    def _texts_at_hand(self) -> ClassTexts:
        texts = self.class_texts
        if texts is None:
            raise RuntimeError(
                "expected classes to compare images with, got none: call model.set_classes([...]), or train and evaluate "
                "through a strategy on data with class names (avalanche_gift.benchmarks.with_class_names)"
            )
        self._texts = None if self._texts is None else self._texts.to(self._adaptation_device)
        return texts.to(self._adaptation_device)

    def _texts_of(self, scope: ClassScope) -> ClassTexts:
        """Of a batch whose task labels are not given."""
        if scope.stream.class_incremental:
            return self._texts_of_labels(scope, scope.labels)
        if len(scope.own) > 1:
            raise ValueError(
                f"expected task labels with a batch of data of {len(scope.own)} tasks ({scope.stream}), got none: call "
                "model(images, task_labels)"
            )
        return self._texts_of_tasks(scope.stream, scope.own)

    def _texts_of_tasks(self, stream: StreamClasses, tasks: tuple[int, ...]) -> ClassTexts:
        """The classes of one task at the columns of their labels, or of several tasks one behind the other."""
        labels = stream.tasks[tasks[0]].labels
        gaps = {} if len(tasks) > 1 or labels == tuple(range(len(labels))) else {"columns": labels, "width": max(labels) + 1}
        groups = {"groups": [len(stream.tasks[n].labels) for n in tasks]} if len(tasks) > 1 else {}
        return self._tokenized(
            (stream, tasks), lambda: {"prompts": [each for n in tasks for each in stream.tasks[n].prompts], **gaps, **groups}
        )

    def _texts_of_labels(self, scope: ClassScope, labels: tuple[int, ...]) -> ClassTexts:
        """Of a class-incremental stream, at the columns of their labels; as wide as the scope's classes need."""
        width = max(*scope.labels, *labels) + 1
        prompts = scope.stream.prompts_of_class
        gaps = {} if labels == tuple(range(width)) else {"columns": labels, "width": width}
        return self._tokenized((scope.stream, labels, width), lambda: {"prompts": [prompts[label] for label in labels], **gaps})

    def _check_stream(self, stream: StreamClasses) -> None:
        """Tokenises all classes of a stream once, so that names which can't be told apart are an error before any training."""
        if stream.digest in self._checked:
            return
        if stream.class_incremental:
            # All of them in the end.
            self.tokenize_classes([each[:1] for _, each in sorted(stream.prompts_of_class.items())])
        else:
            for task in stream.tasks:
                self.tokenize_classes([each[:1] for each in task.prompts])
        self._checked.add(stream.digest)

    def _tokenized(self, key: Any, arguments: Callable[[], dict[str, Any]]) -> ClassTexts:
        """Made once for a set of classes, on the device of the model."""
        device = self._adaptation_device
        texts = self._built.pop(key, None) or self.tokenize_classes(**arguments())
        self._built[key] = texts.to(device)
        while len(self._built) > KEPT_TEXTS:
            del self._built[next(iter(self._built))]
        return self._built[key]
