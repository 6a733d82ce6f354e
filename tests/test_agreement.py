"""Orders of rows against the paper's, on tables whose correlations can be worked by hand."""

import json
from pathlib import Path

import pytest

from experiments import agreement
from experiments.plan import World
from experiments.runner import NAMES, entries

EXPERIMENTS = Path(agreement.__file__).parent
RESULTS = EXPERIMENTS / "results" / "mini"


def table(rows, column="Last", paper_column=None):
    """Rows as (ours, std, paper), of four seeds."""
    cells = {}
    for name, (ours, std, paper) in rows.items():
        cells[name] = {column: {"ours": ours, "std": std, "values": [ours] * 4}}
        cells[name].setdefault(paper_column or column, {})["paper"] = paper
    return {"rows": cells}


def write(folder, name, record):
    (folder / f"{name}.json").write_text(json.dumps(record))


def test_ranks_are_compared_and_only_clear_contradictions_are_named(tmp_path):
    # Squares of rank differences: 0, 1, 1, 0, so that rho = 1 - 6 * 2 / (4 * 15).
    rows = {"a": (10.0, 1.0, 1.0), "b": (30.0, 1.0, 2.0), "c": (20.0, 1.0, 3.0), "d": (40.0, 1.0, 4.0)}
    write(tmp_path, "table1", table(rows))
    text = "\n".join(agreement.lines(tmp_path))
    assert "| Table 1 | - | - | 0.80 (4) |" in text
    assert "6 pairs of rows: 5 in the paper's order, 1 against it, 0 within noise" in text
    assert "- Table 1, Last: b 10.0 above c (paper: 1.0 below)" in text


@pytest.mark.parametrize(
    ("b", "c", "verdicts"),
    [
        ((30.0, 1.0, 2.0), (20.0, 1.0, 3.0), [False]),
        ((30.0, 8.0, 2.0), (20.0, 8.0, 3.0), [None]),  # the standard error of the difference is 5.7: within two of them
        ((30.0, 1.0, 2.0), (20.0, 1.0, 2.9), []),  # the paper's are less than a point apart
        ((20.0, 1.0, 2.0), (30.0, 1.0, 3.0), [True]),
        ((30.0, 1.0, 3.0), (20.0, 1.0, 2.0), [True]),
    ],
    ids=["against", "noise", "near", "the same order", "the same order, higher first"],
)
def test_what_a_pair_of_rows_says(b, c, verdicts):
    found = agreement.values("table1", table({"b": b, "c": c})["rows"], "Last")
    assert [pair.agrees for pair in agreement.pairs_apart(found)] == verdicts


def test_one_seed_says_nothing():
    rows = table({"b": (30.0, 1.0, 2.0), "c": (20.0, 1.0, 4.0)})["rows"]
    for cells in rows.values():
        del cells["Last"]["std"]
    assert [pair.agrees for pair in agreement.pairs_apart(agreement.values("table1", rows, "Last"))] == [None]


def test_streams_of_new_classes_are_compared_with_the_papers_shortest():
    rows = table({"b": (30.0, 1.0, 2.0)}, "6 tasks Average", "5 steps Average")["rows"]
    assert agreement.values("table8", rows, "Average") == {"b": (30.0, 0.5, 2.0)}
    assert agreement.values("table8", rows, "Transfer") == {}


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"expected table1\.json"):
        agreement.main([str(tmp_path)])


def test_the_page_says_what_the_command_prints_of_the_results_that_come_with_it():
    page, printed = (EXPERIMENTS / "README.md").read_text(encoding="utf-8"), agreement.lines(RESULTS)
    assert "\n".join(printed[: printed.index("")]) in page
    assert printed[printed.index("") + 1].removesuffix(" Against it:") in page


@pytest.mark.parametrize("name", NAMES)
def test_results_that_come_with_it_are_of_three_seeds_and_whole(name):
    record = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    one = name in ("figure4", "figure5")  # drawn from the first seed only
    assert record["seeds"] == ([0] if one else [0, 1, 2]) and record["not_there"] == [] and record["world"] == "mini"
    if name.startswith("figure"):
        assert (RESULTS / f"{name}.svg").stat().st_size > 5000 and (RESULTS / f"{name}.png").stat().st_size > 5000
        return
    asked = {entry.row.label for entry in entries(name, World("mini"), [0, 1, 2])}
    ours = {row for row, cells in record["rows"].items() if any("ours" in cell for cell in cells.values())}
    assert asked <= ours | {row.rpartition(", ")[0] for row in ours}, "Tables 9 and 10 have three rows a method"
    for cells in record["rows"].values():
        assert all(len(cell["values"]) == 3 for cell in cells.values() if "ours" in cell)
