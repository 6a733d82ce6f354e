"""The accuracy matrix of a stream as an Avalanche metric, and the numbers that come from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from avalanche.evaluation import PluginMetric
from avalanche.evaluation.metric_results import MetricValue
from matplotlib.figure import Figure
from torch import Tensor

from .metrics import continual_metrics, last

__all__ = ["AccuracyMatrix"]

_NAMES = {
    "zero_shot": "ZeroShot",
    "transfer": "Transfer",
    "average": "Average",
    "last": "Last",
    "forgetting": "Forgetting",
}


class AccuracyMatrix(PluginMetric[dict[str, float]]):
    """Accuracy in percent on every experience of one stream: before training, and after each experience.

    Give it to an `EvaluationPlugin`, call `strategy.eval(benchmark.test_stream)` before the first and after every
    `strategy.train(experience)`. Evaluations that run inside `train()` are left out. As soon as the row covers the
    whole stream, in one or several calls, `eval` publishes plain floats, x being the training iterations so far:

        ZeroShot/eval_phase/test_stream      mean of row 0
        Transfer/..., Average/..., Last/..., Forgetting/...      from row 1 on, those that are defined
        AccuracyMatrix/...      a matplotlib Figure, unless `figure` is False

    Transfer, Average and Forgetting need every row since the first training. Evaluating again overwrites.
    One object belongs to one strategy: two that share it would mix their rows.
    """

    def __init__(self, stream: str = "test", figure: bool = True):
        """stream: name of the stream to watch. figure: whether to publish the matrix as a picture, too."""
        super().__init__()
        self.stream = stream
        self.figure = figure
        self._cells: dict[tuple[int, int], float] = {}
        self._columns = 0
        self._trained = 0
        self._in_train = False
        self._updated = False
        self.reset()

    def reset(self) -> None:
        """Forget the experience being evaluated. Finished cells stay for the lifetime of the object."""
        self._counting = False
        self._hits: Tensor | int = 0
        self._seen = 0

    def rows(self) -> list[list[float | None]]:
        """Row i after i trained experiences (row 0: before training), None where nothing was measured."""
        height = max((i for i, _ in self._cells), default=-1) + 1
        return [[self._cells.get((i, j)) for j in range(self._columns)] for i in range(height)]

    def result(self) -> dict[str, float]:
        """The metrics defined at the present row, by their lower-case name; empty until that row is complete."""
        complete = [[value for value in row if value is not None] for row in self.rows()]
        if len(complete) <= self._trained or len(complete[-1]) < self._columns:
            return {}
        if self._trained == 0:
            return {"zero_shot": fmean(complete[0])}
        trained = complete[1:]
        if len(trained) > self._columns or any(len(row) < self._columns for row in trained):
            return {"last": last(trained[-1:])}
        return {name: value for name, value in continual_metrics(trained).items() if value is not None}

    def state_dict(self) -> dict[str, Any]:
        """Rows and number of trained experiences, as values that JSON can hold."""
        return {"trained": self._trained, "rows": self.rows()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        rows = state["rows"]
        self._trained = state["trained"]
        self._columns = len(rows[0]) if rows else 0
        self._cells = {(i, j): v for i, row in enumerate(rows) for j, v in enumerate(row) if v is not None}
        self.reset()

    def before_training(self, strategy: Any) -> None:
        self._in_train = True

    def after_training(self, strategy: Any) -> None:
        self._in_train = False

    def after_training_exp(self, strategy: Any) -> None:
        # Not clock.train_exp_counter: after a resume it need not have been restored yet, and it lags in this hook.
        self._trained += getattr(strategy, "experiences_at_once", 1)

    def before_eval(self, strategy: Any) -> None:
        self._updated = False

    def before_eval_exp(self, strategy: Any) -> None:
        self.reset()
        self._counting = not self._in_train and strategy.experience.origin_stream.name == self.stream

    def after_eval_iteration(self, strategy: Any) -> None:
        if self._counting:
            self._hits = self._hits + (strategy.mb_output.argmax(1) == strategy.mb_y).sum()
            self._seen += len(strategy.mb_y)

    def after_eval_exp(self, strategy: Any) -> None:
        if self._counting:
            experience = strategy.experience
            self._columns = max(self._columns, _whole_length(experience.origin_stream))
            self._cells[self._trained, experience.current_experience] = 100 * int(self._hits) / self._seen
            self._updated = True
        self.reset()

    def after_eval(self, strategy: Any) -> list[MetricValue] | None:
        values: dict[str, Any] = {_NAMES[name]: value for name, value in self.result().items()} if self._updated else {}
        if not values:
            return None
        if self.figure:
            values["AccuracyMatrix"] = _draw(self.rows())
        x = strategy.clock.train_iterations
        return [MetricValue(self, f"{name}/eval_phase/{self.stream}_stream", v, x) for name, v in values.items()]


def _whole_length(stream: Any) -> int:
    """Length of the stream that a slice was taken from: the older streams name the slice itself as the origin."""
    benchmark = getattr(stream, "benchmark", None)
    return len(stream if benchmark is None else benchmark.streams[stream.name])


def _draw(rows: Sequence[Sequence[float | None]]) -> Figure:
    """The matrix as a picture, a number in every cell. Not by pyplot, which would keep every figure alive."""
    height, width = len(rows), len(rows[0])
    figure = Figure(figsize=(2 + 0.6 * width, 1.5 + 0.45 * height), layout="constrained")
    axes = figure.subplots()
    cells = [[math.nan if value is None else value for value in row] for row in rows]
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if value is not None:
                axes.text(j, i, f"{value:.1f}", ha="center", va="center", color="white" if value > 60 else "black")
    axes.set(xticks=range(width), yticks=range(height), xlabel="experience", ylabel="experiences trained")
    axes.set_title("Accuracy (%)")
    return figure
