"""The page's tables as HTML. Every text that comes from a file goes through `escape`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from itertools import combinations, product
from statistics import fmean
from typing import Any

from .columns import METRICS, Column, mean_and_spread, ranked, shown_columns
from .gather import Row, Run, Stream, varying

TALL = 40
"""Rows, beyond which a table scrolls."""

EACH_PAIR = 6
"""Rows, up to which each is compared with each."""

DASH = '<td class="n none">-</td>'


def table(head: Sequence[str], rows: Sequence[str], attributes: str = "", numbers_from: int = 99) -> str:
    """A table in a box that scrolls: to the side on narrow screens, downward where there are many rows.

    head: texts, escaped here. rows: finished cells, a string a row. numbers_from: the first column of numbers.
    """
    kinds = ["", ' class="n"']
    heads = "".join(f'<th scope="col"{kinds[k >= numbers_from]}>{escape(text)}</th>' for k, text in enumerate(head))
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    box = "wide tall" if len(rows) > TALL else "wide"
    return (
        f'<div class="{box}" tabindex="0"><table {attributes}><thead><tr>{heads}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def table_of_runs(streams: Sequence[Stream]) -> str:
    """A row a strategy and configuration; page.js sorts it. The best of each column on its stream is bold."""
    columns = shown_columns(streams)
    rows = []
    for stream in streams:
        best = [column.best_of(stream) for column in columns]
        for row in stream.rows:
            cells = [_number(column, row, mark) for column, mark in zip(columns, best, strict=True)]
            rows.append(_name(row) + f"<td>{escape(stream.label)}</td>" + _seeds(row) + "".join(cells))
    head = ["Strategy", "Benchmark", "Seeds", *(column.name for column in columns)]
    return table(head, rows, 'id="runs" class="sortable"', numbers_from=2)


def _name(row: Row) -> str:
    settings = f" <small>{escape(row.settings)}</small>" if row.settings else ""
    return f'<th scope="row">{escape(row.strategy)}{settings}</th>'


def _seeds(row: Row) -> str:
    seeds = sorted(row.by_seed)
    shown = ", ".join(map(str, seeds[:3])) + (", …" if len(seeds) > 3 else "")
    title = escape(", ".join(map(str, seeds)))
    return f'<td class="n" data-v="{len(row.runs)}" title="{title}">{len(row.runs)} <small>({shown})</small></td>'


def _number(column: Column, row: Row, best: float | None) -> str:
    values = column.values(row)
    if not values:
        return DASH
    mean, spread = mean_and_spread(values, column.digits)
    if best is not None and round(fmean(values), column.digits) == best:
        mean = f"<strong>{mean}</strong>"
    return f'<td class="n" data-v="{fmean(values):.10g}">{mean}{f" <small>{spread}</small>" if spread else ""}</td>'


def paired_table(stream: Stream) -> str:
    """Rows of a stream in pairs over the seeds that both have, in the order of `ranked`; empty where no seed is common.

    Beyond `EACH_PAIR` rows only the best is compared, with each other one.
    """
    ordered = ranked(stream)
    rows = []
    for first, second in combinations(ordered, 2) if len(ordered) <= EACH_PAIR else product(ordered[:1], ordered[1:]):
        if common := [seed for seed in first.by_seed if seed in second.by_seed]:
            pairs = [(first.by_seed[seed].result, second.by_seed[seed].result) for seed in common]
            cells = "".join(_difference(column, pairs) for column in METRICS)
            rows.append(
                f'{_name(first)}<td>{escape(second.label)}</td><td class="n" data-v="{len(pairs)}">{len(pairs)}</td>{cells}'
            )
    head = ["Strategy", "minus", "n", *(column.name for column in METRICS)]
    return table(head, rows, 'class="paired sortable"', numbers_from=2) if rows else ""


def _difference(column: Column, pairs: Sequence[tuple[Any, Any]]) -> str:
    values = [(column.value(ours), column.value(theirs)) for ours, theirs in pairs]
    differences = [ours - theirs for ours, theirs in values if ours is not None and theirs is not None]
    if not differences:
        return DASH
    mean, spread = mean_and_spread(differences, column.digits, "+")
    won = sum(difference > 0 for difference in differences)
    small = f"{spread}, won {won}/{len(differences)}".lstrip(", ")
    return f'<td class="n" data-v="{fmean(differences):.10g}">{mean} <small>{small}</small></td>'


def shared_settings(streams: Sequence[Stream]) -> str:
    """Configuration and versions that all runs have in common."""
    runs = [run for stream in streams for run in stream.runs]
    different = set(varying(runs))
    rows = [
        f'<th scope="row">{escape(name)}</th><td>{escape(value)}</td>'
        for name, value in runs[0].fields.items()
        if name not in different
    ]
    return table(["Field", "Value"], rows) if rows else ""


def differing_settings(streams: Sequence[Stream]) -> str:
    """What is not the same in all runs, a line a row of the table of runs; empty where there is nothing."""
    names = varying([run for stream in streams for run in stream.runs])
    rows = []
    for stream in streams:
        for row in stream.rows:
            values = ("; ".join(dict.fromkeys(run.fields.get(name, "-") for run in row.runs)) for name in names)
            cells = "".join(f"<td>{escape(value)}</td>" for value in values)
            rows.append(_name(row) + f"<td>{escape(stream.label)}</td>" + cells)
    head = ["Strategy", "Benchmark", *names]
    return table(head, rows, 'class="sortable"') if names else ""


def runs_to_compare(streams: Sequence[Stream]) -> str:
    """Data for page.js as JSON that may stand in a script element: of each run its name, what differs, and numbers as
    [value, decimals]."""
    names = varying([run for stream in streams for run in stream.runs])
    columns = shown_columns(streams)
    found = [
        {
            "name": f"{row.label}, seed {run.seed}" + (f", {stream.label}" if len(streams) > 1 else ""),
            "fields": {name: run.fields[name] for name in names if name in run.fields},
            "numbers": _numbers(columns, run),
        }
        for stream in streams
        for row in stream.rows
        for run in row.runs
    ]
    # "</script>" and "<!--" would end or change the element wherever they stand.
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _numbers(columns: Sequence[Column], run: Run) -> dict[str, list[float]]:
    decimals = {column.name: min(2, 2 * column.digits) for column in columns}  # one more than in the table, but whole counts
    numbers = {
        column.name: [round(v, 4), decimals[column.name]] for column in columns if (v := column.value(run.result)) is not None
    }
    last = zip(run.result["experiences"], run.result["accuracy"][-1], strict=True)
    return numbers | {f"{name}, after the last task": [round(value, 4), 2] for name, value in last}
