"""The paper's tables and figures on the page, as `python -m experiments` wrote them."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .tables import DASH, table

PARTS = {"ours": "{}", "ours_delta": "Δ", "paper": "{} (paper)", "paper_delta": "Δ (paper)", "difference": "difference"}
"""Of a cell, and their headings."""
READ = (*PARTS, "std")
"""The numbers of a cell that are shown; each seed's value is not."""


@dataclass(frozen=True)
class Experiment:
    """A record of `experiments/writing.py`; rows: {row: {column: {"ours", "std", "paper", ...}}} of a table, picture:
    PNG of a figure."""

    kind: str
    number: int
    what: str
    world: str
    seeds: Sequence[int]
    protocol: str
    not_there: Sequence[str]
    rows: Mapping[str, Mapping[str, Mapping[str, float]]]
    picture: bytes | None

    @classmethod
    def read(cls, record: Any, picture: bytes | None = None) -> Experiment:
        """Raises ValueError where the record is of something else."""
        place = re.fullmatch(r"(table|figure)(\d+)", str(record.get("experiment"))) if isinstance(record, dict) else None
        if place is None or not (record.get("rows") or picture):
            raise ValueError("expected a table, or a figure with its picture, of `python -m experiments`")
        try:
            rows = {
                row: {column: {part: _finite(cell[part]) for part in READ if part in cell} for column, cell in cells.items()}
                for row, cells in record.get("rows", {}).items()
            }
            what, world, protocol = (str(record[name]) for name in ("what", "world", "protocol"))
            protocol = " ".join(filter(None, (protocol, str(record.get("deltas", "")))))
            seeds, not_there = list(record["seeds"]), [str(line) for line in record["not_there"]]
        except (ArithmeticError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"expected a record of `python -m experiments`, but {error!r}") from error
        return cls(place[1], int(place[2]), what, world, seeds, protocol, not_there, rows, picture)

    @property
    def title(self) -> str:
        return f"{self.kind.title()} {self.number}"


def _finite(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"expected finite numbers in its cells, got {number}")
    return number


def experiments_section(experiments: Sequence[Experiment]) -> str:
    """Tables and then figures, by their numbers; empty where there are none."""
    if not experiments:
        return ""
    parts = [
        "<section><h2>The paper's tables and figures</h2>",
        '<p class="note">Ours in percent (mean ± sample standard deviation over seeds), beside the published values; the '
        "difference only where the protocol is the paper's.</p>",
    ]
    for each in sorted(experiments, key=lambda each: (each.world, each.kind == "figure", each.number)):
        seeds = f" Seeds {', '.join(map(str, each.seeds))}."
        parts.append(f"<h3>{each.title}, {escape(each.world)}: {escape(each.what)}</h3>")
        parts.append(f'<p class="note">{escape(each.protocol)}{escape(seeds)}</p>')
        if each.rows:
            parts.append(_table(each.rows))
        if each.picture is not None:
            data = base64.b64encode(each.picture).decode()
            alt = escape(f"{each.title}: {each.what}")
            parts.append(f'<div class="drawn" tabindex="0"><img src="data:image/png;base64,{data}" alt="{alt}"></div>')
        if each.not_there:
            lines = "".join(f"<li>{escape(line)}</li>" for line in each.not_there)
            parts.append(f"<details><summary>Not there: {len(each.not_there)}</summary><ul>{lines}</ul></details>")
    return "\n".join([*parts, "</section>"])


def _table(rows: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A column for ours, the paper's and the difference of each column, as far as any row has them."""
    names = dict.fromkeys(column for cells in rows.values() for column in cells)
    columns = [(name, part) for name in names for part in PARTS if any(part in cells.get(name, {}) for cells in rows.values())]
    lines = [
        f'<th scope="row">{escape(row)}</th>' + "".join(_cell(cells.get(name, {}), part) for name, part in columns)
        for row, cells in rows.items()
    ]
    return table(["", *(PARTS[part].format(name) for name, part in columns)], lines, 'class="experiment"', numbers_from=1)


def _cell(cell: Mapping[str, float], part: str) -> str:
    if part not in cell:
        return DASH
    spread = f" <small>± {cell['std']:.1f}</small>" if part == "ours" and "std" in cell else ""
    return f'<td class="n">{cell[part]:{"" if part in ("ours", "paper") else "+"}.1f}{spread}</td>'
