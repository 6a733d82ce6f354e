"""Average and Last of class-incremental learning as an Avalanche metric."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
from avalanche.evaluation.metric_results import MetricValue
from torch import Tensor

from avalanche_gift.stream_classes import find_classes

from .stream_metric import StreamMetric

__all__ = ["ClassIncrementalAccuracy"]


class ClassIncrementalAccuracy(StreamMetric):
    """Publishes, after every `strategy.eval` that covers all experiences trained so far, as plain floats in percent:

        CILAccuracy/eval_phase/test_stream      pooled over the test images of the classes seen so far, all of one weight
        CILAverage/...      its mean over all steps; absent if an earlier step was not evaluated
        CILLast/...         its latest value

    A step is one training, in any order; an experience that is trained again is a step, too. Experiences that are still to come
    may be evaluated; they don't count. If test and train experiences do not belong together one by one (one common test set,
    see `StreamMetric`), the whole test stream is needed, and an image counts once its class was among the training labels.

    Publishes nothing for data that names the tasks of a task-incremental stream, so that an evaluator may have it for both
    protocols. Raises ValueError, for data without names, if two test experiences share labels, and for any if images were
    classified among fewer classes than were seen.
    """

    keys = ("CILAccuracy", "CILAverage", "CILLast")

    def __init__(self, stream: str = "test"):
        super().__init__(stream)
        self._accuracies: dict[int, float] = {}
        self._classes: set[int] = set()
        self._labels: dict[int, set[int]] = {}
        self._counts: dict[int, tuple[int, int]] = {}
        self._width: float = float("inf")
        self.reset()

    def reset(self) -> None:
        """Forgets the experience being evaluated. Finished steps stay for the lifetime of the object."""
        self._counting = False
        self._hits: Tensor | int = 0
        self._seen = 0

    def result(self) -> dict[str, float]:
        """In percent: `accuracy`, `last` and, if every step was evaluated, `average`; empty before."""
        steps = len(self._trained)
        if steps not in self._accuracies:
            return {}
        values = {"accuracy": self._accuracies[steps], "last": self._accuracies[steps]}
        if len(self._accuracies) == steps:
            values["average"] = fmean(self._accuracies.values())
        return values

    def state_dict(self) -> dict[str, Any]:
        """Finished steps, as values that JSON can hold."""
        accuracies = [list(step) for step in sorted(self._accuracies.items())]
        return {**self.trained_state(), "classes": sorted(self._classes), "accuracies": accuracies}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.load_trained_state(state)
        self._classes = set(state.get("classes", ()))
        self._accuracies = {int(step): value for step, value in state["accuracies"]}

    def forget(self) -> None:
        self._accuracies = {}

    def outdate(self, row: int) -> None:
        self._accuracies.pop(row, None)

    def after_training_exp(self, strategy: Any) -> None:
        super().after_training_exp(strategy)
        dataset = getattr(strategy, "adapted_dataset", strategy.experience.dataset)
        self._classes |= {int(label) for label in dataset.targets.uniques}

    def before_eval(self, strategy: Any) -> None:
        super().before_eval(strategy)
        self._counts, self._labels, self._width = {}, {}, float("inf")

    def before_eval_exp(self, strategy: Any) -> None:
        self.reset()
        self._counting = self.counts(strategy.experience) and not _within_tasks(strategy.experience)

    def after_eval_iteration(self, strategy: Any) -> None:
        if not self._counting:
            return
        number, labels = strategy.experience.current_experience, strategy.mb_y
        counted = self._counted(number, labels)
        self._hits = self._hits + (counted & (strategy.mb_output.argmax(1) == labels)).sum()
        self._seen += int(counted.sum())
        self._labels.setdefault(number, set()).update(labels[counted].unique().tolist())
        if counted.any():
            self._width = min(self._width, strategy.mb_output.shape[1])

    def after_eval_exp(self, strategy: Any) -> None:
        if self._counting:
            self._counts[strategy.experience.current_experience] = (int(self._hits), self._seen)
        self.reset()

    def after_eval(self, strategy: Any) -> list[MetricValue] | None:
        wanted = self._known_experiences()
        needed = set(range(self._columns)) if wanted is None else wanted
        hits, seen = (sum(part) for part in zip((0, 0), *self._counts.values(), strict=True))
        if self._in_train or not needed <= self._counts.keys() or not seen:
            return None
        self._check()
        self._accuracies[len(self._trained)] = 100 * hits / seen
        values = {f"CIL{name.title()}": value for name, value in self.result().items()}
        return self.values(values, strategy.clock.train_iterations)

    def _known_experiences(self) -> set[int] | None:
        """The test experiences of what was trained; None if they are not known."""
        known = [which for which in self.trained if which is not None]
        return {j for which in known for j in which} if len(known) == len(self._trained) else None

    def _counted(self, number: int, labels: Tensor) -> Tensor:
        """Which images of a batch count."""
        known = self._known_experiences()
        if known is not None:
            return torch.full_like(labels, number in known, dtype=torch.bool)
        return torch.isin(labels, torch.tensor(sorted(self._classes), dtype=labels.dtype, device=labels.device))

    def _check(self) -> None:
        labels = [label for each in self._labels.values() for label in each]
        if len(labels) != len(set(labels)) and self._watched_classes is None:
            raise ValueError(
                "expected labels that run on through the stream, but two experiences share some; make the stream with "
                "class_incremental=True"
            )
        if self._width <= max(labels):
            raise ValueError(
                f"expected every image to be classified among all classes seen, at least {max(labels) + 1}, got {self._width}; "
                "let the data name its classes (avalanche_gift.benchmarks.with_class_names)"
            )


def _within_tasks(experience: Any) -> bool:
    """Whether images are told apart within their task."""
    found = find_classes(experience)
    return found is not None and not found.stream.class_incremental
