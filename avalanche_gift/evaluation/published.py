"""The values that the paper prints, as data: `published("table3")["CD"]["Last"]`."""

import json
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def published(name: str) -> dict[str, dict[str, float | None]]:
    """Rows of a table in the paper's order, values in percent by column; None where the paper prints none.

    Table 4 holds 4a to 4c. Tables 9 and 10 have a row a method and metric ("ZSCL, Transfer"), columns in task order. Figures,
    of which no numbers are published, have no rows. KeyError for another name.

    >>> published("table1")["GIFT (Ours)"]["Last"]
    86.0
    """
    table = _load("published.json")[name]
    return {row: dict(zip(table["columns"], values, strict=True)) for row, values in table.get("rows", {}).items()}


def published_what(name: str) -> str:
    """In a sentence, what a table or figure shows."""
    return _load("published.json")[name]["what"]


def published_conventional(name: str) -> dict[str, dict[str, Any]]:
    """Of the methods without CLIP in "table7" and "table8": where their numbers come from, parameters, memory, GPU hours.

    values and hours: an entry for each number of steps; [Average, its spread over class orders, Last] and [least, most].
    """
    return _load("published_conventional.json")[name]["rows"]


@cache
def _load(file: str) -> dict[str, Any]:
    return json.loads((HERE / file).read_text(encoding="utf-8"))
