"""The published protocols: what `run` and the tables take from them, and what is said where a run is another."""

import dataclasses

import pytest
import torch
from world import BASE_PROMPTS, MadePictures, Spy, made_stream, quiet, tiny_model

from avalanche_gift.benchmarks.defaults import departures, hyperparameters, strategy_options
from avalanche_gift.benchmarks.protocols import CIL, MTIL, PICKED_IMAGES, TRUE_COPY, UNPUBLISHED, protocol_of
from avalanche_gift.by_name import BENCHMARKS, CLASS_INCREMENTAL
from avalanche_gift.cli import parser
from avalanche_gift.cli_run import _configs, _settings
from avalanche_gift.config import RunConfig
from avalanche_gift.protocol_differences import differences_of_runs, in_words, option_differences, protocol_differences
from avalanche_gift.strategy_options import check_options
from avalanche_gift.training import AVALANCHE_STRATEGIES, STRATEGIES

STATED = {"lwf": [TRUE_COPY], "lwf-vr": [TRUE_COPY], "icarl": [TRUE_COPY, PICKED_IMAGES], "gift": [UNPUBLISHED]}
"""Differences of Tables 7 and 8 that no setting removes."""


def config(strategy, benchmark="cifar100", options=None, **changes):
    """The run that the command line would make, with the model and the test transform of the protocol, and captions."""
    given = {"texts": "captions.csv", **(options or {})} if strategy == "zscl" else options or {}
    settings = hyperparameters(benchmark, {}, strategy)
    steps = benchmark in CLASS_INCREMENTAL
    synthetic = {
        "synthetic_images": settings["images"],
        **{name: settings[name] for name in ("alpha", "beta", "awc_weight", "distillation", "teacher")},
    }
    made = RunConfig(
        strategy=strategy,
        benchmark=benchmark,
        model="ViT-B-16:openai",
        class_incremental=steps,
        train_iterations=settings["iterations"],
        train_epochs=settings["epochs"],
        train_mb_size=settings["batch_size"],
        lr=settings["lr"],
        synthetic=synthetic,
        options=strategy_options(benchmark, strategy, given) if steps else given,
        test_transform="train" if steps else "test",
    )
    return dataclasses.replace(made, **changes)


def command_line(*options):
    arguments = parser().parse_args(["run", "--out", "unused", "--data", "unused", *map(str, options)])
    return arguments, {each.strategy: each for each in _configs(arguments)}


def test_only_mtil_and_the_streams_of_new_classes_have_a_protocol():
    for benchmark in BENCHMARKS:
        expected = MTIL if benchmark == "mtil" else CIL if benchmark in CLASS_INCREMENTAL else None
        assert protocol_of(benchmark) is expected


@pytest.mark.parametrize("benchmark", ["cifar100", "cifar100-50", "tinyimagenet-20"])
@pytest.mark.parametrize("strategy", ["zero-shot", "finetune", "wise-ft", "lwf", "lwf-vr", "icarl", "zscl", "gift"])
def test_the_protocols_own_settings_differ_in_nothing_but_what_is_always_stated(benchmark, strategy):
    assert protocol_differences(config(strategy, benchmark)) == STATED.get(strategy, [])


@pytest.mark.parametrize(
    "strategy", ["zero-shot", "finetune", "l2", "lwf", "lwf-vr", "wise-ft", "zscl", "moe-adapters", "gift"]
)
def test_on_mtil_the_defaults_are_the_protocol(strategy):
    assert protocol_differences(config(strategy, "mtil")) == []


