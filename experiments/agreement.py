"""Whether rows stand in the paper's order: rank correlation of each table, and the pairs that contradict it beyond noise.

    python -m experiments.agreement experiments/results/mini

For worlds whose numbers are not the paper's, so that only orders can be compared. Reads the tables' JSON; of Tables 7 and 8
ours is compared with the paper's shortest stream. A pair of rows contradicts the paper where the paper has them at least a
point apart and ours are the other way round by more than two standard errors of their difference (of independent seeds; the
seeds are in fact the same, so that this is careful). A run under several names in a table, as in Table 4, counts under each.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

TABLES = (*(f"table{n}" for n in range(1, 9)), "table11", "table12")
"""Those whose rows have the paper's names; the columns of Tables 9 and 10 are other data sets."""
COLUMNS = ("Transfer", "Average", "Last")
SHORTEST = {"table7": "10 steps", "table8": "5 steps"}
POINTS, ERRORS = 1.0, 2.0

Value = tuple[float, float, float]
"""Ours, the standard error of it, and the paper's."""


def values(name: str, rows: Mapping[str, Mapping[str, Any]], column: str) -> dict[str, Value]:
    """By row, as far as a row has both; the standard error needs two seeds."""
    steps = SHORTEST.get(name)
    own, theirs = (f"6 tasks {column}", f"{steps} {column}") if steps else (column, column)
    found = {}
    for row, cells in rows.items():
        ours, paper = cells.get(own, {}), cells.get(theirs, {})
        if "ours" in ours and "paper" in paper:
            found[row] = (ours["ours"], ours.get("std", float("nan")) / len(ours["values"]) ** 0.5, paper["paper"])
    return found


@dataclass(frozen=True)
class Pair:
    """Two rows, the higher of ours first, and how far they are apart: ours (positive), the paper's, and two standard errors."""

    high: str
    low: str
    ours: float
    paper: float
    noise: float

    @property
    def agrees(self) -> bool | None:
        """None where noise might have decided."""
        return self.paper > 0 if self.ours > self.noise else None

    def __str__(self) -> str:
        return f"{self.high} {self.ours:.1f} above {self.low} (paper: {-self.paper:.1f} below)"


def pairs_apart(found: Mapping[str, Value]) -> list[Pair]:
    """Pairs of rows that the paper has at least a point apart."""
    pairs = []
    for one, other in combinations(found.items(), 2):
        (high, (ours, error, paper)), (low, (less, other_error, other_paper)) = sorted(
            (one, other), key=lambda row: row[1][0], reverse=True
        )
        noise = ERRORS * (error**2 + other_error**2) ** 0.5
        if abs(paper - other_paper) >= POINTS:
            pairs.append(Pair(high, low, ours - less, paper - other_paper, noise))
    return pairs


def lines(folder: Path) -> list[str]:
    """Markdown: a line a table, then what contradicts the paper."""
    correlations: list[str] = []
    pairs: list[tuple[str, Pair]] = []
    for name in TABLES:
        if not (path := folder / f"{name}.json").is_file():
            continue
        rows, cells = json.loads(path.read_text(encoding="utf-8"))["rows"], []
        for column in COLUMNS:
            found = values(name, rows, column)
            ours, _, paper = zip(*found.values(), strict=True) if found else ((), (), ())
            cells.append(f"{spearmanr(ours, paper).statistic:.2f} ({len(found)})" if len(found) > 2 else "-")
            pairs += [(f"{_title(name)}, {column}", pair) for pair in pairs_apart(found)]
        correlations.append(f"| {_title(name)} | {' | '.join(cells)} |")
    verdicts = [pair.agrees for _, pair in pairs]
    counts = f"{len(pairs)} pairs of rows: {verdicts.count(True)} in the paper's order, {verdicts.count(False)} against it, "
    head = [f"| | {' | '.join(COLUMNS)} |", f"|{'---|' * (len(COLUMNS) + 1)}"]
    against = [f"- {place}: {pair}" for place, pair in pairs if pair.agrees is False]
    return [*head, *correlations, "", f"{counts}{verdicts.count(None)} within noise. Against it:", "", *against]


def _title(name: str) -> str:
    return name.replace("table", "Table ")


def main(line: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.agreement", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of the tables")
    folder = parser.parse_args(line).folder
    if not any((folder / f"{name}.json").is_file() for name in TABLES):
        sys.exit(f"expected table1.json and others in '{folder}', found none; python -m experiments makes them")
    print("\n".join(lines(folder)))


if __name__ == "__main__":
    main()
