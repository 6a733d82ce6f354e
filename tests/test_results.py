"""The results file, the tables made of it, and the measurements that go into it."""

import copy
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from avalanche_gift.evaluation import memory
from avalanche_gift.evaluation.memory import measure
from avalanche_gift.evaluation.metrics import continual_metrics
from avalanche_gift.evaluation.results import (
    ResultsError,
    find_results,
    read_results,
    software_versions,
    write_results,
)
from avalanche_gift.evaluation.table import format_accuracy, format_table


def make(strategy="gift", seed=0, accuracy=((50, 40), (80, 30), (60, 90)), **changes):
    rows = [list(row) for row in accuracy]
    names = ["Aircraft", "MNIST", "Food"][: len(rows[0])]
    return {
        "schema_version": 1,
        "strategy": strategy,
        "seed": seed,
        "benchmark": "mini",
        "experiences": names,
        "config": {"lr": 1e-5, "orders": [1, None]},
        "versions": {"python": "3.11"},
        "accuracy": rows,
        "metrics": changes.get("metrics") or continual_metrics(rows[1:]),
        "seconds": 12.5,
        "peak_memory_bytes": 3 * 2**29,
    } | changes


def in_order(*order, accuracy=((50, 40), (30, 80), (90, 60)), **changes):
    """Trained in another order than that of the columns."""
    rows = [list(row) for row in accuracy]
    given = {"accuracy": rows, "training_order": list(order), "metrics": continual_metrics(rows[1:], order)}
    return make(**(given | changes))


def without(key):
    results = make()
    del results[key]
    return results


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "new" / "folder" / "results.json"
    write_results(path, make())
    assert read_results(path) == make()
    assert os.listdir(path.parent) == ["results.json"]


def test_a_single_experience_has_null_metrics(tmp_path):
    results = make(accuracy=[[10], [20]])
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json")["metrics"]["transfer"] is None


@pytest.mark.parametrize(
    ("results", "metrics"),
    [
        (in_order(1, 0), {"transfer": 30, "average": 65, "last": 75, "forgetting": 60 - 80}),
        (
            in_order(1, 1, 0, accuracy=[[50, 40], [30, 80], [20, 90], [70, 60]]),
            {"transfer": 25, "average": pytest.approx(350 / 6), "last": 65, "forgetting": 60 - 90},
        ),
        (in_order(1, accuracy=[[50, 40], [30, 80]]), {"transfer": 30, "average": 55, "last": 55, "forgetting": None}),
    ],
    ids=["turned round", "one twice", "one never"],
)
def test_metrics_of_another_order_of_training_are_checked_by_that_order(tmp_path, results, metrics):
    path = tmp_path / "results.json"
    write_results(path, results)
    assert read_results(path)["metrics"] == metrics
    first = results["training_order"].pop(0)
    with pytest.raises(ResultsError, match=r"values in \$.accuracy|minItems 1"):
        write_results(path, results)
    results["training_order"].insert(0, 1 - first)
    with pytest.raises(ResultsError, match=r"at \$.metrics"):
        write_results(path, results)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "results.json"
    write_results(path, make(seed=1))
    seen = []

    def fail(*args):
        seen.extend(read_results(file) for file in tmp_path.glob("*.json"))
        raise OSError("disk full")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="disk full"):
        write_results(path, make(seed=2))
    assert seen == [make(seed=1)]
    assert read_results(path) == make(seed=1)
    assert os.listdir(tmp_path) == ["results.json"]


def test_the_file_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path, calls = tmp_path / "results.json", []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor):
        calls.append("fsync")
        assert os.fstat(descriptor).st_size > 300  # all of it, not a buffer's worth
        fsync(descriptor)

    def spy_replace(source, target):
        calls.append("replace")
        assert Path(source).parent == tmp_path
        assert read_results(source) == make()
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    write_results(path, make())
    assert calls == ["fsync", "replace"]


