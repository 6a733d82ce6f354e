"""The logs in a run's folder: they go on after a resume, state units, and hold the same curves for every strategy."""

import io

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from world import made_stream, quiet, tiny_model

from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import AccuracyMatrix, ClassIncrementalAccuracy
from avalanche_gift.evaluation.training_curves import DistanceFromPrevious, LearningRate
from avalanche_gift.evaluation.units import unit_of
from avalanche_gift.run import run
from avalanche_gift.run_loggers import RunLog, log_sizes, open_loggers
from avalanche_gift.training import WiSEFT

METRICS = {*AccuracyMatrix.keys, *ClassIncrementalAccuracy.keys}
LR, DISTANCE = (f"{name}/train_phase/train_stream" for name in ("LearningRate", "DistanceFromPrevious"))


def logged(strategy, name):
    return strategy.evaluator.get_all_metrics()[name]


def test_what_was_written_after_a_checkpoint_is_cut_off_and_what_came_before_stays(tmp_path):
    def values():
        events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
        return [(event.step, event.value) for event in events.Scalars("x")]

    with open_loggers(tmp_path, about={"a": {"b": 1}}) as loggers:
        for step in (3, 4):
            for logger in loggers[:2]:
                logger.log_single_metric("x", float(step), step)
        sizes = log_sizes(tmp_path, loggers)
        for logger in loggers[:2]:
            logger.log_single_metric("x", 5.0, 4)  # the same step again, as training after an evaluation
    assert values() == [(3, 3.0), (4, 4.0), (4, 5.0)]
    with open_loggers(tmp_path, sizes, about={"a": {"b": 1}}) as loggers:
        for logger in loggers[:2]:
            logger.log_single_metric("x", 6.0, 4)
    assert values() == [(3, 3.0), (4, 4.0), (4, 6.0)]
    assert (tmp_path / "csv" / "scalars.csv").read_text() == "iteration,name,value,unit\n3,x,3.0,\n4,x,4.0,\n4,x,6.0,\n"
    log = (tmp_path / "log.txt").read_text()
    assert log.startswith("a.b: 1\n") and log.count("a.b") == log.count("unit of Last:") == 1
    with open_loggers(tmp_path) as loggers:
        loggers[0].log_single_metric("x", 9.0, 1)
    assert values() == [(1, 9.0)], "a run that begins anew leaves nothing of one that had no checkpoint"


def test_a_folder_of_an_earlier_release_goes_on_with_units_and_without_columns_that_were_never_measured(tmp_path):
    old = "iteration,name,value\n0,LearningRate/train_phase/train_stream,1e-05\n3,Last/eval_phase/test_stream,50.0\n"
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "scalars.csv").write_text(old + "4,after the checkpoint,1.0\n")
    for name in ("training_results.csv", "eval_results.csv"):
        (tmp_path / "csv" / name).write_text("eval_loss,forgetting\n0,0\n")
    (tmp_path / "log.txt").write_text("begin\nafter the checkpoint\n")
    sizes = {"csv/scalars.csv": len(old), "log.txt": 6, "csv/training_results.csv": 20, "csv/eval_results.csv": 20}
    with open_loggers(tmp_path, sizes, about={"a": 1}) as loggers:
        loggers[1].log_single_metric("Forgetting/eval_phase/test_stream", -2.5, 6)
        assert log_sizes(tmp_path, loggers).keys() >= {"csv/scalars.csv", "log.txt"}
    assert (tmp_path / "csv" / "scalars.csv").read_text().splitlines() == [
        "iteration,name,value,unit",
        "0,LearningRate/train_phase/train_stream,1e-05,1",
        "3,Last/eval_phase/test_stream,50.0,percent",
        "6,Forgetting/eval_phase/test_stream,-2.5,percentage points",
    ]
    assert (tmp_path / "log.txt").read_text() == "begin\n"
    assert [path.name for path in (tmp_path / "csv").iterdir()] == ["scalars.csv"]


