"""Average and Last of class-incremental learning as an Avalanche metric."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from avalanche.evaluation import PluginMetric
from avalanche.evaluation.metric_results import MetricValue
from torch import Tensor

__all__ = ["ClassIncrementalAccuracy"]


class ClassIncrementalAccuracy(PluginMetric[dict[str, float]]):
    """Publishes, after every `strategy.eval` that covers all experiences trained so far, as plain floats in percent:

        CILAccuracy/eval_phase/test_stream      pooled over the classes seen so far
        CILAverage/...      its mean over all steps; left out where an earlier step was not evaluated
        CILLast/...         its latest value

    Needs a class-incremental stream and `ClassTextsPlugin(class_incremental=True)`, or every picture would be compared with
    the classes of its own experience. Experiences that are still to come may be evaluated, too; they don't count.
    Raises ValueError where labels of two experiences overlap, as those of task-incremental streams do, or where pictures were
    classified among fewer classes than were seen.
    """

    def __init__(self, stream: str = "test"):
        super().__init__()
        self.stream = stream
        self._accuracies: dict[int, float] = {}
        self._trained = 0
        self._in_train = False
        self._labels: dict[int, set[int]] = {}
        self._counts: dict[int, tuple[int, int]] = {}
        self._widths: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Forgets the experience being evaluated. Finished steps stay for the lifetime of the object."""
        self._counting = False
        self._hits: Tensor | int = 0
        self._seen = 0

    def result(self) -> dict[str, float]:
        """`accuracy`, `last` and, where every step was evaluated, `average`; empty before."""
        if self._trained not in self._accuracies:
            return {}
        values = {"accuracy": self._accuracies[self._trained], "last": self._accuracies[self._trained]}
        if len(self._accuracies) == self._trained:
            values["average"] = fmean(self._accuracies.values())
        return values

    def state_dict(self) -> dict[str, Any]:
        """Finished steps, as values that JSON can hold."""
        return {"trained": self._trained, "accuracies": sorted(self._accuracies.items())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._trained = state["trained"]
        self._accuracies = {int(step): value for step, value in state["accuracies"]}

    def before_training(self, strategy: Any) -> None:
        self._in_train = True

    def after_training(self, strategy: Any) -> None:
        self._in_train = False

    def after_training_exp(self, strategy: Any) -> None:
        self._trained += getattr(strategy, "experiences_at_once", 1)

    def before_eval(self, strategy: Any) -> None:
        self._counts, self._widths = {}, {}

    def before_eval_exp(self, strategy: Any) -> None:
        self.reset()
        experience = strategy.experience
        self._counting = (
            not self._in_train
            and experience.origin_stream.name == self.stream
            and experience.current_experience < self._trained
        )

    def after_eval_iteration(self, strategy: Any) -> None:
        if self._counting:
            number = strategy.experience.current_experience
            self._hits = self._hits + (strategy.mb_output.argmax(1) == strategy.mb_y).sum()
            self._seen += len(strategy.mb_y)
            self._labels.setdefault(number, set()).update(strategy.mb_y.unique().tolist())
            self._widths[number] = strategy.mb_output.shape[1]

    def after_eval_exp(self, strategy: Any) -> None:
        if self._counting:
            self._counts[strategy.experience.current_experience] = (int(self._hits), self._seen)
        self.reset()

    def after_eval(self, strategy: Any) -> list[MetricValue] | None:
        if self._in_train or self._trained == 0 or set(self._counts) != set(range(self._trained)):
            return None
        self._check()
        hits, seen = (sum(part) for part in zip(*self._counts.values(), strict=True))
        self._accuracies[self._trained] = 100 * hits / seen
        x = strategy.clock.train_iterations
        return [
            MetricValue(self, f"CIL{name.title()}/eval_phase/{self.stream}_stream", value, x)
            for name, value in self.result().items()
        ]

    def _check(self) -> None:
        labels = [label for number in self._counts for label in self._labels[number]]
        if len(labels) != len(set(labels)):
            raise ValueError(
                "expected labels that run on through the stream, but two experiences share some; make the stream with "
                "class_incremental=True"
            )
        if min(self._widths.values()) <= max(labels):
            raise ValueError(
                f"expected every picture to be classified among all classes seen, at least {max(labels) + 1}, got "
                f"{min(self._widths.values())}; list ClassTextsPlugin(class_incremental=True) first"
            )
