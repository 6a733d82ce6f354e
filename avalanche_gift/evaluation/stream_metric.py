"""What the metrics of one stream share: which experiences were trained when, and which evaluations count."""

from __future__ import annotations

from typing import Any

from avalanche.evaluation import PluginMetric
from avalanche.evaluation.metric_results import MetricValue

from avalanche_gift.stream_classes import ATTRIBUTE, find_classes, origin_stream

__all__ = ["StreamMetric"]


class StreamMetric(PluginMetric[dict[str, float]]):
    """A metric of one stream, by which experiences were trained when.

    A training is one experience that `strategy.train` went through; the pieces into which `split_online_stream` cuts an
    experience are one training together, and so is joint training. If the data names its classes, a training covers the
    experiences of the watched stream that hold samples of its tasks; otherwise experience k of the stream named "train" belongs
    to experience k of the watched one, as everywhere in Avalanche. What a training covered is not known (`trained` has None
    there) if it was on a stream of another name, on a second benchmark, or on pieces that don't say where they come from; and
    of no training if the watched stream has fewer experiences than the train stream, as one common test set has.

    The watched stream is the one of its name in the benchmark that is trained; without names in the data, the first so named.
    Evaluations inside `train()` don't count, and neither do streams of other benchmarks. `eval()` and `train()` of Avalanche
    return the last value of every name ever published; values of this metric are taken out when the next training or evaluation
    begins, so that none outlives its time.
    """

    keys: tuple[str, ...] = ()
    """Names that the metric publishes, without phase and stream."""

    def __init__(self, stream: str = "test"):
        super().__init__()
        self.stream = stream
        self._trained: list[list[int] | None] = []
        self._train_length = 0
        self._columns = 0
        self._in_train = False
        self._watched: Any = None
        self._watched_classes: str | None = None
        self._train_stream: Any = None
        self._tasks_of_column: dict[int, tuple[int, ...]] = {}

    @property
    def trained(self) -> list[list[int] | None]:
        """The experiences that each training covered; None if they are not known."""
        if self._columns < self._train_length:
            return [None] * len(self._trained)
        return [None if which is None else self._columns_of(which) for which in self._trained]

    def _columns_of(self, tasks: list[int]) -> list[int]:
        """The experiences of the watched stream that hold samples of these tasks."""
        return [j for j in range(self._columns) if set(self._tasks_of_column.get(j, (j,))) & set(tasks)]

    @property
    def training_order(self) -> list[int] | None:
        """The experience of each training; None if one is not known or covered several."""
        order = [which[0] for which in self.trained if which is not None and len(which) == 1]
        return order if len(order) == len(self._trained) else None

    def trained_state(self) -> dict[str, Any]:
        """For `state_dict`, as values that JSON can hold."""
        return {
            "trained": self._trained,
            "train_length": self._train_length,
            "columns": self._columns,
            "watched": self._watched_classes,
            "tasks": [[j, list(tasks)] for j, tasks in sorted(self._tasks_of_column.items())],
        }

    def load_trained_state(self, state: dict[str, Any]) -> None:
        """What `trained_state` returned. Of states before there was an order, the number of experiences trained in order."""
        trained = state["trained"]
        if isinstance(trained, int):
            trained = [[k] for k in range(trained)]
        self._trained = [None if which is None else list(which) for which in trained]
        self._train_length = state.get("train_length", 0)
        self._columns = state.get("columns", 0)
        self._watched_classes = state.get("watched")
        self._tasks_of_column = {j: tuple(tasks) for j, tasks in state.get("tasks", ())}
        self._watched = self._train_stream = None

    def before_training(self, strategy: Any) -> None:
        self._in_train = True
        self._take_out(strategy)

    def after_training(self, strategy: Any) -> None:
        self._in_train = False

    def after_training_exp(self, strategy: Any) -> None:
        # Not clock.train_exp_counter: after a resume it need not have been restored yet, and it lags in this hook.
        origin, goes_on = _origin(strategy.experience)
        which = self._covered(origin, getattr(strategy, "experiences_at_once", 1))
        if goes_on and which is not None and self._trained[-1:] == [which]:
            self.outdate(len(self._trained))
        else:
            self._trained.append(which)

    def forget(self) -> None:
        """Called if what was evaluated so far turns out to be of another benchmark than what is trained."""

    def outdate(self, row: int) -> None:
        """Called if a training goes on with its next piece: what was measured after that many trainings no longer holds."""

    def before_eval(self, strategy: Any) -> None:
        self._take_out(strategy)

    def counts(self, experience: Any) -> bool:
        """Whether the evaluation of this experience, which begins, counts."""
        stream = _stream(experience)
        if self._in_train or stream is None or stream.name != self.stream:
            return False
        identity, classes = _identity(experience, stream)
        if self._watched is None and self._watched_classes in (None, classes):
            self._watched, self._watched_classes = identity, classes
        if identity != self._watched:
            return False
        if (found := find_classes(experience)) is not None:
            self._tasks_of_column[experience.current_experience] = found.numbers
        self._columns = max(self._columns, len(stream) if hasattr(stream, "__len__") else sum(1 for _ in stream))
        return True

    def values(self, results: dict[str, Any], x: int) -> list[MetricValue]:
        """To be published at x, in training iterations."""
        return [MetricValue(self, self._key(name), value, x) for name, value in results.items()]

    def __getstate__(self) -> dict[str, Any]:
        """Without the streams: a copy would take them for others than those that it is given, and hold their data."""
        return {**self.__dict__, "_watched": None, "_train_stream": None}

    def _covered(self, origin: Any, at_once: int) -> list[int] | None:
        stream = _stream(origin)
        if stream is None or stream.name != "train":
            return None
        identity, classes = _identity(origin, stream)
        if self._train_stream is None:
            self._train_stream = identity
        if identity != self._train_stream:
            return None
        if classes is not None and self._watched != identity:
            if self._watched is not None or self._watched_classes not in (None, classes):
                self._columns, self._tasks_of_column = 0, {}
                self.forget()
            self._watched, self._watched_classes = identity, classes
        # A lazy stream has no length.
        self._train_length = max(
            self._train_length, len(stream) if hasattr(stream, "__len__") else origin.current_experience + 1
        )
        if at_once == 1:
            found = find_classes(origin)
            return [origin.current_experience] if found is None else list(found.numbers)
        return list(range(at_once)) if at_once == self._train_length else None

    def _take_out(self, strategy: Any) -> None:
        published = getattr(getattr(strategy, "evaluator", None), "last_metric_results", {})
        for name in self.keys:
            published.pop(self._key(name), None)

    def _key(self, name: str) -> str:
        return f"{name}/eval_phase/{self.stream}_stream"


def _identity(experience: Any, stream: Any) -> tuple[Any, str | None]:
    """What tells benchmarks apart, and what a state keeps of it: the digest of its classes; the stream itself without names."""
    found = find_classes(experience)
    if found is None:
        return stream, None
    return getattr(experience.dataset, ATTRIBUTE).benchmark or found.stream.digest, found.stream.digest


def _origin(experience: Any) -> tuple[Any, bool]:
    """The experience of the stream as it was before `split_online_stream`, and whether this is a piece of it but the first.

    The experience is a copy for loggers, from which nothing is hidden.
    """
    if not hasattr(experience, "is_first_subexp"):
        return experience, False
    return experience.origin_experience, not experience.is_first_subexp


def _stream(experience: Any) -> Any:
    """The whole stream of an experience, which older streams don't give for a slice; None for an experience of no stream."""
    stream = origin_stream(experience)
    benchmark = getattr(stream, "benchmark", None)
    return stream if benchmark is None else benchmark.streams[stream.name]
