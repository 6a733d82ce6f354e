"""`avalanche-gift datasets | prompts`, and runs of the protocols by name."""

import subprocess
import sys

import layouts
import pytest
from test_mtil import ORDER_I

from avalanche_gift.benchmarks.sources import ORDERS, SOURCES
from avalanche_gift.cli import main
from avalanche_gift.evaluation import class_incremental_metrics, find_results

B3 = """\
Aircraft 100 3334 3333
Caltech101 101 6941 1736
CIFAR100 100 50000 10000
DTD 47 1880 1880
EuroSAT 10 21600 5400
Flowers 102 1020 6149
Food 101 75750 25250
MNIST 10 60000 10000
OxfordPet 37 3680 3669
StanfordCars 196 8144 8041
SUN397 397 87003 21751"""
"""The table of the paper's protocol."""


def test_prompts_prints_the_published_lines(capsys):
    assert main(["prompts", "mtil", "--order", "I"]) == 0
    assert capsys.readouterr().out == ORDER_I + "\n"


def test_prompts_writes_all_of_them(tmp_path, capsys):
    file = tmp_path / "prompts.csv"
    assert main(["prompts", "mtil", "--order", "II", "--write", str(file)]) == 0
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == list(ORDERS["II"])
    assert len(file.read_text().splitlines()) == 11_001


def test_expected_sizes_are_those_of_the_protocol(capsys):
    assert main(["datasets", "--expected"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()[:4]) for line in lines[1:12]] == B3.splitlines()
    assert lines[-1].split()[:4] == ["MTIL", "1201", "319352", "97209"]


def test_the_table_tells_present_missing_and_damaged(tmp_path, capsys, monkeypatch):
    layouts.write("DTD", tmp_path)
    layouts.write("EuroSAT", tmp_path)
    layouts.write("MNIST", tmp_path)
    monkeypatch.setitem(SOURCES, "DTD", layouts.small("DTD", 2, 1))
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "caltech101").mkdir()
    assert main(["datasets", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out.splitlines()
    states = {line.split()[0]: line.split()[1:5] for line in out[1:13]}
    assert states["DTD"][:3] == ["present", "94", "47"] and int(states["DTD"][3].replace(",", "")) > 1000
    assert states["EuroSAT"][:3] == ["damaged", "24", "6"]
    assert states["MNIST"][0] == "damaged"
    assert {name for name, cells in states.items() if cells[0] == "missing"} == set(SOURCES) - {"DTD", "EuroSAT", "MNIST"}
    text = "\n".join(out[13:])
    assert "MNIST is damaged: lacks MNIST/raw/t10k-labels-idx1-ubyte; " in text
    assert "EuroSAT is damaged: expected of EuroSAT 10 classes, 21600 train and 5400 test pictures, got" in text
    assert "StanfordCars is missing: stanford_cars/devkit/cars_train_annos.mat" in text and "DTD is" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["datasets", "Aircrafts"], "did you mean 'Aircraft'"),
        (["datasets", "--download"], "expected --data DIR"),
        (["run", "--benchmark", "mtil", "--out", "x"], "expected --data DIR"),
        (["run", "--benchmark", "digits", "--order", "II", "--out", "x"], "--order for the benchmark mtil only"),
        (["run", "--benchmark", "mtil", "--data", "/nowhere", "--tasks", "12", "--out", "x"], "from 1 to 11, got 12"),
        (["run", "--benchmark", "cifar100", "--data", "/nowhere", "--tasks", "2", "--out", "x"], "steps are fixed"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "run":
        arguments = [*arguments, "--strategy", "zero-shot", "--model", "clip-tiny"]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_set_that_can_not_be_downloaded_says_where_it_is(tmp_path, capsys):
    assert main(["datasets", "StanfordCars", "--data", str(tmp_path), "--download"]) == 1
    captured = capsys.readouterr()
    assert "can't be downloaded: fetch it from https://www.kaggle.com" in captured.err and "missing" in captured.out


def test_help_imports_nothing_heavy():
    code = (
        "import sys, avalanche_gift.cli as cli\n"
        "cli.parser().parse_args(['datasets', '--data', 'x'])\n"
        "print([m for m in ('avalanche', 'torch', 'torchvision', 'open_clip', 'numpy') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"


SETTINGS = ["--model", "clip-tiny", "--iterations", "2", "--batch-size", "4", "--images", "8"]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_two_tasks_of_mtil_are_trained_from_official_layouts(tmp_path, capsys):
    for name in ORDERS["I"][:2]:
        layouts.write(name, tmp_path / "data")
    layouts.cars_in_class_folders(tmp_path / "source", 1, 0)
    source = tmp_path / "source" / "stanford_cars" / "car_data" / "train"
    arguments = ["run", "--benchmark", "mtil", "--data", str(tmp_path / "data"), "--strategy", "gift", "--tasks", "2"]
    assert main([*arguments, "--source", str(source), "--out", str(tmp_path / "out"), *SETTINGS]) == 0
    result = find_results(tmp_path / "out")[0]
    assert result["experiences"] == ["Aircraft", "Caltech101"] and len(result["accuracy"]) == 3


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tinyimagenet_is_classified_among_all_classes_seen(tmp_path, capsys):
    layouts.write("TinyImageNet", tmp_path, 1, 1)
    arguments = [
        "run",
        "--benchmark",
        "tinyimagenet",
        "--data",
        str(tmp_path),
        *SETTINGS,
        "--strategies",
        "finetune",
        "zero-shot",
    ]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert "finetune, seed 0, among all classes seen: Average " in capsys.readouterr().out
    for result in find_results(tmp_path / "out"):
        assert len(result["experiences"]) == 6 and result["config"]["class_incremental"]
        assert result["class_incremental"].keys() == {"average", "last"}
        counts = [100, 20, 20, 20, 20, 20]  # one test picture a class
        assert result["class_incremental"] == pytest.approx(class_incremental_metrics(result["accuracy"][1:], counts))