BAD = {
    "missing": (without("seed"), "'seed' is a required property at $"),
    "unknown": (make(extra=1), "'extra' was unexpected"),
    "unknown metric": (make(metrics=make()["metrics"] | {"f1": 1}), "'f1' was unexpected"),
    "version": (make(schema_version=2), "expected const 1 at $.schema_version, got 2"),
    "type": (make(seed="zero"), "expected type 'integer' at $.seed, got 'zero'"),
    "truth value": (make(seed=True), "expected type 'integer' at $.seed, got True"),
    "percent": (make(accuracy=[[50, 40], [80, 30], [60, 101]]), "expected maximum 100 at $.accuracy[2][1], got 101"),
    "null cell": (make() | {"accuracy": [[None, 1], [1, 1], [1, 1]]}, "'number' at $.accuracy[0][0], got None"),
    "rows": (make(accuracy=[[80, 30], [60, 90]]), "expected 3 x 2 values in $.accuracy, got rows of lengths [2, 2]"),
    "columns": (make(experiences=["a"]), "expected 2 x 1 values in $.accuracy"),
    "order": (make(training_order=[0, 2]), "order of 2 experiences from 0 to 1, one per row, got [0, 2]"),
    "empty order": (make(training_order=[]), "$.training_order"),
    "nan": (make(seconds=math.nan), "expected a finite number at $.seconds, got nan"),
    "nan in config": (make(config={"a": [0, {"b": math.nan}]}), "finite number at $.config.a[1].b, got nan"),
    "infinity": (make(metrics=make()["metrics"] | {"last": math.inf}), "finite number at $.metrics.last, got inf"),
    "altered": (make(metrics=make()["metrics"] | {"transfer": 30.00001}), "expected 30.0 at $.metrics.transfer"),
    "altered zero-shot counts as row": (
        make(metrics=make()["metrics"] | {"average": 350 / 6}),
        "expected 65.0 at $.metrics.average",
    ),
    "nulled": (make(metrics=make()["metrics"] | {"forgetting": None}), "expected -20.0 at $.metrics.forgetting"),
    "null for zero": (
        make(accuracy=[[50, 40], [80, 30], [80, 90]])
        | {"metrics": make()["metrics"] | {"average": 70, "last": 85, "forgetting": None}},
        "expected 0.0 at $.metrics.forgetting, as $.accuracy gives, got None",
    ),
    "zero for null": (
        make(accuracy=[[10], [20]], metrics={"transfer": 0, "average": 20, "last": 20, "forgetting": None}),
        "expected None at $.metrics.transfer, as $.accuracy gives, got 0",
    ),
    "not an object": ([1], "expected type 'object' at $, got [1]"),
}


@pytest.mark.parametrize(("results", "message"), BAD.values(), ids=BAD.keys())
def test_bad_results_are_refused_in_one_line_both_ways(tmp_path, results, message):
    path = tmp_path / "results.json"
    with pytest.raises(ResultsError) as written:
        write_results(path, results)
    assert os.listdir(tmp_path) == []
    path.write_text(json.dumps(results))
    with pytest.raises(ResultsError) as read:
        read_results(path)
    for error in (str(written.value), str(read.value)):
        assert message in error
        assert error.startswith(f"{path}: ") and "\n" not in error and len(error) < len(str(path)) + 200


def test_a_difference_below_the_tolerance_is_accepted(tmp_path):
    results = make(metrics=make()["metrics"] | {"transfer": 30.0000001})
    write_results(tmp_path / "results.json", results)


def test_values_json_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ResultsError, match=r"values that JSON can hold, got .*Path"):
        write_results(tmp_path / "results.json", make(config={"folder": tmp_path}))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected JSON"),
        (b'{"schema_version": 1, "strat', "expected JSON"),
        (b"\xff\xfe", "expected JSON in UTF-8"),
        (b"[" * 100_000, "expected JSON"),
        (json.dumps(make()).replace("12.5", "1e999").encode(), "finite number at $.seconds, got inf"),
    ],
    ids=["empty", "cut short", "not text", "nested too deep", "too large a number"],
)
def test_a_file_that_is_no_results_file_is_refused(tmp_path, content, message):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(ResultsError) as error:
        read_results(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


def test_a_missing_file_or_folder_is_named(tmp_path):
    with pytest.raises(ResultsError, match=r"none\.json: expected a readable results file, got No such file"):
        read_results(tmp_path / "none.json")
    with pytest.raises(ResultsError, match="nowhere: expected a folder"):
        find_results(tmp_path / "nowhere")


def test_results_are_found_in_the_order_of_their_paths(tmp_path):
    for seed, folder in enumerate(["b/x", "a", "b", "c/deep/er"]):
        write_results(tmp_path / folder / "results.json", make(seed=seed))
    (tmp_path / "a" / "other.json").write_text("not a result")
    assert [run["seed"] for run in find_results(tmp_path)] == [1, 2, 0, 3]
    (tmp_path / "b" / "results.json").write_text("{}")
    with pytest.raises(ResultsError):
        find_results(tmp_path)


def test_software_versions_name_what_is_installed_and_fit_the_schema(tmp_path):
    import torch

    versions = software_versions()
    assert versions["python"] == sys.version.split()[0]
    assert versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "avalanche-lib" in versions
    write_results(tmp_path / "results.json", make(versions=versions))


def test_the_table_has_a_line_per_strategy_and_stars_the_best():
    kept = {"extra_parameters": 1_250_000, "stored_pictures": 40, "stored_bytes": 1000}
    gift = make("gift", accuracy=[[50, 40], [80, 30], [60, 90]], footprint=kept)
    finetune = make("finetune", accuracy=[[50, 40], [95, 20], [40, 99]], seconds=7, peak_memory_bytes=2**30)
    table = format_table([gift, finetune])
    assert " ".join(table.split()[:13]) == (
        "Strategy Transfer Average Last Forgetting seconds peak memory (GiB) extra params (M) kept"
    )
    lines = [line.split() for line in table.splitlines()]
    assert lines[2] == ["gift", "30.0*", "65.0*", "75.0*", "-20.0*", "12.5", "1.50", "1.25", "40"]
    assert lines[3] == ["finetune", "20.0", "63.5", "69.5", "-55.0", "7.0", "1.00", "-", "-"], "memory has no mark"
    legend = " ".join(table.splitlines()[5:])
    assert all(unit in legend for unit in ("Transfer, Average, Last: percent", "Forgetting: percentage points"))


def test_seeds_become_mean_and_sample_deviation_and_the_best_mean_is_starred():
    a = [make("a", seed, accuracy=[[0, 0], [80, transfer], [80, 80]]) for seed, transfer in enumerate((30, 40))]
    b = [make("b", 7, accuracy=[[0, 0], [80, 36], [80, 80]])]
    lines = format_table([a[0], *b, a[1]]).splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["a", "b"]
    assert "35.0 ± 7.1 " in lines[2] and "36.0*" in lines[3]
    assert "80.0 ± 0.0*" in lines[2] and "80.0*" in lines[3]  # a tie


def test_a_metric_that_is_not_defined_is_a_dash():
    line = format_table([make(accuracy=[[10], [20]])]).splitlines()[2].split()
    assert line[:5] == ["gift", "-", "20.0*", "20.0*", "-"]


def test_columns_of_the_table_line_up():
    runs = [make("a"), make("a-long-name", 3), make("a-long-name", 4)]
    header, _, *rows = format_table(runs).splitlines()[:4]
    end = header.index("Transfer") + len("Transfer")
    assert {row[end - 1 : end] for row in rows} == {"*"}  # the star ends the column in every row


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([], "at least one result"),
        ([make(), make("b", benchmark="mtil")], "one benchmark, got 'mini' and 'mtil'"),
        ([make(), make("b", experiences=["MNIST", "Aircraft"])], "one experiences"),
        ([make(seed=5), make("b"), make(seed=5)], "got seed 5 of 'gift' twice"),
        ([make(), in_order(1, 0, strategy="b")], r"one order of training, got \[0, 1\] and \[1, 0\]"),
    ],
)
def test_results_that_cannot_be_compared_are_refused(results, message):
    with pytest.raises(ValueError, match=message):
        format_table(results)


