"""`avalanche-gift run` and `report`, from arguments to files and tables."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from avalanche_gift.cli import main
from avalanche_gift.evaluation import read_results, write_results

COLOURS = {"warm": ("red", "orange"), "cold": ("blue", "navy"), "dull": ("grey", "black")}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three tasks of two plain colours each, and a source with a prompt file."""
    root = tmp_path_factory.mktemp("pictures")
    for task, classes in COLOURS.items():
        for split in ("train", "test"):
            for name in classes:
                folder = root / "tasks" / task / split / name
                folder.mkdir(parents=True)
                for index in range(4):
                    Image.new("RGB", (40, 32 + index), name).save(folder / f"{index}.png")
    (root / "source").mkdir()
    lines = ["file,prompt"]
    for name in ("green", "white", "pink"):
        Image.new("RGB", (32, 32), name).save(root / "source" / f"{name}.png")
        lines.append(f"{name}.png,a photo of a {name}.")
    (root / "source" / "prompts.csv").write_text("\n".join(lines))
    return root


def arguments(folders, out, *more, strategies=("zero-shot", "finetune", "l2", "gift")):
    return [
        *("run", "--benchmark", "folders", "--data", str(folders / "tasks"), "--source", str(folders / "source")),
        *("--strategies", *strategies, "--iterations", "2", "--batch-size", "4", "--out", str(out), *more),
    ]


def test_four_strategies_run_to_a_table_and_to_files_with_every_number(folders, tmp_path, capsys):
    assert main(arguments(folders, tmp_path)) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Settings other than the paper's: iterations 2 (paper: 1000), batch_size 4 (paper: 64).")
    table = printed[printed.index("Strategy ") :].splitlines()[:6]
    assert [line.split()[0] for line in table[2:]] == ["zero-shot", "finetune", "l2", "gift"]
    assert (tmp_path / "summary.png").is_file()
    for strategy in ("zero-shot", "finetune", "l2", "gift"):
        folder = tmp_path / strategy / "seed-0"
        results = read_results(folder / "results.json")
        assert results["experiences"] == ["cold", "dull", "warm"]
        assert len(results["accuracy"]) == 4
        assert results["config"]["strategy"] == strategy
        assert results["seconds"] > 0
        assert list((folder / "tensorboard").glob("events.*"))
        assert (folder / "log.txt").stat().st_size > 0
    zero_shot = read_results(tmp_path / "zero-shot" / "seed-0" / "results.json")
    assert all(row == zero_shot["accuracy"][0] for row in zero_shot["accuracy"])
    log = (tmp_path / "gift" / "seed-0" / "log.txt").read_text()
    for term in ("cross_entropy", "distillation", "alignment", "awc", "total"):
        assert f"LossTerm/{term}/train_phase/train_stream" in log
    assert main(["report", str(tmp_path), "--matrix"]) == 0
    printed = capsys.readouterr().out
    assert set(table) <= set(printed.splitlines())
    assert "before training" in printed


