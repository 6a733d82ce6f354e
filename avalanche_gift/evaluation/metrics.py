"""Transfer, Average, Last and Forgetting of an accuracy matrix: plain numbers in, plain numbers out.

`rows[i][j]` is the accuracy in percent on experience j after training i, both counted from 0. The zero-shot row, measured
before any training, is not part of it. `order[i]` is the experience that training i was on; None stands for 0, 1, 2, ..., which
needs no more rows than columns and may end early: a stream that is not finished. In any order an experience may come twice or
never.

The functions that take `order` raise ValueError for an empty or ragged matrix, an order that does not fit it, or a value that
is no finite number. `measured_metrics` takes matrices with holes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from statistics import fmean

__all__ = ["at_once_metrics", "average", "continual_metrics", "forgetting", "last", "measured_metrics", "transfer"]

Rows = Sequence[Sequence[float]]
Order = Sequence[int] | None


def transfer(rows: Rows, order: Order = None) -> float | None:
    """Accuracy in percent on experiences not trained yet.

    Column j is averaged over the rows before its first training, then the columns are that have such rows. None if no column
    has any: nothing was still to come.
    """
    return continual_metrics(rows, order)["transfer"]


def average(rows: Rows, order: Order = None) -> float:
    """Mean of all cells in percent (the `Avg.` of the paper's tables)."""
    _check(rows, order)
    return fmean(value for row in rows for value in row)


def last(rows: Rows, order: Order = None) -> float:
    """Mean of the last row in percent: all experiences after the latest training, each with the same weight."""
    _check(rows, order)
    return fmean(rows[-1])


def forgetting(rows: Rows, order: Order = None) -> float | None:
    """What the latest training left of each experience's own accuracy, in percentage points; negative means forgotten.

    The accuracy in the last row minus that right after the experience was last trained, averaged over the experiences that were
    trained but for the one trained latest. In order that is sum over j < m of (rows[m-1][j] - rows[j][j]), divided by m - 1.
    None if no experience was trained before the latest one.
    """
    return continual_metrics(rows, order)["forgetting"]


def continual_metrics(rows: Rows, order: Order = None) -> dict[str, float | None]:
    """The four of them by name.

    >>> continual_metrics([[80, 50], [60, 90]])
    {'transfer': 50.0, 'average': 70.0, 'last': 75.0, 'forgetting': -20.0}
    >>> continual_metrics([[50, 80], [90, 60]], order=[1, 0])
    {'transfer': 50.0, 'average': 70.0, 'last': 75.0, 'forgetting': -20.0}
    """
    _check(rows, order)
    return measured_metrics(rows, [[experience] for experience in (range(len(rows)) if order is None else order)])


def measured_metrics(
    rows: Sequence[Sequence[float | None]], trained: Sequence[Sequence[int] | None]
) -> dict[str, float | None]:
    """The four by name, of a matrix in which None stands for what was not measured.

    trained: the experiences that each training covered, one entry per row; None if they are not known. A metric is None if it
    is not defined, or if a cell that it needs was not measured.
    """
    return {
        "transfer": _transfer(rows, trained),
        "average": _mean([value for row in rows for value in row]),
        "last": _mean(rows[-1]),
        "forgetting": _forgetting(rows, trained),
    }


def at_once_metrics(rows: Rows) -> dict[str, float | None]:
    """The same for a model that was trained on all experiences at once, so that nothing lay ahead or could be forgotten.

    Every row is the one measurement after that training. Raises ValueError if they differ.
    """
    _check(rows, None)
    if any(list(row) != list(rows[0]) for row in rows):
        raise ValueError("expected one and the same row after a training of all experiences at once, got several")
    return measured_metrics(rows[-1:], [range(len(rows[0]))])


def _mean(values: Sequence[float | None]) -> float | None:
    """None if one is missing: the mean of the others would be another number under the same name."""
    measured = [value for value in values if value is not None]
    return fmean(measured) if len(measured) == len(values) > 0 else None


def _transfer(rows: Sequence[Sequence[float | None]], trained: Sequence[Sequence[int] | None]) -> float | None:
    known = [which for which in trained if which is not None]
    if len(known) < len(trained):
        return None
    columns = []
    for j in range(len(rows[0])):
        first = next((i for i, which in enumerate(known) if j in which), len(rows))
        if first:
            columns.append(_mean([row[j] for row in rows[:first]]))
    return _mean(columns)


def _forgetting(rows: Sequence[Sequence[float | None]], trained: Sequence[Sequence[int] | None]) -> float | None:
    known = [which for which in trained if which is not None]
    if len(known) < len(trained):
        return None
    own = {j: i for i, which in enumerate(known) for j in which}  # the row right after the last training on j
    changes = []
    for j in sorted(own.keys() - set(known[-1])):
        before, now = rows[own[j]][j], rows[-1][j]
        if before is None or now is None:
            return None
        changes.append(now - before)
    return sum(changes) / len(changes) if changes else None


def _check(rows: Rows, order: Order) -> None:
    if len(rows) == 0 or len(rows[0]) == 0:
        raise ValueError("expected at least one row and one column of accuracies, got none")
    widths = sorted({len(row) for row in rows})
    if len(widths) > 1:
        raise ValueError(f"expected rows of equal length, got lengths {widths}")
    if order is None and len(rows) > widths[0]:
        raise ValueError(
            f"expected at most one row per column, got {len(rows)} rows and {widths[0]} columns; "
            "the row measured before training does not belong here, and trainings in another order need `order`"
        )
    if order is not None and (len(order) != len(rows) or any(not 0 <= which < widths[0] for which in order)):
        raise ValueError(
            f"expected an order of {len(rows)} experiences from 0 to {widths[0] - 1}, one per row, got {list(order)}"
        )
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            if not isinstance(value, Real) or not math.isfinite(value):
                raise ValueError(f"expected a finite number at row {i}, column {j}, got {value!r}")
