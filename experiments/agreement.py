"""Whether rows stand in the paper's order: rank correlation of each table, and the pairs that contradict it beyond noise.

    python -m experiments.agreement experiments/results/mini

For worlds whose numbers are not the paper's, so that only orders can be compared. Reads the tables' JSON; of Tables 7 and 8
ours is compared with the paper's shortest stream. A pair of rows contradicts the paper where the paper has them at least a
point apart and ours are the other way round by more than two standard errors of their difference (of independent seeds; the
seeds are in fact the same, so that this is careful).
"""

import argparse
import json
import sys
from collections.abc import Mapping
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
            found[row] = (ours["ours"], ours.get("std", float("nan")) / ours["seeds"] ** 0.5, paper["paper"])
    return found


def apart(found: Mapping[str, Value]) -> list[tuple[tuple[str, Value], tuple[str, Value]]]:
    """Pairs of rows that the paper has at least a point apart."""
    return [(a, b) for a, b in combinations(found.items(), 2) if abs(a[1][2] - b[1][2]) >= POINTS]


def contradictions(found: Mapping[str, Value]) -> list[str]:
    """Pairs of rows, as "A above B, the paper's a below"; none where there is one seed."""
    said = []
    for (a, (ours_a, error_a, paper_a)), (b, (ours_b, error_b, paper_b)) in apart(found):
        difference, theirs = ours_a - ours_b, paper_a - paper_b
        clear = abs(difference) > ERRORS * (error_a**2 + error_b**2) ** 0.5
        if difference * theirs < 0 and clear:
            high, low = (a, b) if difference > 0 else (b, a)
            said.append(f"{high} {abs(difference):.1f} above {low} (paper: {abs(theirs):.1f} below)")
    return said


def lines(folder: Path) -> list[str]:
    """Markdown: a line a table, then what contradicts the paper."""
    correlations, against, pairs = [], [], 0
    for name in TABLES:
        if not (path := folder / f"{name}.json").is_file():
            continue
        rows, cells = json.loads(path.read_text(encoding="utf-8"))["rows"], []
        for column in COLUMNS:
            found = values(name, rows, column)
            if len(found) < 3:
                cells.append("-")
                continue
            ours, _, paper = zip(*found.values(), strict=True)
            cells.append(f"{spearmanr(ours, paper).statistic:.2f} ({len(found)})")
            pairs += len(apart(found))
            against += [f"- {_title(name)}, {column}: {said}" for said in contradictions(found)]
        correlations.append(f"| {_title(name)} | {' | '.join(cells)} |")
    head = [f"| | {' | '.join(COLUMNS)} |", f"|{'---|' * (len(COLUMNS) + 1)}"]
    return [*head, *correlations, "", f"{len(against)} of {pairs} pairs of rows contradict the paper:", "", *against]


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
