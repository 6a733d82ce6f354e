"""Joint training: all experiences in one call, and what its results say."""

import pytest
import torch
from test_results import make
from world import Spy, equal_weights, made_stream, named_stock_stream, quiet, tiny_model, weights_of

from avalanche_gift import run as run_module
from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import (
    AccuracyMatrix,
    ClassIncrementalAccuracy,
    at_once_metrics,
    format_table,
    read_results,
    write_results,
)
from avalanche_gift.evaluation.results import ResultsError
from avalanche_gift.training import FineTune, Joint

COMMON = {"train_iterations": 4, "lr": 1e-3, "train_mb_size": 6, "evaluator": quiet}


def joint(model=None, **kwargs):
    return Joint(tiny_model() if model is None else model, **{**COMMON, **kwargs})


def test_every_batch_has_all_tasks_each_row_meets_the_classes_of_its_own_and_all_pictures_come_by():
    spy = Spy(
        after_forward=lambda s: (s.mb_task_id.tolist(), s.mb_y.tolist(), s.mb_output.shape[1]),
        before_backward=lambda s: [set((row > -1e3).nonzero().flatten().tolist()) for row in s.mb_output],
    )
    strategy = joint(plugins=[spy])
    strategy.train(made_stream().train_stream)
    own = {0: {0, 1, 2}, 1: {0, 1}, 2: {0, 1, 2, 3}}
    assert len(spy.seen.after_forward) == 12
    labels = set()
    for (tasks, targets, width), columns in zip(spy.seen.after_forward, spy.seen.before_backward, strict=True):
        assert sorted(tasks) == [0, 0, 1, 1, 2, 2] and width == 4
        assert all(kept == own[task] and target in kept for task, target, kept in zip(tasks, targets, columns, strict=True))
        labels |= set(zip(tasks, targets, strict=True))
    assert labels == {(task, label) for task, columns in own.items() for label in columns}


@pytest.mark.parametrize("reference", [False, True])
def test_iterations_are_those_of_all_tasks_and_the_rate_is_the_mean(reference):
    spy = Spy(after_update=lambda s: s.optimizer.param_groups[0]["lr"])
    strategy = joint(lr=None, warmup_iterations=2, reference_schedule=reference, plugins=[spy])
    strategy.train(made_stream(learning_rates=(1e-4, None, 3e-4)).train_stream)
    mean = (1e-4 + 1e-5 + 3e-4) / 3
    assert len(spy.seen.after_update) == 12 + reference
    assert spy.seen.after_update[:3] == pytest.approx([mean / 2, mean, mean])
    assert spy.seen.after_update[7] == pytest.approx(mean / 2)  # half of the way from 2 to 12
    assert (spy.seen.after_update[-1] == 0) == reference


@pytest.mark.parametrize(("lr", "peak"), [([1e-4, 2e-4, 6e-4], 3e-4), (5e-4, 5e-4)])
def test_rates_given_one_a_task_are_averaged_and_one_number_is_itself(lr, peak):
    spy = Spy(after_update=lambda s: s.optimizer.param_groups[0]["lr"])
    joint(lr=lr, warmup_iterations=1, plugins=[spy]).train(made_stream().train_stream)
    assert max(spy.seen.after_update) == pytest.approx(peak)


def test_one_experience_is_fine_tuning_bit_for_bit():
    weights = []
    for kind in (Joint, FineTune):
        strategy = kind(tiny_model(), **COMMON)
        strategy.train(made_stream((3, 2)).train_stream[:1])
        weights.append(weights_of(strategy.model))
    assert equal_weights(*weights)


def test_a_second_call_and_an_empty_stream_are_refused():
    stream, strategy = made_stream((3, 2)).train_stream, joint()
    with pytest.raises(ValueError, match="at least one experience"):
        strategy.train([])
    strategy.train(stream[0])
    with pytest.raises(RuntimeError, match="expected one call"):
        strategy.train(stream[1])


def test_class_incremental_and_stock_streams_meet_all_classes():
    for strategy, stream in (
        (joint(class_incremental=True), made_stream(class_incremental=True)),
        (joint(), named_stock_stream()),
    ):
        before, labels = weights_of(strategy.model), set()
        spy = Spy(after_forward=lambda s, labels=labels: labels.update(s.mb_y.tolist()))
        strategy.plugins.append(spy)
        strategy.train(stream.train_stream)
        assert labels == set(range(9)) and not equal_weights(before, weights_of(strategy.model))