@pytest.mark.parametrize(
    ("strategy", "changes", "said"),
    [
        ("finetune", {"train_mb_size": 32}, "batch_size 32 (protocol: 64)"),
        ("finetune", {"train_epochs": 2}, "epochs 2 (protocol: 1)"),
        ("finetune", {"train_iterations": 79, "train_epochs": None}, "iterations 79 (protocol: 1 epoch)"),
        ("finetune", {"lr": 1e-5}, "lr 1e-05 (protocol: 7.1e-06)"),
        ("gift", {"lr": 7.1e-6}, "lr 7.1e-06 (protocol: 1e-05 or 1e-06 or 1e-07)"),
        ("finetune", {"warmup_iterations": 100}, "warmup_iterations 100 (protocol: 30)"),
        ("finetune", {"reference_schedule": False}, "reference_schedule False (protocol: True)"),
        ("finetune", {"label_smoothing": 0.0}, "label_smoothing 0.0 (protocol: 0.2)"),
        ("finetune", {"weight_decay": 0.1}, "weight_decay 0.1 (protocol: 0.0)"),
        ("finetune", {"class_incremental_loss": "seen"}, "class_incremental_loss seen (protocol: step)"),
        ("zero-shot", {"test_transform": "test"}, "test_transform test (protocol: train)"),
        ("zero-shot", {"model": "mini"}, "model mini (protocol: ViT-B-16:openai)"),
        ("finetune", {"shots": 5}, "shots 5 (protocol: none)"),
        ("lwf", {"distillation_weight": 1.0}, "distillation_weight 1.0 (protocol: 5.0)"),
        ("lwf-vr", {"reference_transform": "eval"}, "reference_transform eval (protocol: train)"),
        ("icarl", {"teacher": "initial"}, "teacher initial (protocol: previous)"),
        ("icarl", {"herd_first": False}, "herd_first False (protocol: True)"),
        ("icarl", {"memory_quota": "equal"}, "memory_quota equal (protocol: rest)"),
        ("zscl", {"texts": None}, "texts class prompts (protocol: captions)"),
        ("gift", {"synthetic": {"l2_weight": 1.0}}, "l2_weight 1.0 (protocol: 0.0)"),
        ("gift", {"synthetic": {"synthetic_images": 500}}, "images 500 (protocol: 1000)"),
    ],
)
def test_each_setting_that_is_another_is_named_with_both_values(strategy, changes, said):
    fields = {field.name for field in dataclasses.fields(RunConfig)}
    own = {name: value for name, value in changes.items() if name in fields}
    run = config(strategy, **own)
    run = dataclasses.replace(run, options={**run.options, **{n: v for n, v in changes.items() if n not in fields}})
    found = protocol_differences(run)
    assert said in found and len(found) == 1 + len(STATED.get(strategy, []))


def test_what_a_row_sets_on_purpose_is_no_difference():
    run = config("zscl", options={"l2_weight": 1.0, "temperature": 1.0})
    assert protocol_differences(run) == ["temperature 1.0 (protocol: 2.0)", "l2_weight 1.0 (protocol: 0.0)"]
    assert protocol_differences(run, given={"l2_weight", "temperature"}) == []


def test_a_strategy_without_the_choice_of_loss_counts_as_taking_all_classes_seen():
    run = config("avalanche-lwf")
    assert "class_incremental_loss seen (protocol: step)" in protocol_differences(run)


def test_a_benchmark_that_nobody_published_is_compared_with_nothing():
    with pytest.raises(ValueError, match="with a published protocol, got mini"):
        protocol_differences(config("finetune", "mini"))


def test_what_all_rows_have_is_said_once():
    assert in_words({"LwF": ["a", "b"], "ZSCL": ["a"], "GIFT": ["a", "b", "c"]}) == "All rows: a. LwF, GIFT: b. GIFT: c."
    assert in_words({"LwF": [], "ZSCL": ["a"]}) == "ZSCL: a."
    assert in_words({"LwF": []}) == ""


def test_hyperparameters_are_compared_with_the_protocol_of_their_benchmark():
    assert departures(hyperparameters("cifar100", {}), "cifar100") == ""
    assert departures(hyperparameters("mtil", {})) == ""
    assert departures(hyperparameters("tinyimagenet", {"iterations": 5, "lr": 1e-5}), "tinyimagenet") == (
        "iterations 5 (paper: 1 epoch), lr 1e-05 (paper: 7.1e-06)"
    )
    assert departures(hyperparameters("mtil", {"epochs": 2, "lr": 1e-3})) == (
        "epochs 2 (paper: 1000 iterations), lr 0.001 (paper: by data set)"
    )


# ---- the command line


def test_a_plain_run_on_steps_of_new_classes_has_the_protocols_settings():
    _, found = command_line("--benchmark", "tinyimagenet-10", "--strategies", "all")
    assert set(found) == set(STRATEGIES)
    assert all((each.train_epochs, each.train_iterations, each.class_incremental) == (1, None, True) for each in found.values())
    trained = [each for name, each in found.items() if name != "zero-shot"]
    assert all((each.options["warmup_iterations"], each.options["reference_schedule"]) == (30, True) for each in trained)
    assert {name: each.lr for name, each in found.items() if each.lr != 7.1e-6} == {
        "gift": 1e-5,
        "ewc-v": 1e-5,
        "moe-adapters": 1e-3,
    }
    assert (found["gift"].options["label_smoothing"], found["gift"].options["weight_decay"]) == (0.0, 0.1)
    assert (found["zscl"].options["label_smoothing"], found["zscl"].options["weight_decay"]) == (0.2, 0.0)
    assert found["icarl"].options["teacher"] == "previous" and found["lwf"].options["distillation_weight"] == 5.0
    assert found["moe-adapters"].train_mb_size == 64
    assert command_line("--benchmark", "cifar100-20", "--strategies", "moe-adapters")[1]["moe-adapters"].train_mb_size == 128


