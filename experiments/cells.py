"""From the results of runs to the cells of a table, and those beside the paper's."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from experiments.plan import Row, World

Cells = dict[tuple[str, str], float]
"""By row and column, in percent."""
METRICS = ("transfer", "average", "last")


def metrics(row: Row, world: World, results: Sequence[Mapping[str, Any]]) -> Cells:
    """Transfer, Average and Last."""
    found = results[0]["metrics"]
    return {(row.label, name.title()): found[name] for name in METRICS if found[name] is not None}


def class_incremental(row: Row, world: World, results: Sequence[Mapping[str, Any]]) -> Cells:
    """Average and Last among all classes seen (Tables 7 and 8)."""
    steps = f"{len(results[0]['experiences'])} tasks" if world.name == "mini" else f"{row.steps} steps"
    return {(row.label, f"{steps} {name.title()}"): value for name, value in results[0]["class_incremental"].items()}


def per_task(row: Row, world: World, results: Sequence[Mapping[str, Any]]) -> Cells:
    """The metrics of every task (Tables 9 and 10), and their mean; the accuracy itself of zero-shot and of tasks alone."""
    if row.alone:
        return _line(row.label, {result["experiences"][0]: result["accuracy"][-1][0] for result in results})
    names, rows = results[0]["experiences"], results[0]["accuracy"][1:]
    if row.strategy == "zero-shot":
        return _line(row.label, dict(zip(names, results[0]["accuracy"][0], strict=True)))
    columns = list(zip(*rows, strict=True))
    return {
        **_line(f"{row.label}, Transfer", {name: fmean(columns[j][:j]) for j, name in enumerate(names) if j}),
        **_line(f"{row.label}, Average", {name: fmean(columns[j]) for j, name in enumerate(names)}),
        **_line(f"{row.label}, Last", dict(zip(names, rows[-1], strict=True))),
    }


def _line(label: str, values: Mapping[str, float]) -> Cells:
    return {**{(label, name): value for name, value in values.items()}, (label, "Average"): fmean(values.values())}


View = Callable[[Row, World, Sequence[Mapping[str, Any]]], Cells]
Table = dict[str, dict[str, dict[str, Any]]]


def beside(seeds: Sequence[Cells], paper: Mapping[str, Mapping[str, float | None]], *, comparable: bool) -> Table:
    """{row: {column: {ours, values, std, paper, difference}}}: the paper's rows and columns first, in its order, then ours.

    ours: mean over seeds; values: one a seed; std: sample standard deviation, of two or more. difference: ours less the
    paper's, where both are there and the protocol is the same (comparable).
    """
    ours: dict[tuple[str, str], list[float]] = {}
    for cells in seeds:
        for place, value in cells.items():
            ours.setdefault(place, []).append(value)
    rows = list(dict.fromkeys([*paper, *(row for row, _ in ours)]))
    columns = list(dict.fromkeys([*(column for values in paper.values() for column in values), *(c for _, c in ours)]))
    return {
        row: {
            column: cell
            for column in columns
            if (cell := _cell(ours.get((row, column), []), paper.get(row, {}).get(column), comparable))
        }
        for row in rows
    }


def _cell(values: Sequence[float], paper: float | None, comparable: bool) -> dict[str, Any]:
    cell: dict[str, Any] = {}
    if values:
        cell |= {"ours": round(fmean(values), 2), "values": [round(value, 2) for value in values]}
    if len(values) > 1:
        cell["std"] = round(stdev(values), 2)
    if paper is not None:
        cell["paper"] = paper
    if values and paper is not None and comparable:
        cell["difference"] = round(fmean(values) - paper, 2)
    return cell


def with_deltas(table: Table, bases: Mapping[str, str]) -> Table:
    """The table with what each row gains over another one of it: ours_delta and paper_delta, in points.

    bases: by row, the row that is subtracted. Ours is the difference of the means over seeds, the paper's that of its printed
    values. A cell has none where either row lacks the value.
    """
    return {
        row: {
            column: {**cell, **_deltas(cell, table.get(bases.get(row, ""), {}).get(column, {}))}
            for column, cell in cells.items()
        }
        for row, cells in table.items()
    }


def _deltas(cell: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    if "values" in cell and "values" in base:
        found["ours_delta"] = round(fmean(cell["values"]) - fmean(base["values"]), 2)
    if "paper" in cell and "paper" in base:
        found["paper_delta"] = round(cell["paper"] - base["paper"], 2)
    return found


TITLES = {"ours": "{}", "ours_delta": "Δ", "paper": "{} (paper)", "paper_delta": "Δ (paper)", "difference": "difference"}
"""Of the parts of a cell, in the order of their columns."""
SIGNED = ("ours_delta", "paper_delta", "difference")


def markdown(table: Table, *, brackets: bool = False) -> str:
    """One line a row; a column for each part of a cell, as far as any row has it.

    brackets: deltas stand in brackets behind their value, as in Table 5, instead of in columns of their own.
    """
    columns = list(dict.fromkeys(column for cells in table.values() for column in cells))
    parts = [
        (column, part)
        for column in columns
        for part in TITLES
        if any(part in cells.get(column, {}) for cells in table.values()) and not (brackets and part.endswith("_delta"))
    ]
    lines = [["", *(TITLES[part].format(column) for column, part in parts)], ["---"] * (len(parts) + 1)]
    lines += [[row, *(_text(cells.get(column, {}), part, brackets) for column, part in parts)] for row, cells in table.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(cell: Mapping[str, Any], part: str, brackets: bool) -> str:
    if part not in cell:
        return "-"
    if part in SIGNED:
        return f"{cell[part]:+.1f}"
    spread = f" ± {cell['std']:.1f}" if part == "ours" and "std" in cell else ""
    delta = f" ({cell[f'{part}_delta']:+.1f})" if brackets and f"{part}_delta" in cell else ""
    return f"{cell[part]:.1f}{spread}{delta}"