def test_a_finished_run_is_not_run_again_and_another_configuration_is_refused(folders, tmp_path, capsys):
    assert main(arguments(folders, tmp_path, strategies=["finetune"])) == 0
    path = tmp_path / "finetune" / "seed-0" / "results.json"
    before = path.read_bytes()
    assert main(arguments(folders, tmp_path, strategies=["finetune"])) == 0
    assert "done before" in capsys.readouterr().out
    assert main(arguments(folders, tmp_path, "--lr", "0.5", strategies=["finetune"])) == 2
    assert "of this configuration, but lr: there None, asked 0.5; use another --out" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_the_classes_of_the_loss_are_part_of_a_class_incremental_configuration(folders, tmp_path, capsys):
    path = tmp_path / "finetune" / "seed-0" / "results.json"
    steps = ["--class-incremental"]
    assert main(arguments(folders, tmp_path, *steps, strategies=["finetune"])) == 0
    assert "among all classes seen: Average" in capsys.readouterr().out
    results = read_results(path)
    assert results["config"]["class_incremental_loss"] == "step" and results["class_incremental"].keys() == {"average", "last"}
    assert main(arguments(folders, tmp_path, *steps, "--class-incremental-loss", "seen", strategies=["finetune"])) == 2
    assert "class_incremental_loss: there 'step', asked 'seen'" in capsys.readouterr().err
    assert main(arguments(folders, tmp_path / "other", "--class-incremental-loss", "seen", strategies=["finetune"])) == 2
    assert "add --class-incremental" in capsys.readouterr().err
    older = {name: value for name, value in results["config"].items() if name != "class_incremental_loss"}
    write_results(path, {**results, "config": older})  # of a release that took all classes seen
    assert main(arguments(folders, tmp_path, *steps, strategies=["finetune"])) == 2
    assert "class_incremental_loss: there None, asked 'step'" in capsys.readouterr().err


def test_strategies_of_one_class_incremental_run_are_in_one_table(folders, tmp_path, capsys):
    names = ["zero-shot", "finetune", "zscl", "avalanche-ewc"]
    options = ["--set", f"zscl.pictures={folders}", "--class-incremental"]
    assert main(arguments(folders, tmp_path, *options, strategies=names)) == 0
    for more in (["--class-incremental", "--class-incremental-loss", "seen"], []):
        assert main(arguments(folders, tmp_path / "-".join(["with", *more[1:]]), *more, strategies=["finetune"])) == 0
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 0
    tables = capsys.readouterr().out.split("folders")[1:]
    assert [[name for name in names if f"\n{name}" in table] for table in tables] == [names, ["finetune"], ["finetune"]]
    assert [table.startswith(" (class-incremental, loss over the classes of the step)") for table in tables] == [
        True,
        False,
        False,
    ]
    assert "all classes seen)" in tables[1] and tables[2].startswith(": ")
    assert ["Last, all" in table for table in tables] == [True, True, False]


def test_fewer_pictures_and_a_cache_are_options_and_the_cache_changes_no_number(folders, tmp_path):
    few = ["--shots", "2", "--max-pictures", "3"]
    assert main(arguments(folders, tmp_path / "plain", *few, strategies=["finetune"])) == 0
    cached = [*few, "--cache-dir", str(tmp_path / "cache")]
    assert main(arguments(folders, tmp_path / "cached", *cached, strategies=["finetune"])) == 0
    plain, kept = (read_results(tmp_path / name / "finetune" / "seed-0" / "results.json") for name in ("plain", "cached"))
    assert plain["accuracy"] == kept["accuracy"]
    assert plain["config"] == kept["config"]
    assert plain["config"]["shots"] == 2
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 3


def test_seeds_are_repeated_and_reported_together(folders, tmp_path, capsys):
    assert main(arguments(folders, tmp_path, "--seeds", "0", "1", strategies=["finetune"])) == 0
    assert "±" in capsys.readouterr().out
    assert {path.parent.name for path in tmp_path.rglob("results.json")} == {"seed-0", "seed-1"}


def test_a_strategy_that_fails_is_named_at_the_end_and_does_not_stop_the_others(folders, tmp_path, capsys):
    line = arguments(folders, tmp_path, "--set", "l2.l2_weight=-1", strategies=("finetune", "l2", "zero-shot"))
    assert main(line) == 1
    printed = capsys.readouterr()
    assert [row.split()[0] for row in printed.out[printed.out.index("Strategy ") :].splitlines()[2:4]] == [
        "finetune",
        "zero-shot",
    ]
    assert printed.err.splitlines()[-1].startswith("avalanche-gift: l2, seed 0 failed:")
    assert "weight >= 0, got -1" in printed.err.splitlines()[-1]
    assert not (tmp_path / "l2" / "seed-0" / "results.json").exists()