def test_the_accuracy_text_names_rows_and_columns():
    lines = format_accuracy(make()).splitlines()
    assert lines[0].split() == ["Aircraft", "MNIST"]
    assert lines[1].split() == ["before", "training", "50.0", "40.0"]
    assert lines[2].split() == ["after", "Aircraft", "80.0", "30.0"]
    assert lines[3].split() == ["after", "MNIST", "60.0", "90.0"]
    assert len({len(line) for line in lines}) == 1
    lines = format_accuracy(in_order(1, 0)).splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["training", "MNIST", "Aircraft"]


def test_the_tables_do_not_change_what_they_are_given():
    results = [make(), make(seed=1)]
    before = copy.deepcopy(results)
    format_table(results)
    format_accuracy(results[0])
    assert results == before


def test_time_and_peak_memory_of_a_block_are_there_when_it_ends():
    with measure() as used:
        assert used.peak_memory_bytes == 0
        block = bytearray(os.urandom(1) * (300 << 20))
        del block
    assert used.seconds > 0
    assert used.peak_memory_bytes > 300 << 20


def test_numbers_are_there_after_an_exception_too():
    with pytest.raises(KeyError), measure("cpu") as used:
        raise KeyError
    assert used.seconds > 0 and used.peak_memory_bytes > 0


def test_the_peak_of_one_block_does_not_count_in_the_next():
    if not os.access("/proc/self/clear_refs", os.W_OK) or "VmHWM" not in Path("/proc/self/status").read_text():
        pytest.skip("only Linux can restart the peak of resident memory")
    with measure() as large:
        bytearray(os.urandom(1) * (400 << 20))
    with measure() as small:
        pass
    assert small.peak_memory_bytes < large.peak_memory_bytes - (300 << 20)


def test_without_the_linux_files_the_peak_of_the_process_is_reported(monkeypatch):
    resource = pytest.importorskip("resource")

    class Nowhere:
        def __init__(self, path):
            raise FileNotFoundError(path)

    monkeypatch.setattr(memory, "Path", Nowhere)
    with measure() as used:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    assert used.peak_memory_bytes == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit > 0


def test_on_cuda_the_peak_is_the_allocators():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    torch.empty(64 << 20, dtype=torch.uint8, device="cuda")
    with measure(torch.device("cuda")) as used:
        torch.empty(8 << 20, dtype=torch.uint8, device="cuda")
    assert 8 << 20 <= used.peak_memory_bytes < 32 << 20


def test_everything_but_the_metrics_comes_without_avalanche_and_torch():
    code = """
import sys
import avalanche_gift.evaluation as evaluation
metrics = {"AccuracyMatrix", "ClassIncrementalAccuracy", "DistanceFromPrevious", "LearningRate", "SyntheticPictures"}
for name in evaluation.__all__:
    if name not in metrics:
        getattr(evaluation, name)
with evaluation.measure():
    evaluation.software_versions()
assert not {"avalanche", "torch", "matplotlib"} & set(sys.modules), "heavy import"
assert set(evaluation.__all__) <= set(dir(evaluation))
try:
    evaluation.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise SystemExit("no AttributeError")
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=True)
