"""A run that was cut off goes on from its checkpoint, and ends with the weights and accuracies of one that was not."""

import dataclasses
import os
import signal

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from world import MadePictures, made_stream, quiet, tiny_model, weights_of

from avalanche_gift.checkpoint import RunState
from avalanche_gift.cli import main
from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import AccuracyMatrix
from avalanche_gift.generation import RegenerateEvery
from avalanche_gift.interruption import Interrupted, Interruption
from avalanche_gift.run import run as run_one, seed_everything
from avalanche_gift.run_loop import train_and_evaluate
from avalanche_gift.training import EWC, EWCV, GIFT, L2, ZSCL, FineTune, ICaRL, Joint, LwF, LwFVR, MoEAdapters, WiSEFT
from avalanche_gift.training.checkpoint_files import CheckpointError
from avalanche_gift.training.plugins.checkpoints import CheckpointPlugin

ITERATIONS, EVERY = 6, 2
SYNTHETIC = {"synthetic_images": 10, "synthetic_mb_size": 4, "base_prompts": ["a photo of a sun.", "a photo of a moon."]}


def gift(source=MadePictures, kind=GIFT, **arguments):
    return lambda **common: kind(synthetic=source(), **SYNTHETIC, **arguments, **common)


STRATEGIES = {
    "finetune": FineTune,
    "l2": L2,
    "joint": Joint,
    "ewc": EWC,
    "ewc-v": gift(kind=EWCV, static_fisher=6),
    "ewc-v reference": gift(kind=EWCV, static_fisher="reference:8"),
    "lwf": LwF,
    "lwf-vr": LwFVR,
    "wise-ft": WiSEFT,
    "icarl": lambda **common: ICaRL(memory_size=7, memory_mb_size=4, **common),
    "zscl": lambda **common: ZSCL(
        pictures=torch.randn(9, 3, 16, 16, generator=torch.Generator().manual_seed(1)),
        texts=["a sun", "a moon"],
        ensemble_every=2,
        **common,
    ),
    "moe-adapters": lambda **common: MoEAdapters(
        experts=3, bottleneck=4, backbone="pixels", code=5, selector_iterations=3, threshold=1.0, **common
    ),
    "moe-adapters, references": lambda **common: MoEAdapters(
        experts=3,
        bottleneck=4,
        backbone="pixels",
        code=5,
        selector_iterations=3,
        reference_iterations=3,
        reference_pictures=[MadePictures.picture("reference", seed) for seed in range(9)],
        **common,
    ),
    "gift": gift(),
    "gift, initial teacher": gift(teacher="initial"),
    "gift, wise teacher": gift(teacher="wise:0.3"),
    "gift, fresh pictures": gift(lambda: RegenerateEvery(3, MadePictures())),
}


class After(Interruption):
    """A signal that comes once it was asked for `asks` times."""

    def __init__(self, asks):
        self.asks = asks
        super().__init__()

    @property
    def signal(self):
        self.asks -= 1
        return signal.SIGTERM if self.asks < 0 else None

    @signal.setter
    def signal(self, value):
        pass


def run(name, folder, interruption=None):
    """Weights and accuracies at the end, of a process that begins here."""
    seed_everything(5)
    matrix = AccuracyMatrix(figure=False)
    evaluator = quiet(matrix)
    benchmark = made_stream()
    common = {"train_iterations": ITERATIONS, "train_mb_size": 4, "lr": 1e-2, "seed": 3}
    strategy = STRATEGIES[name](model=tiny_model(), evaluator=evaluator, **common)
    config = RunConfig(strategy=name, benchmark="made", model="tiny")
    state = RunState(config, benchmark, folder)
    plugin = CheckpointPlugin(state.checkpoints, every=EVERY, interruption=interruption, state_of=state.of)
    strategy.plugins.insert(strategy.plugins.index(evaluator), plugin)
    state.found(lambda _: None)
    train_and_evaluate(strategy, benchmark, config, state, plugin)
    return weights_of(strategy.model), matrix.rows()


@pytest.mark.parametrize("asks", [3, ITERATIONS - 1], ids=["within an experience", "after its last iteration"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_goes_on_where_it_was_cut_off(name, asks, tmp_path):
    wanted, rows = run(name, tmp_path / "whole")
    interruption = After(asks)
    for _ in range(20):
        try:
            found, found_rows = run(name, tmp_path / "cut", interruption)
            break
        except Interrupted as stop:
            assert stop.exit_code == 128 + signal.SIGTERM
            interruption = After(asks=7)
    else:
        pytest.fail("expected an end")
    assert found_rows == rows
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[key], found[key]) for key in wanted)