def test_arguments_of_a_strategy_are_set_by_name_and_stand_in_its_results(folders, tmp_path):
    given = ("--set", "finetune.label_smoothing=0.1", "finetune.reference_schedule=true")
    assert main(arguments(folders, tmp_path, *given, strategies=("finetune",))) == 0
    config = read_results(tmp_path / "finetune" / "seed-0" / "results.json")["config"]
    assert config["options"] == {"label_smoothing": 0.1, "reference_schedule": True}


@pytest.mark.parametrize("text", ["finetune=1", "finetune.lr", "finetune.=1", "l2.l2_weight=1"])
def test_a_setting_that_says_not_whose_or_what_is_refused(folders, tmp_path, capsys, text):
    assert main(arguments(folders, tmp_path, "--set", text, strategies=("finetune",))) == 2
    assert "--set" in capsys.readouterr().err


def test_the_order_of_tasks_can_be_given(folders, tmp_path):
    assert main(arguments(folders, tmp_path, "--tasks", "warm", "cold", strategies=["zero-shot"])) == 0
    assert read_results(tmp_path / "zero-shot" / "seed-0" / "results.json")["experiences"] == ["warm", "cold"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--strategies", "zslc"], "unknown strategy 'zslc'"),
        (["--strategies", "gif"], "did you mean 'gift'?"),
        (["--benchmark", "folder"], "unknown benchmark 'folder'; did you mean 'folders'?"),
        (["--model", "ViT-B-61"], "did you mean 'ViT-B-16'?"),
        (["--model", "ViT-B-16:opena"], "did you mean 'openai'?"),
        (["--data", "nowhere"], "nowhere, which is no folder"),
        (["--source", "nowhere"], "there is no folder 'nowhere'"),
        (["--tasks", "warn"], "unknown task 'warn'; did you mean 'warm'?"),
        (["--iterations", "0"], "at least one training iteration"),
        (["--images", "0"], "at least one synthetic picture"),
        (["--alpha", "-1"], "expected alpha >= 0, got -1.0"),
        (["--beta", "-1"], "expected beta >= 0, got -1.0"),
        (["--alpha", "0", "--beta", "0"], "set awc_weight=0"),
        (["--teacher", "wise:2"], "wise:R with R between 0 and 1, got 'wise:2'"),
        (["--distillation", "contrast"], "did you mean 'contrastive'?"),
        (["--lr", "-1"], "learning rates >= 0"),
    ],
)
def test_bad_input_is_one_line_and_code_two(folders, tmp_path, capsys, change, message):
    assert main(arguments(folders, tmp_path, *change, strategies=["gift"])) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("avalanche-gift: ")
    assert message in error
    assert not list(tmp_path.rglob("results.json"))


def test_losses_that_are_no_numbers_stop_the_run_with_code_one(folders, tmp_path, capsys):
    code = main(arguments(folders, tmp_path, "--lr", "1e30", "--iterations", "20", strategies=["finetune"]))
    assert code == 1
    assert "expected finite losses, got cross_entropy" in capsys.readouterr().err
    assert not list(tmp_path.rglob("results.json"))


def test_report_names_an_empty_folder_and_an_altered_file(folders, tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "got none" in capsys.readouterr().err
    assert main(arguments(folders, tmp_path, strategies=["zero-shot"])) == 0
    path = tmp_path / "zero-shot" / "seed-0" / "results.json"
    results = json.loads(path.read_text())
    results["metrics"]["last"] += 1
    path.write_text(json.dumps(results))
    assert main(["report", str(tmp_path)]) == 2
    assert f"{path}: expected" in capsys.readouterr().err


def test_arguments_are_parsed_before_anything_heavy_is_imported():
    code = (
        "import sys, avalanche_gift.cli as cli; cli.parser(); "
        "sys.exit(bool({'torch', 'avalanche', 'diffusers', 'open_clip'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
