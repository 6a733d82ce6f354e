"""Two processes compute what one does: weights, accuracies and results."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import IN_FLOAT32, PROVEN, SHARDED, SMALL, trained
from safetensors.torch import load_file
from world import tiny_model

from avalanche_gift import distributed
from avalanche_gift.run import run
from avalanche_gift.training import FineTune
from avalanche_gift.training.plugins import clip_optimizer

TESTS = Path(__file__).parent
CASES = [(name, torch.float64, 1e-10) for name in PROVEN] + [(name, torch.float32, 1e-5) for name in IN_FLOAT32]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder that two processes have filled."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, str(TESTS / "processes.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def numbers(folder, process=0):
    return json.loads((folder / f"process-{process}" / "numbers.json").read_text())


def without_key_biases(weights):
    """Their gradient is zero, so that rounding alone moves them."""
    for name, tensor in weights.items():
        if name.endswith("in_proj_bias"):
            third = len(tensor) // 3
            tensor[third : 2 * third] = 0
    return weights


@pytest.mark.parametrize(("name", "dtype", "tolerance"), CASES)
def test_weights_after_twenty_steps_and_accuracies_are_those_of_one_process(together, name, dtype, tolerance):
    case = f"{name} {str(dtype).removeprefix('torch.')}"
    alone, accuracies, _ = trained(name, dtype)
    first, second = (load_file(together / f"process-{number}" / f"{case}.safetensors") for number in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.testing.assert_close(without_key_biases(first), without_key_biases(alone), rtol=0, atol=tolerance)
    assert numbers(together)["accuracies"][case] == numbers(together, 1)["accuracies"][case] == accuracies


def test_a_run_that_is_cut_off_and_goes_on_writes_the_results_of_one_process_once(together, tmp_path):
    assert numbers(together)["stopped"] == numbers(together, 1)["stopped"] == [True] * 3
    alone = run(SMALL, tmp_path, lambda _: None)
    results = json.loads((together / "run" / "results.json").read_text())
    assert results["accuracy"] == alone["accuracy"] and results["config"] == alone["config"]
    terms = [(folder / "csv" / "scalars.csv").read_text().splitlines() for folder in (together / "run", tmp_path)]
    of_two, of_one = ({tuple(line.split(",")[:2]) for line in lines} for lines in terms)
    assert len(terms[0]) == len(of_two) and {name.split("/")[0] for _, name in of_one - of_two} == {"GradientCosine"}
    assert not list((together / "run").glob("lock*")) and not list((together / "run" / "checkpoints").glob("*.safetensors"))


def test_scaled_losses_give_the_same_weights(together):
    alone, *_ = trained("gift", torch.float64)
    for process in (0, 1):
        found = load_file(together / f"process-{process}" / "scaled.safetensors")
        torch.testing.assert_close(without_key_biases(found), without_key_biases(alone), rtol=0, atol=1e-10)


def test_a_sharded_optimiser_gives_the_same_weights_and_half_the_moments_to_each_process(together):
    alone, _, moments = trained("gift", torch.float64)
    first, second = (load_file(together / f"process-{number}" / "sharded.safetensors") for number in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.testing.assert_close(without_key_biases(first), without_key_biases(alone), rtol=0, atol=1e-10)
    kept = [numbers(together, process)["moments"] for process in (0, 1)]
    assert sum(kept) == moments and max(kept) < 0.55 * moments


@pytest.mark.parametrize("place", ["sharded", "mixed"])
def test_a_run_with_a_sharded_optimiser_that_is_cut_off_goes_on_with_it_or_without_to_the_same_results(together, place):
    results, logs = (
        [(together / each / file).read_text() for each in (place, "run")] for file in ("results.json", "csv/scalars.csv")
    )
    sharded, usual = map(json.loads, results)
    assert sharded["accuracy"] == usual["accuracy"] and sharded["config"] == usual["config"]
    assert logs[0] == logs[1]


def test_a_sharded_optimiser_is_refused_in_one_process_and_beside_one_of_your_own(tmp_path):
    with pytest.raises(ValueError, match="expected several processes for shard_optimizer, got one; start them by torchrun"):
        run(SHARDED, tmp_path, lambda _: None)
    with pytest.raises(ValueError, match="expected several processes for shard_optimizer"):
        FineTune(tiny_model(), shard_optimizer=True)
    model = tiny_model()
    with pytest.raises(ValueError, match="expected shard_optimizer or an optimizer of your own, got both"):
        FineTune(model, shard_optimizer=True, optimizer=clip_optimizer(model))


def test_what_is_not_proven_is_refused(together):
    for process in (0, 1):
        first, second = numbers(together, process)["refusals"]
        assert first == "expected one process for MoEAdapters, which is not proven on several, got 2"
        assert second.startswith("expected one process for avalanche-ewc")


@pytest.mark.parametrize(
    ("count", "processes", "lengths"), [(7, 2, [3, 4]), (1, 2, [0, 1]), (64, 8, [8] * 8), (0, 3, [0, 0, 0])]
)
def test_shares_cover_all_rows_in_order(monkeypatch, count, processes, lengths):
    monkeypatch.setattr(distributed, "size", lambda: processes)
    parts = distributed.shares(count)
    assert [part.stop - part.start for part in parts] == lengths
    assert [row for part in parts for row in range(count)[part]] == list(range(count))


def test_a_numbered_gpu_is_refused_for_several_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="expected --device cuda with several processes, a GPU for each, got 'cuda:1'"):
        distributed.start("cuda:1")
