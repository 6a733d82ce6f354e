"""Lines of figures: SVG and PNG, told apart by colour and by dashes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avalanche_gift.evaluation.summary import COLOURS, LINES
from avalanche_gift.files import write_aside
from experiments.runner import Entry

Found = Sequence[tuple[Entry, Sequence[Mapping[str, Any]], Sequence[Path]]]
"""Rows of an experiment with the results and the folders of their runs."""
Line = tuple[list[float], list[float]]
ACROSS = 4


@dataclass
class Panel:
    """One diagram: lines by label, a dashed level, and where tasks begin."""

    title: str
    xlabel: str
    ylabel: str = "accuracy (%)"
    lines: dict[str, Line] = field(default_factory=dict)
    level: float | None = None
    starts: tuple[float, ...] = ()


def mean_line(lines: Sequence[Line]) -> Line:
    """Of lines over the same places, one a seed."""
    return list(lines[0][0]), [fmean(values) for values in zip(*(y for _, y in lines), strict=True)]


def as_record(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """The numbers drawn, for JSON."""
    return [
        {
            "title": panel.title,
            "level": panel.level,
            "lines": {label: [x, [round(value, 4) for value in y]] for label, (x, y) in panel.lines.items()},
        }
        for panel in panels
    ]


def style(stem: Path) -> Any:
    """In which every figure is made: text stays text in SVG, and the same figure is the same file."""
    return matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": stem.name, "font.size": 8})  # type: ignore[arg-type]


def save(figure: Figure, stem: Path) -> None:
    """Writes `stem`.svg and `stem`.png."""
    for form, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 150})):
        content = io.BytesIO()
        figure.savefig(content, format=form, **options)  # type: ignore[arg-type]
        write_aside(stem.with_suffix(f".{form}"), content.getvalue())


def draw(panels: Sequence[Panel], stem: Path) -> dict[str, Any]:
    """Writes `stem`.svg and `stem`.png, up to four panels a line and one legend for them all; returns the numbers drawn."""
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    labels = list(dict.fromkeys(label for panel in panels for label in panel.lines))
    with style(stem):
        figure = Figure(figsize=(2.9 * across, 2.4 * down + 0.5), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.axis("off")
        for axes, panel in zip(grid, panels, strict=False):
            _fill(axes, panel, labels)
        handles = {label: line for axes in grid for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(6, len(handles)), frameon=False)
        save(figure, stem)
    return {"panels": as_record(panels)}


def _fill(axes: Any, panel: Panel, labels: Sequence[str]) -> None:
    for label, (x, y) in panel.lines.items():
        number = labels.index(label)
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}
        axes.plot(x, y, label=label, marker="o" if len(x) <= 12 else "", markersize=3, **style)
    if panel.level is not None:
        axes.axhline(panel.level, color="#777777", linestyle=(0, (1, 2)), label="zero-shot")
    for start in panel.starts:
        axes.axvline(start, color="#bbbbbb", linewidth=0.7)
    axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def task_panels(found: Found, tasks: int | None = None) -> list[Panel]:
    """Accuracy on each task (the first `tasks`) over the stream, of both orders; place 0 is before learning."""
    panels: dict[tuple[str, int], Panel] = {}
    lines: dict[tuple[str, int, str], list[Line]] = {}
    levels: dict[tuple[str, int], list[float]] = {}
    for entry, (result, *_), _ in found:
        for j, name in enumerate(result["experiences"][:tasks]):
            place = (entry.row.order, j)
            panels.setdefault(place, Panel(f"{name}, task {j + 1} of order {place[0]}", "tasks learned"))
            y = [row[j] for row in result["accuracy"]]
            levels.setdefault(place, []).append(y[0])
            lines.setdefault((*place, entry.row.label), []).append(([float(i) for i in range(len(y))], y))
    for (order, j, label), same in lines.items():
        panels[order, j].lines[label] = mean_line(same)
    for place, values in levels.items():
        panels[place].level = fmean(values)
    return [panels[place] for place in sorted(panels)]
