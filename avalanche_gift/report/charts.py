"""Small charts as inline SVG, drawn by matplotlib: one panel each, so that the page can lay them out on any width."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avalanche_gift.evaluation.summary import COLOURS, LINES

from .losses import OTHERS, Curve

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the reader's own font
    "text.parse_math": False,  # a class may be called "$1"
    "font.sans-serif": ["DejaVu Sans"],  # to measure with: wider than what page.css puts in its place
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 3.5,
    "legend.frameon": False,
}
WIDTH, HEIGHT = 3.3, 2.1
"""Of a panel, in inches of 96 pixels: one fits on a phone."""


class Panel:
    """A figure of one axes. `svg` is there once the block of `panel` ends."""

    def __init__(self, height: float, left: float, bottom: float) -> None:
        self.figure = Figure(figsize=(WIDTH, height))
        # A layout engine would take half of the time.
        self.axes = self.figure.add_axes(
            (left / WIDTH, bottom / height, (WIDTH - left - 0.08) / WIDTH, 1 - (bottom + 0.08) / height)
        )
        self.svg = ""


@contextmanager
def panel(name: str, height: float = HEIGHT, left: float = 0.5, bottom: float = 0.42) -> Iterator[Panel]:
    """A panel to draw into; `name` is what screen readers say. Inches, with the margins that labels need."""
    # Ids of clip paths are hashes with this salt: the charts of a page must not share them.
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": ascii(name)}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # only measured with that font, not drawn
        drawn = Panel(height, left, bottom)
        yield drawn
        drawn.svg = _inline(drawn.figure, name)


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of line `number`; both differ, for those who see no colours."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}


def legend_mark(number: int) -> str:
    """The line that stands before its label in a legend."""
    dashes = {"-": "", "--": "6 3", "-.": "7 2 2 2", ":": "2 2"}[LINES[number % len(LINES)]]
    colour = COLOURS[number % len(COLOURS)]
    return (
        f'<svg class="mark" width="28" height="10" aria-hidden="true"><path d="M0 5H28" stroke="{colour}" stroke-width="2.5" '
        f'stroke-dasharray="{dashes}"/></svg>'
    )


def heat_map(
    name: str, accuracy: Sequence[Sequence[float]], experiences: Sequence[str], lowest: float, order: Sequence[int]
) -> str:
    """Accuracy in percent, from `lowest` (palest) to 100; a row a time, a column a task, a number in a cell where it fits.

    order: the experience of each training, by its place in `experiences`.
    """
    side = len(experiences)
    named = side <= 12
    short = [_shortened(experience) for experience in experiences]
    longest = 0.065 * max(map(len, [*short, "before"])) if named else 0.4
    tilted = named and side > 4
    bottom = longest + 0.1 if tilted else 0.22 if named else 0.42
    height = bottom + max(1.1, min(3.2, 0.27 * len(accuracy)))
    colours: dict[str, Any] = {"cmap": "Blues", "vmin": lowest, "vmax": 100}
    with panel(f"Accuracy matrix of {name}", height, left=longest + 0.1, bottom=bottom) as drawn:
        axes = drawn.axes
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7)
        if not named:
            axes.imshow(accuracy, **colours, aspect="auto", interpolation="nearest")
            axes.set(xlabel="experience", ylabel="trainings")
        else:
            axes.pcolormesh(accuracy, **colours, edgecolors="white", linewidth=0.5)
            axes.invert_yaxis()
            axes.set_xticks([j + 0.5 for j in range(side)], short, rotation=90 if tilted else 0)
            axes.set_yticks([i + 0.5 for i in range(len(accuracy))], ["before", *(short[which] for which in order)])
            _write_cells(axes, accuracy, lowest)
    return drawn.svg


def _write_cells(axes: Any, accuracy: Sequence[Sequence[float]], lowest: float) -> None:
    dark = lowest + 0.6 * (100 - lowest)
    digits, size = (1, 7) if len(accuracy) <= 8 else (0, 6)
    for i, row in enumerate(accuracy):
        for j, value in enumerate(row):
            colour = "white" if value > dark else "black"
            text = f"{value:.{digits}f}"
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=size, color=colour)


def accuracy_curves(task: str, trainings: Sequence[int], curves: Sequence[Sequence[float]]) -> str:
    """Accuracy of one task over the stream, a line a row of the table; trainings: those on the task, counted from 0."""
    with panel(f"Accuracy on {task} over the stream") as drawn:
        axes = drawn.axes
        for position in trainings:
            axes.axvspan(position, position + 1, color="#f0f0f0", zorder=0)
        for number, values in enumerate(curves):
            axes.plot(values, marker="o" if len(values) <= 12 else "", **line_style(number))
        axes.set(xlabel="trainings", ylabel="accuracy (%)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)
    return drawn.svg


def loss_chart(term: str, curves: Sequence[tuple[int, Curve]], starts: Sequence[int]) -> str:
    """A loss term, or one of `losses.OTHERS`, over the iterations, by number of the line; starts: iterations at which an
    experience begins."""
    is_loss = term not in OTHERS.values()
    with panel(f"Loss term {term}" if is_loss else term.capitalize()) as drawn:
        axes = drawn.axes
        for number, (steps, values) in curves:
            axes.plot(steps, values, **{**line_style(number), "linewidth": 1.1})
        for start in starts[1:]:
            axes.axvline(start, color="#888888", linewidth=0.7)
        axes.set(xlabel="iteration", ylabel="loss" if is_loss else "")
        axes.margins(x=0.01)
    return drawn.svg


def bars(title: str, values: Sequence[Sequence[float]], labels: Sequence[str]) -> str:
    """A horizontal bar a row of the table: mean, with the single runs as dots where there are several."""
    short = [_shortened(label, 22) for label in labels]
    with panel(title, 0.4 + 0.24 * len(values), left=0.075 * max(map(len, short)) + 0.1, bottom=0.25) as drawn:
        axes = drawn.axes
        for number, runs in enumerate(values):
            mean = sum(runs) / len(runs) if runs else math.nan
            axes.barh(number, mean, height=0.62, color=COLOURS[number % len(COLOURS)], alpha=0.75)
            if len(runs) > 1:
                axes.plot(runs, [number] * len(runs), "o", color="black", markersize=2.5)
        axes.set_yticks(range(len(values)), short)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(left=0)
    return drawn.svg


def _shortened(name: str, most: int = 12) -> str:
    name = name.encode(errors="replace").decode()  # JSON may hold halves of surrogate pairs, which matplotlib refuses
    return name if len(name) <= most else name[: most - 1] + "…"


def _inline(figure: Figure, name: str) -> str:
    """The figure without what only a file needs: prologue, metadata, namespaces, and ids that nothing refers to."""
    text = StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = text.getvalue()
    svg = re.sub(r"<[^>]+>", _slim, svg[svg.index("<svg") :])  # only within tags: text has its < and > escaped
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.S)  # it would reach beyond the chart; page.css has it
    svg = re.sub(r"\n\s*", "\n", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(name)}"', 1)


def _slim(tag: re.Match[str]) -> str:
    """One tag without such ids and namespaces, without the font, which page.css gives, and to a hundredth of a point."""
    kept = re.sub(r' (id="[A-Za-z0-9.]+_\d+"|xmlns(:xlink)?="[^"]*"|transform="rotate\(-0 [^"]*")', "", tag[0])
    kept = re.sub(r" font-family: [^;\"]*;?", "", kept)
    return kept if "base64," in kept else re.sub(r"(\.\d\d)\d+", r"\1", kept)
