"""Average and Last of class-incremental learning: accuracy over the pooled test images of all classes seen so far."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

__all__ = ["class_incremental_metrics", "pooled_accuracies"]


def pooled_accuracies(
    rows: Sequence[Sequence[float | None]], counts: Sequence[int], order: Sequence[int] | None = None
) -> list[float]:
    """Accuracy in percent after each step: right answers by test images, over the experiences seen by then.

    Args:
        rows: rows[i][j] is the accuracy in percent on experience j after step i, among all classes seen by then; cells of
            experiences not seen by then are not read.
        counts: test images of each experience.
        order: the experience trained in each step, in which one may come twice; 0, 1, 2, ... if None.

    Raises:
        ValueError: if a cell that is needed is missing, or the order does not have one experience per row.

    >>> pooled_accuracies([[90.0, None], [60.0, 80.0]], [100, 300])
    [90.0, 75.0]
    >>> pooled_accuracies([[None, 80.0], [90.0, 40.0]], [100, 300], order=[1, 0])
    [80.0, 52.5]
    """
    order = range(len(rows)) if order is None else order
    if len(order) != len(rows):
        raise ValueError(f"expected one experience per row in the order, got {list(order)} for {len(rows)} rows")
    accuracies = []
    for i, row in enumerate(rows):
        seen = sorted(set(order[: i + 1]))
        cells = [row[j] if 0 <= j < min(len(row), len(counts)) else None for j in seen]
        if None in cells:
            raise ValueError(f"expected accuracies and counts of experiences {seen} in row {i}, got {row} and {counts}")
        right = sum(value * counts[j] for value, j in zip(cells, seen, strict=True) if value is not None)
        accuracies.append(right / sum(counts[j] for j in seen))
    return accuracies


def class_incremental_metrics(
    rows: Sequence[Sequence[float | None]], counts: Sequence[int], order: Sequence[int] | None = None
) -> dict[str, float]:
    """In percent: `average`, the mean of `pooled_accuracies` over all steps, the first included; `last`, the final one
    (Tables 7, 8)."""
    accuracies = pooled_accuracies(rows, counts, order)
    if not accuracies:
        raise ValueError("expected at least one step, got none")
    return {"average": fmean(accuracies), "last": accuracies[-1]}