def test_the_text_log_has_digits_for_small_numbers_units_and_no_training_number_under_an_evaluation(tmp_path):
    file = io.StringIO()
    torch.manual_seed(0)
    strategy = WiSEFT(
        model=tiny_model(),
        evaluator=quiet(LearningRate(), DistanceFromPrevious(1)),
        train_iterations=2,
        train_mb_size=4,
        lr=1e-5,
    )
    strategy.evaluator.loggers = [RunLog(file)]
    strategy.train(made_stream().train_stream[0], eval_streams=[])
    distance = logged(strategy, DISTANCE)[1][-1]
    lines = file.getvalue().splitlines()
    rate = logged(strategy, LR)[1][-1]
    assert rate < 1e-4 and f"\t{LR} = {rate:.6g}" in lines, "no unit, which is 1"
    assert f"\t{DISTANCE} = {distance:.6g}" in lines[lines.index("Epoch 0 ended.") :], "that of the end of the experience"
    assert any(line.startswith("\tLossTerm/cross_entropy/") and line.endswith(" nats") for line in lines)
    before = len(lines)
    strategy.eval(made_stream().test_stream)
    assert not any("train_phase" in line for line in file.getvalue().splitlines()[before:])


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp000", "fraction"),
        ("Top1_Acc_Stream/eval_phase/test_stream", "fraction"),
        ("Loss_MB/train_phase/train_stream", "nats"),
        ("LossTerm/awc/train_phase/train_stream", "nats"),
        ("Last/eval_phase/test_stream", "percent"),
        ("Forgetting/eval_phase/test_stream", "percentage points"),
        ("CILLast/eval_phase/test_stream", "percent"),
        ("GradientCosine/train_phase/train_stream", "1"),
        ("Lastly/eval_phase", ""),
        ("ExperienceForgetting/eval_phase/test_stream/Exp000", ""),
    ],
)
def test_units_go_by_the_beginning_of_a_name(name, unit):
    assert unit_of(name) == unit


def test_every_name_of_our_metrics_has_a_unit():
    names = {*AccuracyMatrix.keys, *ClassIncrementalAccuracy.keys} - {"AccuracyMatrix"}
    assert all(unit_of(name) for name in names)


@pytest.mark.parametrize("class_incremental", [False, True])
def test_zero_shot_has_the_curves_of_the_others_at_their_iterations(tmp_path, monkeypatch, class_incremental):
    """In TensorBoard, in scalars.csv, and with the values of results.json."""
    monkeypatch.setattr("avalanche_gift.run.load_model", lambda name: tiny_model())
    monkeypatch.setattr(
        "avalanche_gift.run.load_benchmark", lambda config, model: made_stream(class_incremental=config.class_incremental)
    )
    found, results = {}, {}
    for name in ("zero-shot", "finetune"):
        config = RunConfig(name, "folders", "tiny", train_iterations=2, train_mb_size=6, class_incremental=class_incremental)
        results[name] = run(config, tmp_path / name, report=lambda _: None)
        events = EventAccumulator(str(tmp_path / name / "tensorboard")).Reload()
        tags = [tag for tag in events.Tags()["scalars"] if tag.partition("/")[0] in METRICS]
        found[name] = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}
    places = {name: {tag: [step for step, _ in curve] for tag, curve in curves.items()} for name, curves in found.items()}
    assert places["zero-shot"] == places["finetune"]
    assert places["finetune"]["Last/eval_phase/test_stream"] == [2, 4, 6]
    assert places["finetune"]["Forgetting/eval_phase/test_stream"] == [4, 6]
    assert ("CILLast/eval_phase/test_stream" in places["finetune"]) == class_incremental
    for metric, value in results["zero-shot"]["metrics"].items():
        assert found["zero-shot"][f"{metric.title()}/eval_phase/test_stream"][-1][1] == pytest.approx(value)
    assert len(results["zero-shot"]["accuracy"]) == 4
    if not class_incremental:
        assert len({tuple(row) for row in results["zero-shot"]["accuracy"]}) == 1
