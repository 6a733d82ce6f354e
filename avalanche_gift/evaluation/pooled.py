"""Average and Last of class-incremental learning: accuracy over the pooled test pictures of all classes seen so far."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

__all__ = ["class_incremental_metrics", "pooled_accuracies"]


def pooled_accuracies(rows: Sequence[Sequence[float | None]], counts: Sequence[int]) -> list[float]:
    """Accuracy in percent after each step: right answers by test pictures, over the experiences seen by then.

    rows[i][j]: accuracy in percent on experience j after step i, among all classes seen by then; cells j > i are not read.
    counts[j]: test pictures of experience j. Raises ValueError where a cell that is needed is not there.

    >>> pooled_accuracies([[90.0, None], [60.0, 80.0]], [100, 300])
    [90.0, 75.0]
    """
    accuracies = []
    for i, row in enumerate(rows):
        seen = [value for value in row[: i + 1] if value is not None]
        if len(seen) != i + 1 or len(counts) <= i:
            raise ValueError(f"expected accuracies and counts of experiences 0..{i} in row {i}, got {row} and {counts}")
        right = sum(value * count for value, count in zip(seen, counts, strict=False))
        accuracies.append(right / sum(counts[: i + 1]))
    return accuracies


def class_incremental_metrics(rows: Sequence[Sequence[float | None]], counts: Sequence[int]) -> dict[str, float]:
    """`average`: the mean of `pooled_accuracies` over all steps, the first included; `last`: the final one (Tables 7, 8)."""
    accuracies = pooled_accuracies(rows, counts)
    if not accuracies:
        raise ValueError("expected at least one step, got none")
    return {"average": fmean(accuracies), "last": accuracies[-1]}
