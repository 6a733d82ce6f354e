"""The main job on real pictures, where the shared folder is at hand."""

import subprocess

import pytest

from avalanche_gift.cli import main
from avalanche_gift.evaluation import read_results

TASKS = ("MNIST", "EuroSAT_overview", "OxfordIIITPet")


@pytest.fixture
def pictures(shared_folder, tmp_path):
    subprocess.run(["bash", shared_folder / "data" / "unpack.sh", tmp_path, *TASKS, "ImageNetSamples"], check=True)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*ImageNetSamples is left out of the stream:UserWarning")
def test_real_pictures_run_from_folders_to_a_table(pictures, tmp_path, capsys):
    run = ["run", "--benchmark", "folders", "--data", str(pictures), "--source", str(pictures / "ImageNetSamples")]
    options = ["--iterations", "20", "--batch-size", "16", "--images", "64", "--lr", "1e-3", "--awc-weight", "0.1"]
    assert main([*run, *options, "--strategies", "finetune", "gift", "--out", str(tmp_path / "out")]) == 0
    assert "gift" in capsys.readouterr().out
    results = read_results(tmp_path / "out" / "gift" / "seed-0" / "results.json")
    assert results["experiences"] == sorted(TASKS)
    learned = [results["accuracy"][i + 1][i] for i in range(len(TASKS))]
    assert learned[0] > 30, "five kinds of land seen from above are easily told apart after 20 steps"
