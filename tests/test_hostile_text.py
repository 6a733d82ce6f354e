"""Text from files in a terminal, one bad results file among others, and sizes of zero in Python."""

import io
import os
import shutil
import sys
import warnings

import pytest
import torch
from spoilt import with_fields
from world import MadePictures, tiny_model

from avalanche_gift.cli import main
from avalanche_gift.cli_data import _aligned
from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import format_accuracy, format_table
from avalanche_gift.names import is_unicode, print_line, printable
from avalanche_gift.report import Experiment
from avalanche_gift.training import EWC, GIFT, L2, ZSCL, FineTune, ICaRL, MoEAdapters

EVIL = "\x1b]0;owned\x07\x1b[2J\nrow\r\u202etxt\udcff"


def is_safe(text):
    return all(each.isprintable() or each == "\n" for each in text)


def test_printable_text_is_one_line_and_leaves_every_language_as_it_is():
    assert printable("blåbær 🔥 日本 é") == "blåbær 🔥 日本 é"
    assert printable(EVIL) == r"\x1b]0;owned\x07\x1b[2J\nrow\r\u202etxt\udcff"
    assert is_unicode("🔥") and not is_unicode("\ud83d")


def evil_result(seed=0):
    metrics = {"transfer": None, "average": 50.0, "last": 50.0, "forgetting": None}
    result = {"strategy": f"gift{EVIL}", "seed": seed, "benchmark": EVIL, "experiences": [EVIL], "accuracy": [[10.0], [50.0]]}
    return {**result, "metrics": metrics, "seconds": 1.0, "peak_memory_bytes": 1}


def test_tables_hold_their_lines_and_no_escape_sequence():
    table = format_table([evil_result()])
    assert is_safe(table) and len(table.splitlines()) == len(format_table([{**evil_result(), "strategy": "x"}]).splitlines())
    matrix = format_accuracy(evil_result())
    assert is_safe(matrix) and len(matrix.splitlines()) == 3
    rows = _aligned([("a", "b"), (EVIL, "c")], right=())
    assert is_safe(rows) and len(rows.splitlines()) == 2


def test_printing_a_name_of_no_encoding_is_no_error(monkeypatch):
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr("sys.stdout", written)
    print_line(EVIL)
    written.flush()
    assert is_safe(written.buffer.getvalue().decode())


def test_warnings_show_names_escaped_while_a_command_runs(monkeypatch, capsys):
    from avalanche_gift import cli_report

    before = warnings.formatwarning

    def shown(message, category, filename, lineno, file=None, line=None):  # as Python shows it; pytest would only note it
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    def warning(arguments):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = shown
            warnings.warn(f"{EVIL} is left out", stacklevel=1)
        return 0

    monkeypatch.setattr(cli_report, "report", warning)
    assert main(["report", "x"]) == 0
    assert warnings.formatwarning is before
    error = capsys.readouterr().err
    assert "is left out" in error and is_safe(error)


# ---- one bad file


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two finished runs."""
    out = tmp_path_factory.mktemp("finished")
    assert (
        main(["run", "--tasks", "shapes", "letters", "--strategies", "zero-shot", "--seeds", "0", "1", "--out", str(out)]) == 0
    )
    return out


BAD = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:99]),
    "nested": lambda path: path.write_text("[" * 100_000),
    "not UTF-8": lambda path: path.write_bytes(b"\xff"),
    "huge": lambda path: with_fields(path, lambda found: {**found, "seconds": 10**400})(None),
    "infinite": lambda path: path.write_text('{"seconds": 1e999}'),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_results_file_leaves_the_report_of_the_others(finished, tmp_path, capsys, kind):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    bad = out / "zero-shot" / "seed-0" / "results.json"
    BAD[kind](bad)
    page = tmp_path / "page.html"
    assert main(["report", str(out), "--matrix", "--html", str(page)]) == 1
    printed = capsys.readouterr()
    assert "zero-shot, seed 1" in printed.out and "Strategy" in printed.out and page.is_file()
    lines = [line for line in printed.err.splitlines() if line.startswith("avalanche-gift: ")]
    assert len(lines) == 1 and str(bad) in lines[0] and lines[0].endswith("; left out")


@pytest.mark.parametrize(
    "cell", [{"ours": 10**400}, {"ours": "1" * 5000}, {"ours": []}, {"ours": 1e999}, {"ours": float("nan")}], ids=range(5)
)
def test_a_table_with_numbers_that_no_one_can_show_is_no_experiment(cell):
    record = {"experiment": "table1", "what": "x", "world": "mini", "protocol": "", "seeds": [0], "not_there": []}
    with pytest.raises(ValueError, match="expected"):
        Experiment.read({**record, "rows": {"gift": {"last": cell}}})


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "1" * 5000 + "}", "\udcff", '{"rows": 3}', "null"], ids=range(5))
def test_a_bad_table_file_leaves_the_report_of_the_others(finished, tmp_path, capsys, text):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    (out / "table1.json").write_bytes(text.encode(errors="surrogateescape"))
    os.mkfifo(out / "figure1.json")
    assert main(["report", str(out), "--html", str(tmp_path / "page.html")]) == 0
    assert "table1.json" in (printed := capsys.readouterr().err) and "figure1.json" in printed


# ---- sizes of zero


SYNTHETIC = {"base_prompts": ["a photo of a sun."], "synthetic_images": 4}
REFERENCES = {"pictures": torch.zeros(2, 3, 16, 16), "texts": ["a sun"]}
ZEROS = {
    "train_mb_size": (FineTune, {}),
    "eval_mb_size": (L2, {}),
    "synthetic_mb_size": (lambda **more: GIFT(synthetic=MadePictures(), **SYNTHETIC, **more), {}),
    "synthetic_images": (lambda **more: GIFT(synthetic=MadePictures(), base_prompts=["a"], **more), {}),
    "fisher_mb_size": (EWC, {}),
    "memory_size": (ICaRL, {}),
    "memory_mb_size": (ICaRL, {"memory_size": 4}),
    "reference_mb_size": (lambda **more: ZSCL(**REFERENCES, **more), {}),
    "selection_mb_size": (lambda **more: MoEAdapters(backbone="pixels", **more), {}),
}


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", ZEROS)
def test_a_size_of_zero_is_refused_by_the_constructor(name, value):
    build, more = ZEROS[name]
    with pytest.raises(ValueError, match=r"^expected .*(1 or more|at least one|at least 1|>= 1|positive)"):
        build(model=tiny_model(), **more, **{name: value})


@pytest.mark.parametrize("name", ["train_mb_size", "eval_mb_size"])
def test_a_configuration_of_empty_batches_is_refused(name):
    with pytest.raises(ValueError, match=f"expected {name} of 1 or more, got 0"):
        RunConfig("avalanche-lwf", "mini", "mini", **{name: 0})