def test_options_given_win_over_the_protocol():
    arguments, found = command_line(
        *("--benchmark", "cifar100", "--strategies", "icarl", "--iterations", 10, 20, "--lr", "0.1"),
        *("--set", "icarl.teacher=initial", "icarl.warmup_iterations=5"),
    )
    run = found["icarl"]
    assert (run.train_iterations, run.train_epochs, run.lr) == ((10, 20), None, 0.1)
    assert (run.options["teacher"], run.options["warmup_iterations"], run.options["herd_first"]) == ("initial", 5, True)
    said = differences_of_runs([run], _settings(arguments))
    for words in ("iterations (10, 20) (protocol: 1 epoch)", "lr 0.1", "teacher initial (protocol: previous)", TRUE_COPY):
        assert words in said


def test_the_small_worlds_options_are_said_too():
    arguments, found = command_line("--benchmark", "mini", "--strategies", "icarl", "--set", "icarl.teacher=previous")
    said = differences_of_runs(list(found.values()), _settings(arguments))
    assert said.startswith("iterations 80 (paper: 1000), batch_size 32 (paper: 64), ")
    assert "memory_size 200 (protocol: 10000)" in said and "teacher previous (protocol: initial)" in said
    assert option_differences(dataclasses.replace(found["icarl"], test_transform="train"))[0] == (
        "test_transform train (protocol: test)"
    )


def test_iterations_and_epochs_exclude_each_other(capsys):
    with pytest.raises(SystemExit):
        command_line("--epochs", 1, "--iterations", 5)
    assert "not allowed with" in capsys.readouterr().err
    with pytest.raises(ValueError, match="iterations or epochs, got both: 5 and 1"):
        RunConfig("finetune", "mini", "mini", train_iterations=5, train_epochs=1)
    _, found = command_line("--benchmark", "mini", "--strategies", "finetune", "--epochs", 2)
    assert (found["finetune"].train_iterations, found["finetune"].train_epochs) == (None, 2)


def test_settings_of_older_results_are_written_as_before():
    settings = RunConfig("finetune", "mini", "mini").settings()
    assert settings["train_iterations"] == 1000 and not {"train_epochs", "test_transform"} & settings.keys()
    settings = RunConfig("finetune", "mini", "mini", train_epochs=1, test_transform="train").settings()
    assert (settings["train_iterations"], settings["train_epochs"], settings["test_transform"]) == (None, 1, "train")
    with pytest.raises(ValueError, match="test_transform test or train, got 'eval'"):
        RunConfig("finetune", "mini", "mini", test_transform="eval")


# ---- the strategies


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "zero-shot"])
def test_every_strategy_trains_with_the_options_of_the_class_incremental_protocol(strategy):
    needed = {
        "zscl": {"pictures": torch.rand(6, 3, 16, 16), "texts": ["a sun.", "a moon."]},
        "gift": {"synthetic": MadePictures(), "base_prompts": BASE_PROMPTS, "synthetic_images": 6},
        "ewc-v": {"synthetic": MadePictures(), "base_prompts": BASE_PROMPTS, "synthetic_images": 6, "static_fisher": 4},
    }
    options = {**strategy_options("tinyimagenet", strategy, {}), **needed.get(strategy, {})}
    check_options(strategy, strategy_options("tinyimagenet", strategy, {}))
    common = {"train_epochs": 1, "train_mb_size": 6, "lr": 1e-3, "class_incremental": True, "evaluator": quiet()}
    stream, kind = made_stream((3, 2), class_incremental=True), STRATEGIES[strategy]
    if strategy in AVALANCHE_STRATEGIES:
        trained, stream = kind(tiny_model(), stream, **common, **options)
    else:
        trained = kind(model=tiny_model(), **common, **options)
    spy = Spy(after_update=lambda s: s.optimizer.param_groups[0]["lr"])
    trained.plugins.append(spy)
    for experiences in [stream.train_stream] if strategy == "joint" else stream.train_stream:
        trained.train(experiences)
    # 18 and 12 images in batches of 6, and the reference's call more; the warm-up of 30 never ends.
    rates = range(1, 7) if strategy == "joint" else [1, 2, 3, 4, 1, 2, 3]
    assert spy.seen.after_update == pytest.approx([1e-3 * number / 30 for number in rates])
