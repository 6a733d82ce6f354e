"""The charts and the paired comparison of one stream."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .charts import accuracy_curves, bars, heat_map, legend_mark, loss_chart
from .columns import MEMORY, SECONDS, shown_rows
from .gather import Row, Stream
from .losses import OTHERS, Curve, loss_curves
from .tables import paired_table

LINES, TASKS, TERMS = 7, 12, 8
"""At most so many rows of the table in a chart (as there are colours), charts of single tasks, and of loss terms."""


def stream_section(stream: Stream) -> str:
    rows = shown_rows(stream, LINES)
    parts = [
        f"<section><h2>{escape(stream.label)}</h2>",
        f'<p class="note">{len(stream.experiences)} experiences: {escape(", ".join(stream.experiences))}.',
        f"{_left_out(stream, rows)}</p>",
        "<h3>Accuracy of single tasks over the stream</h3>",
        _legend(rows),
        _accuracy_curves(stream, rows),
        "<h3>Accuracy matrices</h3>",
        '<p class="note">Percent. A column is a task; a line is a time: before training, then after each training.</p>',
        _heat_maps(stream, rows),
        "<h3>Losses and other curves of training</h3>",
        _losses(stream, rows),
        "<h3>Time and memory</h3>",
        _bars(rows),
    ]
    if paired := paired_table(stream):
        parts += [
            "<h3>Paired comparison over seeds</h3>",
            '<p class="note">The first minus the second, in points, seed by seed: mean ± sample standard deviation over the n '
            "seeds that both have, and how many of them the first won; a tie is no win.</p>",
            paired,
        ]
    return "\n".join([*parts, "</section>"])


def _left_out(stream: Stream, rows: Sequence[Row]) -> str:
    if len(rows) == len(stream.rows):
        return ""
    return f" The charts show the best of each strategy, {len(rows)} of {len(stream.rows)} configurations."


def _legend(rows: Sequence[Row]) -> str:
    entries = "".join(f"<li>{legend_mark(number)} {escape(row.label)}</li>" for number, row in enumerate(rows))
    return f'<ul class="legend">{entries}</ul>'


def _panels(panels: Sequence[tuple[str, str]]) -> str:
    """(Title, SVG) of each."""
    figures = (f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in panels)
    return f'<div class="panels">{"".join(figures)}</div>'


def _accuracy_curves(stream: Stream, rows: Sequence[Row]) -> str:
    matrices = [row.accuracy() for row in rows]
    step = -(-len(stream.experiences) // TASKS)
    panels = [
        (task, accuracy_curves(task, _trainings(stream, column), [[times[column] for times in matrix] for matrix in matrices]))
        for column, task in list(enumerate(stream.experiences))[::step]
    ]
    every = f", every {step}th task" if step > 1 else ""
    note = f'<p class="note">Mean over seeds{every}. The grey band is the training on the task itself.</p>'
    return _panels(panels) + note


def _trainings(stream: Stream, column: int) -> list[int]:
    return [number for number, which in enumerate(stream.order) if which == column]


def _heat_maps(stream: Stream, rows: Sequence[Row]) -> str:
    matrices = [row.accuracy() for row in rows]
    lowest = 10 * (min(value for matrix in matrices for times in matrix for value in times) // 10)
    lowest = min(lowest, 90)  # a scale needs some length
    return _panels(
        [
            (_over_seeds(row), heat_map(row.label, matrix, stream.experiences, lowest, stream.order))
            for row, matrix in zip(rows, matrices, strict=True)
        ]
    )


def _over_seeds(row: Row) -> str:
    return row.label if len(row.runs) == 1 else f"{row.label}, mean of {len(row.runs)} seeds"


def _losses(stream: Stream, rows: Sequence[Row]) -> str:
    """A chart a term, a line a row: the first of its runs that logged any."""
    terms: dict[str, list[tuple[int, Curve]]] = {}
    shown, lengths = [], []
    for number, row in enumerate(rows):
        curves = next(((run, curves) for run in row.runs[:3] if (curves := loss_curves(run.folder))), None)
        if curves is None:
            continue
        run, found = curves
        shown.append(f"{row.label}, seed {run.seed}")
        lengths.append(run.result["config"].get("train_iterations"))
        for term, curve in found.items():
            terms.setdefault(term, []).append((number, curve))
    if not terms:
        return '<p class="note">No TensorBoard events with loss terms lie beside these results.</p>'
    same = isinstance(lengths[0], int) and len(set(lengths)) == 1
    starts = [lengths[0] * k for k in range(len(stream.order))] if same else []
    losses = [term for term in terms if term not in ("total", *OTHERS.values())][:TERMS]  # as they came
    ordered = [(term, terms[term]) for term in (*losses, "total", *OTHERS.values()) if term in terms]
    meaning = " A vertical line begins an experience." if starts else ""
    note = f'<p class="note">Of single runs: {escape("; ".join(shown))}.{meaning}</p>'
    return _panels([(term, loss_chart(term, lines, starts)) for term, lines in ordered]) + note


def _bars(rows: Sequence[Row]) -> str:
    labels = [row.label for row in rows]
    panels = [(column.name, bars(column.name, [column.values(row) for row in rows], labels)) for column in (SECONDS, MEMORY)]
    note = '<p class="note">Bars: means; dots: single runs.</p>' if any(len(row.runs) > 1 for row in rows) else ""
    return _panels(panels) + note