SMALL = RunConfig(
    strategy="gift",
    benchmark="mini",
    model="mini",
    tasks=("shapes", "letters"),
    train_iterations=4,
    train_mb_size=4,
    synthetic={"synthetic_images": 6, "synthetic_mb_size": 4},
)


def run_small(folder, interruption=None, config=SMALL, report=lambda _: None):
    return run_one(config, folder, report, checkpoint_every=1, interruption=interruption)


def test_logs_go_on_without_doubled_lines_or_steps(tmp_path):
    wanted = run_small(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_small(tmp_path / "cut", After(asks=5))  # within the second task
    assert not (tmp_path / "cut" / "results.json").exists()
    found = run_small(tmp_path / "cut")
    assert {**found, "seconds": 0, "peak_memory_bytes": 0} == {**wanted, "seconds": 0, "peak_memory_bytes": 0}
    cut, whole = (tmp_path / folder / "csv" / "scalars.csv" for folder in ("cut", "whole"))
    assert cut.read_text() == whole.read_text()
    steps = {}
    for folder in ("whole", "cut"):
        events = EventAccumulator(str(tmp_path / folder / "tensorboard")).Reload()
        steps[folder] = [event.step for event in events.Scalars("LossTerm/total/train_phase/train_stream")]
    assert steps["cut"] == steps["whole"] == list(range(8))
    assert not (tmp_path / "cut" / "checkpoints").exists()
    assert not (tmp_path / "cut" / "lock.json").exists()


@pytest.mark.parametrize(
    ("length", "steps"),
    [({"train_iterations": (2, 5)}, 2 + 5), ({"train_iterations": None, "train_epochs": 1}, 4 + 4)],
    ids=["numbers", "epochs"],
)
@pytest.mark.parametrize("strategy", ["finetune", "joint"])
def test_a_run_of_one_number_an_experience_or_of_epochs_goes_on_too(tmp_path, strategy, length, steps):
    options = {"warmup_iterations": 30, "reference_schedule": True}
    config = dataclasses.replace(
        SMALL, strategy=strategy, synthetic={}, train_mb_size=100, options=options, lr=1e-3, **length
    )  # tasks of 400 images
    wanted = run_small(tmp_path / "whole", config=config)
    with pytest.raises(Interrupted):
        run_small(tmp_path / "cut", After(asks=4), config)
    found = run_small(tmp_path / "cut", config=config)
    assert {**found, "seconds": 0, "peak_memory_bytes": 0} == {**wanted, "seconds": 0, "peak_memory_bytes": 0}
    events = EventAccumulator(str(tmp_path / "cut" / "tensorboard")).Reload()
    calls = [event.step for event in events.Scalars("LossTerm/total/train_phase/train_stream")]
    assert calls == list(range(steps + (1 if strategy == "joint" else 2))), "and the reference's one call more of each training"


@pytest.mark.parametrize(
    ("changes", "named"), [({"lr": 0.5}, "lr: there None, asked 0.5"), ({"train_iterations": 5}, "iterations")]
)
def test_another_configuration_on_an_unfinished_run_is_refused(tmp_path, changes, named):
    with pytest.raises(Interrupted):
        run_small(tmp_path, After(asks=4))
    with pytest.raises(CheckpointError, match=named):
        run_small(tmp_path, config=dataclasses.replace(SMALL, **changes))
    run_small(tmp_path)  # nothing was lost


def test_a_checkpoint_of_other_versions_is_gone_on_from_with_a_word(tmp_path, monkeypatch):
    with pytest.raises(Interrupted):
        run_small(tmp_path, After(asks=4))
    monkeypatch.setattr("avalanche_gift.checkpoint.software_versions", lambda: {"torch": "9.9"})
    said = []
    run_small(tmp_path, report=said.append)
    assert "asked '9.9'" in said[0]


def test_sigterm_is_an_exit_code_and_the_same_command_goes_on(tmp_path, capsys):
    line = [
        *("run", "--benchmark", "mini", "--tasks", "shapes", "letters", "--strategies", "finetune", "--out", str(tmp_path)),
        *("--iterations", "6", "--batch-size", "4"),
    ]
    began = CheckpointPlugin.before_training_iteration

    def stop(plugin, strategy, **kwargs):
        if strategy.clock.train_exp_iterations == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        began(plugin, strategy, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointPlugin, "before_training_iteration", stop)
        assert main(line) == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; the same command goes on" in capsys.readouterr().err
    assert list((tmp_path / "finetune" / "seed-0" / "checkpoints").glob("*iteration-0000003*"))
    assert main(line) == 0
