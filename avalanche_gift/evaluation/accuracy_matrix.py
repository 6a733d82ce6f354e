"""The accuracy matrix of a stream as an Avalanche metric, and the numbers that come from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from avalanche.evaluation.metric_results import MetricValue
from matplotlib.figure import Figure
from torch import Tensor

from .metrics import measured_metrics
from .stream_metric import StreamMetric

__all__ = ["AccuracyMatrix"]

_NAMES = {
    "zero_shot": "ZeroShot",
    "transfer": "Transfer",
    "average": "Average",
    "last": "Last",
    "forgetting": "Forgetting",
}


class AccuracyMatrix(StreamMetric):
    """Accuracy in percent on every experience of one stream: before training, and after each training.

    Give it to an `EvaluationPlugin`, call `strategy.eval(benchmark.test_stream)` before the first and after every
    `strategy.train(experience)`. Evaluations that run inside `train()` are left out. At the end of `eval`, which may cover
    the stream in one call or in several, it publishes plain floats, x being the training iterations so far:

        ZeroShot/eval_phase/test_stream      percent: mean of row 0
        Transfer/...      percent: on experiences before their first training
        Average/...       percent: mean of all rows but row 0
        Last/...          percent: mean of the latest row; every experience has the same weight, whereas Avalanche's
                          `Top1_Acc_Stream` is a fraction in which every image has the same weight
        Forgetting/...    percentage points: change since an experience was last trained; negative means forgotten
        AccuracyMatrix/...      a matplotlib Figure, unless `figure` is False

    The order of training is free: see `StreamMetric` for how it is known, and `continual_metrics` for the definitions. A number
    is published only if all cells that it needs were measured; it is absent otherwise, also from what `eval()` returns.
    Evaluating again overwrites. One object belongs to one strategy: two that share it would mix their rows.
    """

    keys = (*_NAMES.values(), "AccuracyMatrix")

    def __init__(self, stream: str = "test", figure: bool = True, unchanging_at: Sequence[int] | None = None):
        """
        Args:
            stream: name of the stream to watch.
            figure: whether to publish the matrix as an image, too.
            unchanging_at: for a strategy that changes neither weights nor classes, whose one evaluation stands for those
                after each experience: the numbers are published as if it had been repeated after so many iterations each.
        """
        super().__init__(stream)
        self.figure = figure
        self.unchanging_at = unchanging_at
        self._cells: dict[tuple[int, int], float] = {}
        self._updated = False
        self.reset()

    def reset(self) -> None:
        """Forget the experience being evaluated. Finished cells stay for the lifetime of the object."""
        self._counting = False
        self._hits: Tensor | int = 0
        self._seen = 0

    def rows(self) -> list[list[float | None]]:
        """Row i after i trainings (row 0: before the first), in percent; None where nothing was measured."""
        height = max((i for i, _ in self._cells), default=-1) + 1
        return [[self._cells.get((i, j)) for j in range(self._columns)] for i in range(height)]

    def result(self) -> dict[str, float]:
        """The metrics that are defined at the present row, by their lower-case name; empty until some of it is measured."""
        rows, trained = self.rows(), self.trained
        if len(rows) <= len(trained):
            return {}
        if not trained:
            row = [value for value in rows[0] if value is not None]
            return {"zero_shot": fmean(row)} if len(row) == self._columns else {}
        return {name: value for name, value in measured_metrics(rows[1:], trained).items() if value is not None}

    def state_dict(self) -> dict[str, Any]:
        """Rows and trainings, as values that JSON can hold."""
        return {**self.trained_state(), "rows": self.rows()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        rows = state["rows"]
        self.load_trained_state({"columns": len(rows[0]) if rows else 0, **state})
        self._cells = {(i, j): v for i, row in enumerate(rows) for j, v in enumerate(row) if v is not None}
        self.reset()

    def forget(self) -> None:
        self._cells = {}

    def outdate(self, row: int) -> None:
        self._cells = {(i, j): value for (i, j), value in self._cells.items() if i < row}

    def before_eval(self, strategy: Any) -> None:
        super().before_eval(strategy)
        self._updated = False
        if self.unchanging_at is not None and not self._in_train:
            self._trained = []
            self.outdate(1)

    def before_eval_exp(self, strategy: Any) -> None:
        self.reset()
        self._counting = self.counts(strategy.experience)

    def after_eval_iteration(self, strategy: Any) -> None:
        if self._counting:
            self._hits = self._hits + (strategy.mb_output.argmax(1) == strategy.mb_y).sum()
            self._seen += len(strategy.mb_y)

    def after_eval_exp(self, strategy: Any) -> None:
        if self._counting and self._seen:
            self._cells[len(self._trained), strategy.experience.current_experience] = 100 * int(self._hits) / self._seen
            self._updated = True
        self.reset()

    def after_eval(self, strategy: Any) -> list[MetricValue] | None:
        if not self._updated:
            return None
        x = strategy.clock.train_iterations
        values = self._present(x)
        if self.unchanging_at is not None and values:
            for k, done in enumerate(self.unchanging_at[: self._columns]):
                self._cells |= {(k + 1, j): self._cells[0, j] for j in range(self._columns)}
                self._trained.append([k])
                values += self._present(done)
        if values and self.figure:
            values += self.values({"AccuracyMatrix": _draw(self.rows())}, x)
        return values or None

    def _present(self, x: int) -> list[MetricValue]:
        return self.values({_NAMES[name]: value for name, value in self.result().items()}, x)


def _draw(rows: Sequence[Sequence[float | None]]) -> Figure:
    """The matrix as an image, a number in every cell. Not by pyplot, which would keep every figure alive."""
    height, width = len(rows), len(rows[0])
    figure = Figure(figsize=(2 + 0.6 * width, 1.5 + 0.45 * height), layout="constrained")
    axes = figure.subplots()
    cells = [[math.nan if value is None else value for value in row] for row in rows]
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if value is not None:
                axes.text(j, i, f"{value:.1f}", ha="center", va="center", color="white" if value > 60 else "black")
    axes.set(xticks=range(width), yticks=range(height), xlabel="experience", ylabel="trainings")
    axes.set_title("Accuracy (%)")
    return figure