def test_it_learns_what_fine_tuning_forgets():
    benchmark = made_stream(per_class=10)
    last = {}
    for kind in (Joint, FineTune):
        matrix = AccuracyMatrix(figure=False)
        arguments = {**COMMON, "lr": 5e-3, "train_iterations": 40, "train_mb_size": 12, "evaluator": quiet(matrix)}
        strategy = kind(tiny_model(), **arguments)
        strategy.train(benchmark.train_stream)
        strategy.eval(benchmark.test_stream)
        last[kind] = matrix.result()["last"]
    assert last[Joint] > max(85, last[FineTune])


# ---- results


def test_metrics_count_one_training_for_all_which_leaves_nothing_to_transfer_to_or_forget():
    benchmark, matrix, pooled = made_stream(class_incremental=True), AccuracyMatrix(figure=False), ClassIncrementalAccuracy()
    strategy = joint(class_incremental=True, evaluator=quiet(matrix, pooled))
    strategy.eval(benchmark.test_stream)
    strategy.train(benchmark.train_stream, eval_streams=[])
    seen = strategy.eval(benchmark.test_stream)
    assert len(matrix.rows()) == 2 and matrix.trained == [[0, 1, 2]]
    mean = pytest.approx(sum(matrix.rows()[1]) / 3)
    assert matrix.result() == {"average": mean, "last": mean}
    assert not any(name.startswith(("Transfer", "Forgetting")) for name in seen)
    counts = [9, 6, 12]
    expected = sum(value * count for value, count in zip(matrix.rows()[1], counts, strict=True)) / sum(counts)
    assert pooled.result() == dict.fromkeys(("accuracy", "average", "last"), pytest.approx(expected))


def test_transfer_and_forgetting_are_not_defined_and_the_rest_is_the_mean():
    rows = [[80.0, 60.0, 70.0]] * 3
    assert at_once_metrics(rows) == {"transfer": None, "average": 70.0, "last": 70.0, "forgetting": None}
    with pytest.raises(ValueError, match="one and the same row"):
        at_once_metrics([[80.0, 60.0], [80.0, 61.0]])


def at_once(**changes):
    rows = [(50, 40), (80, 90), (80, 90)]
    return make(strategy="joint", accuracy=rows, metrics=at_once_metrics([list(row) for row in rows[1:]]), **changes)


def test_results_of_a_training_at_once_are_checked_by_their_own_rule(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, at_once(trained_at_once=True))
    assert read_results(path)["metrics"]["transfer"] is None
    with pytest.raises(ResultsError, match=r"metrics\.transfer"):
        write_results(path, at_once())
    with pytest.raises(ResultsError, match="one and the same row"):
        write_results(path, make() | {"trained_at_once": True})


def test_the_table_leaves_the_undefined_out_and_still_marks_the_best():
    lines = format_table([make(), at_once(trained_at_once=True)]).splitlines()
    gift, all_at_once = (line.split() for line in lines[2:4])
    assert gift[1] == "30.0*" and all_at_once[1] == "-"
    assert gift[3] == "75.0" and all_at_once[3] == "85.0*"


def test_equal_seeds_give_equal_weights_whatever_the_global_generator():
    weights = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        strategy = joint()
        strategy.train(made_stream().train_stream)
        weights.append(weights_of(strategy.model))
    assert equal_weights(*weights)


@pytest.mark.parametrize("class_incremental", [False, True])
def test_a_run_trains_once_and_repeats_the_row_it_ends_with(tmp_path, monkeypatch, class_incremental):
    monkeypatch.setattr(run_module, "load_model", lambda name: tiny_model())
    monkeypatch.setattr(
        run_module, "load_benchmark", lambda config, model: made_stream(class_incremental=config.class_incremental)
    )
    config = RunConfig(
        "joint", "folders", "tiny", train_iterations=2, train_mb_size=6, lr=1e-2, class_incremental=class_incremental
    )
    run_module.run(config, tmp_path, report=lambda line: None)
    results = read_results(tmp_path / "results.json")
    assert len(results["accuracy"]) == 4 and results["accuracy"][1] == results["accuracy"][2] == results["accuracy"][3]
    assert results["accuracy"][0] != results["accuracy"][1]
    assert results["metrics"] == at_once_metrics(results["accuracy"][1:])
    assert ("class_incremental" in results) == class_incremental
