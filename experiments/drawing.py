"""Lines of figures: SVG and PNG, told apart by colour and by dashes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
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
    """One diagram: lines by label, how far seeds spread around them, a dotted level, and where tasks begin."""

    title: str
    xlabel: str
    ylabel: str = "accuracy (%)"
    lines: dict[str, Line] = field(default_factory=dict)
    spread: dict[str, list[float]] = field(default_factory=dict)
    level: float | None = None
    starts: tuple[float, ...] = ()

    def add(self, label: str, values: Mapping[float, Sequence[float]]) -> None:
        """A line through the means of the seeds' values at each x; with two seeds or more, their sample standard deviation."""
        self.lines[label] = [*values], [fmean(each) for each in values.values()]
        if all(len(each) > 1 for each in values.values()):
            self.spread[label] = [stdev(each) for each in values.values()]


def as_record(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """The numbers drawn, for JSON."""
    return [
        {
            "title": panel.title,
            "level": panel.level,
            "lines": {label: [x, [round(value, 4) for value in y]] for label, (x, y) in panel.lines.items()},
            "std": {label: [round(value, 4) for value in spread] for label, spread in panel.spread.items()},
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
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=min(2 * across, len(handles)), frameon=False
        )
        save(figure, stem)
    return {"panels": as_record(panels)}


def _fill(axes: Any, panel: Panel, labels: Sequence[str]) -> None:
    for label, (x, y) in panel.lines.items():
        number = labels.index(label)
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}
        axes.plot(x, y, label=label, marker="o" if len(x) <= 12 else "", markersize=3, **style)
        if spread := panel.spread.get(label):
            low, high = zip(*((value - std, value + std) for value, std in zip(y, spread, strict=True)), strict=True)
            axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
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
    values: dict[tuple[str, int, str], dict[float, list[float]]] = {}
    for entry, (result, *_), _ in found:
        for j, name in enumerate(result["experiences"][:tasks]):
            place = (entry.row.order, j)
            panels.setdefault(place, Panel(f"{name}, task {j + 1} of order {place[0]}", "tasks learned"))
            line = values.setdefault((*place, entry.row.label), {})
            for learned, row in enumerate(result["accuracy"]):
                line.setdefault(float(learned), []).append(row[j])
    for (order, j, label), line in values.items():
        panels[order, j].add(label, line)
        panels[order, j].level = fmean(line[0.0])  # the same model before any method's training
    return [panels[place] for place in sorted(panels)]
