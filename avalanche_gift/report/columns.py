"""The columns of the table of runs, and how their numbers are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from .gather import Row, Stream


@dataclass(frozen=True)
class Column:
    """best: `max` or `min`; None for a column without mark. value: of one run's results; None where it was not measured or is
    not defined."""

    name: str
    digits: int
    best: Callable[..., float] | None
    value: Callable[[Mapping[str, Any]], float | None]

    def values(self, row: Row) -> list[float]:
        found = (self.value(run.result) for run in row.runs)
        return [value for value in found if value is not None]

    def mean(self, row: Row) -> float | None:
        values = self.values(row)
        return fmean(values) if values else None

    def best_of(self, stream: Stream) -> float | None:
        """The best mean of a stream, rounded as shown, so that ties as shown share the mark.

        None for a column without mark, where all are equal, and where the mark would say little: on more than half of the rows,
        and more than two.
        """
        means = [round(mean, self.digits) for row in stream.rows if (mean := self.mean(row)) is not None]
        if self.best is None or len(set(means)) < 2:
            return None
        best = self.best(means)
        return best if means.count(best) <= max(2, len(means) // 2) else None


METRICS = (
    Column("Transfer", 1, max, lambda result: result["metrics"]["transfer"]),
    Column("Average", 1, max, lambda result: result["metrics"]["average"]),
    Column("Last", 1, max, lambda result: result["metrics"]["last"]),
    Column("Forgetting", 1, max, lambda result: result["metrics"]["forgetting"]),
)
POOLED = (
    Column("Average, all classes", 1, max, lambda result: result.get("class_incremental", {}).get("average")),
    Column("Last, all classes", 1, max, lambda result: result.get("class_incremental", {}).get("last")),
)
"""Of class-incremental runs only."""
SECONDS = Column("Seconds", 1, min, lambda result: result["seconds"])
# Zero bytes: the system does not report a peak. No mark: on CPU it is that of the whole process, with what the runs before it
# left resident, so that the order of strategies decides.
MEMORY = Column("Peak memory (GiB)", 2, None, lambda result: result["peak_memory_bytes"] / 2**30 or None)
COSTS = (
    SECONDS,
    MEMORY,
    Column("Extra parameters", 0, min, lambda result: result.get("footprint", {}).get("extra_parameters")),
    Column("Stored pictures", 0, min, lambda result: result.get("footprint", {}).get("stored_pictures")),
)
AVERAGE = METRICS[1]


def shown_columns(streams: Sequence[Stream]) -> list[Column]:
    """Those of class-incremental learning only where a run has them."""
    pooled = any("class_incremental" in run.result for stream in streams for run in stream.runs)
    return [*METRICS, *(POOLED if pooled else ()), *COSTS]


def mean_and_spread(values: Sequence[float], digits: int, sign: str = "") -> tuple[str, str]:
    """The mean, and "± sample standard deviation" where there are several.

    >>> mean_and_spread([80.0, 82.0], 1), mean_and_spread([1.0], 1, "+")
    (('81.0', '± 1.4'), ('+1.0', ''))
    """
    spread = f"± {stdev(values):,.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):{sign},.{digits}f}", spread


def shown_rows(stream: Stream, limit: int) -> list[Row]:
    """All rows where they are few; otherwise the best of each strategy by mean Average, then the best `limit` of those."""
    if len(stream.rows) <= limit:
        return stream.rows
    best: dict[str, Row] = {}
    for row in ranked(stream):
        best.setdefault(row.strategy, row)
    return list(best.values())[:limit]


def ranked(stream: Stream) -> list[Row]:
    """Highest mean Average first; after all others those that were trained on all experiences at once."""
    return sorted(stream.rows, key=lambda row: (row.trained_at_once, -fmean(AVERAGE.values(row))))
