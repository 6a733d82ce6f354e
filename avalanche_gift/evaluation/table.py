"""Results as plain text: the comparison of strategies, and one run's accuracy matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from avalanche_gift.names import printable

from .results import training_order

__all__ = ["format_accuracy", "format_table"]

_METRICS = ("transfer", "average", "last", "forgetting")
_COSTS = ("seconds", "peak memory (GiB)", "extra params (M)", "kept")
_AMONG_ALL = {"average": "Average, all", "last": "Last, all"}
_ALL_LEGEND = """\
All: among all classes seen so far, in percent, every image with the same weight; the other columns too are among them."""
_LEGEND = """\
* best of its column. Transfer, Average, Last: percent, every task with the same weight. Forgetting: percentage points, negative
means forgotten. Higher is better. Kept: old images. Peak memory has no mark: on CPU it is that of the whole process, with what
earlier runs left in it."""


def format_table(results: Sequence[Mapping[str, Any]]) -> str:
    """One line per strategy, in the order of first appearance, of results that `read_results` returned.

    Several seeds of a strategy become mean ± sample standard deviation. `*` marks the best value of each metric, ties
    as printed included; `-` stands for a metric that is not defined.
    Raises ValueError for no results, results of different streams or orders of training, or a seed that a strategy has twice.
    """
    groups = _by_strategy(results)
    columns = [_metric_column(groups, "metrics", name) for name in _METRICS]
    among_all = _AMONG_ALL if any("class_incremental" in run for run in results) else {}
    columns += [_metric_column(groups, "class_incremental", name) for name in among_all]
    columns.append([_mean_std([run["seconds"] for run in runs], 1) for runs in groups.values()])
    columns.append([_mean_std([run["peak_memory_bytes"] / 2**30 for run in runs], 2) for runs in groups.values()])
    columns += [_footprint_column(part, scale, groups) for part, scale in (("extra_parameters", 1e6), ("stored_pictures", 1))]
    header = ("Strategy", *(name.title() for name in _METRICS), *among_all.values(), *_COSTS)
    lines = _align([header, *zip(groups, *columns, strict=True)])
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "", _LEGEND, *([_ALL_LEGEND] if among_all else [])])


def format_accuracy(result: Mapping[str, Any]) -> str:
    """One run's accuracies in percent: a column per experience, a line before training and after each training."""
    names = result["experiences"]
    labels = ["before training", *(f"after {names[which]}" for which in training_order(result))]
    cells = [[f"{value:.1f}" for value in row] for row in result["accuracy"]]
    return "\n".join(_align([("", *names), *((label, *row) for label, row in zip(labels, cells, strict=True))]))


def _by_strategy(results: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    if not results:
        raise ValueError("expected at least one result, got none")
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for run in results:
        for key in ("benchmark", "experiences"):
            if run[key] != results[0][key]:
                raise ValueError(f"expected results of one {key}, got {results[0][key]!r} and {run[key]!r}")
        if (order := training_order(run)) != (first := training_order(results[0])):
            raise ValueError(f"expected results of one order of training, got {first} and {order}")
        runs = groups.setdefault(run["strategy"], [])
        if any(other["seed"] == run["seed"] for other in runs):
            raise ValueError(f"expected each seed once per strategy, got seed {run['seed']} of {run['strategy']!r} twice")
        runs.append(run)
    return groups


def _metric_column(groups: Mapping[str, Sequence[Mapping[str, Any]]], part: str, name: str) -> list[str]:
    values = [[run.get(part, {}).get(name) for run in runs] for runs in groups.values()]
    means = [None if row[0] is None else round(fmean(row), 1) for row in values]  # undefined for all seeds alike
    best = max((mean for mean in means if mean is not None), default=None)
    marks = ["*" if mean == best else " " for mean in means]
    return ["- " if mean is None else _mean_std(row, 1) + mark for row, mean, mark in zip(values, means, marks, strict=True)]


def _footprint_column(part: str, scale: float, groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The most of any seed; results written before there were footprints have none."""
    found = [[run["footprint"][part] / scale for run in runs if "footprint" in run] for runs in groups.values()]
    return [f"{max(values):.{0 if scale == 1 else 2}f}" if values else "-" for values in found]


def _mean_std(values: Sequence[float], digits: int) -> str:
    text = f"{fmean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.{digits}f}"


def _align(lines: Sequence[Sequence[str]]) -> list[str]:
    """First column to the left, all others to the right."""
    lines = [[printable(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(_pad(k, cell, widths[k]) for k, cell in enumerate(line)).rstrip() for line in lines]


def _pad(column: int, cell: str, width: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)
