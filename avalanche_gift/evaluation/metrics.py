"""Transfer, Average, Last and Forgetting of an accuracy matrix: plain numbers in, plain numbers out.

`rows[i][j]` is the accuracy in percent on experience j once experience i has been trained, both counted from 0. The
zero-shot row, measured before any training, is not part of it. With n columns there may be m <= n rows: a stream that
is not finished. Every function raises ValueError for an empty or ragged matrix, more rows than columns, or a value that
is no finite number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from statistics import fmean

__all__ = ["at_once_metrics", "average", "continual_metrics", "forgetting", "last", "transfer"]

Rows = Sequence[Sequence[float]]


def transfer(rows: Rows) -> float | None:
    """Accuracy on experiences not trained yet: column j >= 1 is averaged over its rows i < j, then the columns are.

    None where there is a single experience, so that nothing lies ahead.
    """
    _check(rows)
    columns = [fmean(row[j] for row in rows[:j]) for j in range(1, len(rows[0]))]
    return fmean(columns) if columns else None


def average(rows: Rows) -> float:
    """Mean of all cells (the `Avg.` of the paper's tables)."""
    _check(rows)
    return fmean(value for row in rows for value in row)


def last(rows: Rows) -> float:
    """Mean of the last row: all experiences, after the latest training."""
    _check(rows)
    return fmean(rows[-1])


def forgetting(rows: Rows) -> float | None:
    """What the latest training left of each experience's own accuracy; negative means forgotten.

    sum over j < m of (rows[m-1][j] - rows[j][j]), divided by m - 1. None after one experience.
    """
    _check(rows)
    if len(rows) == 1:
        return None
    return sum(rows[-1][j] - rows[j][j] for j in range(len(rows))) / (len(rows) - 1)


def continual_metrics(rows: Rows) -> dict[str, float | None]:
    """The four of them by name.

    >>> continual_metrics([[80, 50], [60, 90]])
    {'transfer': 50.0, 'average': 70.0, 'last': 75.0, 'forgetting': -20.0}
    """
    return {"transfer": transfer(rows), "average": average(rows), "last": last(rows), "forgetting": forgetting(rows)}


def at_once_metrics(rows: Rows) -> dict[str, float | None]:
    """The same for a model that was trained on all experiences at once, so that nothing lay ahead or could be forgotten.

    Every row is the one measurement after that training. Raises ValueError where they differ.
    """
    _check(rows)
    if any(list(row) != list(rows[0]) for row in rows):
        raise ValueError("expected one and the same row after a training of all experiences at once, got several")
    return {"transfer": None, "average": last(rows), "last": last(rows), "forgetting": None}


def _check(rows: Rows) -> None:
    if len(rows) == 0 or len(rows[0]) == 0:
        raise ValueError("expected at least one row and one column of accuracies, got none")
    widths = sorted({len(row) for row in rows})
    if len(widths) > 1:
        raise ValueError(f"expected rows of equal length, got lengths {widths}")
    if len(rows) > widths[0]:
        raise ValueError(
            f"expected at most one row per column, got {len(rows)} rows and {widths[0]} columns; "
            "the row measured before training does not belong here"
        )
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if not isinstance(value, Real) or not math.isfinite(value):
                raise ValueError(f"expected a finite number at row {i}, column {j}, got {value!r}")
