"""What a run logs beside losses and accuracies: right numbers, in every log, and no weight is another for it."""

import csv
import io
import sys

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from world import BASE_PROMPTS, MadePictures, Spy, equal_weights, made_stream, quiet, tiny_model, weights_of

from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import AccuracyMatrix, ClassIncrementalAccuracy
from avalanche_gift.evaluation.training_curves import DistanceFromPrevious, LearningRate, SyntheticPictures, picture_grid
from avalanche_gift.evaluation.units import unit_of
from avalanche_gift.run import run
from avalanche_gift.run_loggers import RunLog, log_sizes, open_loggers
from avalanche_gift.training import GIFT, WiSEFT
from avalanche_gift.training.plugins.gradient_cosine import GradientCosinePlugin
from avalanche_gift.training.plugins.progress import ProgressPlugin

LR, DISTANCE, COSINE = (
    f"{name}/train_phase/train_stream" for name in ("LearningRate", "DistanceFromPrevious", "GradientCosine")
)


def gift(*metrics, after_replay=(), plugins=(), **arguments):
    """Trained on the first two tasks of the made stream. after_replay: plugins that are listed where `run` lists the cosine."""
    torch.manual_seed(0)
    strategy = GIFT(
        model=tiny_model(),
        synthetic=MadePictures(),
        synthetic_images=10,
        synthetic_mb_size=4,
        base_prompts=BASE_PROMPTS,
        train_iterations=5,
        train_mb_size=4,
        lr=1e-2,
        evaluator=quiet(*metrics),
        plugins=list(plugins),
        **arguments,
    )
    replay = next(n for n, plugin in enumerate(strategy.plugins) if hasattr(plugin, "towers"))
    strategy.plugins[replay + 1 : replay + 1] = after_replay
    for experience in list(made_stream().train_stream)[:2]:
        strategy.train(experience)
    return strategy


def logged(strategy, name):
    return strategy.evaluator.get_all_metrics()[name]


def gradients(strategy):
    return [p.grad.flatten().clone() for p in strategy.model.parameters() if p.requires_grad]


@pytest.mark.parametrize("awc_weight", [0.0, 1.0])
def test_the_cosine_is_that_of_the_two_gradients_taken_apart(awc_weight):
    spy = Spy(before_forward=gradients, before_backward=gradients, after_backward=gradients)
    strategy = gift(after_replay=[GradientCosinePlugin(every=2), spy], awc_weight=awc_weight)
    steps, cosines = logged(strategy, COSINE)
    assert steps == [0, 2, 4, 5, 7, 9]
    for step, cosine in zip(steps, cosines, strict=True):
        synthetic, before, after = (torch.cat(seen[step]) for seen in vars(spy.seen).values())
        assert torch.equal(synthetic, before) == (awc_weight == 0 or step in (0, 5)), "there is a pull between the two passes"
        assert cosine == pytest.approx(float(F.cosine_similarity(after - before, synthetic, dim=0)), abs=1e-5)
    assert len(set(cosines)) == 6


def test_watching_changes_no_weight():
    watched = gift(LearningRate(), DistanceFromPrevious(1), SyntheticPictures(), after_replay=[GradientCosinePlugin(1)])
    assert equal_weights(weights_of(watched.model), weights_of(gift().model))


def test_the_rate_is_that_of_the_update():
    rates = Spy(after_update=lambda strategy: strategy.optimizer.param_groups[0]["lr"])
    strategy = gift(LearningRate(), plugins=[rates])
    assert logged(strategy, LR) == (list(range(10)), rates.seen.after_update)
    assert len(set(rates.seen.after_update)) > 3


def test_the_distance_is_the_norm_of_what_an_experience_changed():
    weights = Spy(before_training_exp=lambda s: weights_of(s.model), before_update=lambda s: weights_of(s.model))
    strategy = gift(DistanceFromPrevious(2), plugins=[weights])
    steps, distances = logged(strategy, DISTANCE)
    assert steps == [2, 4, 5, 7, 9, 10]
    now = [*(weights.seen.before_update[k] for k in (2, 4)), weights.seen.before_training_exp[1]]
    now += [*(weights.seen.before_update[k] for k in (7, 9)), weights_of(strategy.model)]
    before = [weights.seen.before_training_exp[n // 3] for n in range(6)]
    for distance, theta, theta_prev in zip(distances, now, before, strict=True):
        squares = sum(float((theta[name] - theta_prev[name]).double().square().sum()) for name in theta)
        assert distance == pytest.approx(squares**0.5, rel=1e-5)


def test_the_last_distance_of_an_experience_holds_what_the_strategy_does_to_the_weights_after_it():
    metric = DistanceFromPrevious(1)
    strategy = WiSEFT(
        model=tiny_model(), evaluator=quiet(metric), train_iterations=3, train_mb_size=4, lr=1e-2, share=0.75, seed=1
    )
    before = weights_of(strategy.model)
    strategy.train(made_stream().train_stream[0])
    after = weights_of(strategy.model)
    _, distances = logged(strategy, DISTANCE)
    assert distances[-1] == pytest.approx(sum(float((after[n] - before[n]).square().sum()) for n in after) ** 0.5, rel=1e-5)
    assert distances[-1] < distances[-2]


@pytest.mark.parametrize("kind", [DistanceFromPrevious, GradientCosinePlugin])
def test_measuring_less_often_than_never_is_refused(kind):
    with pytest.raises(ValueError, match="at least one"):
        kind(0)


def test_pictures_are_shown_once_an_experience_under_whole_prompts():
    strategy = gift(SyntheticPictures())
    names = [name for name in strategy.evaluator.get_all_metrics() if name.startswith("SyntheticPictures")]
    assert names == [f"SyntheticPictures/train_phase/train_stream/Exp00{number}" for number in (0, 1)]
    steps, (figure,) = logged(strategy, names[1])
    assert steps == [5]
    assert len(figure.axes) == 16 and sum(bool(axes.images) for axes in figure.axes) == 10
    long = "a photo of a " + " ".join(f"word{number}" for number in range(12)) + "."
    (axes,) = picture_grid([(Image.new("L", (20, 20)), long)]).axes
    assert axes.get_title().replace("\n", " ") == long


METRICS = {*AccuracyMatrix.keys, *ClassIncrementalAccuracy.keys}
SMALL = RunConfig(
    strategy="gift",
    benchmark="mini",
    model="mini",
    tasks=("shapes", "letters"),
    train_iterations=3,
    train_mb_size=4,
    synthetic={"synthetic_images": 6, "synthetic_mb_size": 4},
)


def test_every_log_of_a_run_has_what_it_can_hold(tmp_path):
    run(SMALL, tmp_path, report=lambda _: None)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    terms = [f"LossTerm/{term}/train_phase/train_stream" for term in ("cross_entropy", "distillation", "alignment", "awc")]
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert {*terms, LR, DISTANCE, COSINE} <= scalars.keys()
    assert [step for step, _ in scalars[LR]] == list(range(6))
    assert [step for step, _ in scalars[DISTANCE]] == [3, 6]
    assert [step for step, _ in scalars[COSINE]] == [0, 3]
    pictures = {f"SyntheticPictures/train_phase/train_stream/Exp00{number}" for number in (0, 1)}
    assert pictures | {"AccuracyMatrix/eval_phase/test_stream"} <= set(events.Tags()["images"])
    text = events.Tensors("Configuration/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| synthetic.synthetic_images | `6` |" in text and "versions.torch" in text
    units = events.Tensors("Units/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| name | unit |" in units and "| Top1_Acc_ | fraction | right" in units and "| Last | percent | mean" in units

    with open(tmp_path / "csv" / "scalars.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for tag, values in scalars.items():
        found = [(int(row["iteration"]), float(row["value"])) for row in rows if row["name"] == tag]
        assert [step for step, _ in found] == [step for step, _ in values], tag
        assert [value for _, value in found] == pytest.approx([value for _, value in values], rel=1e-6)
    assert {row["unit"] for row in rows if row["name"].startswith("Top1_Acc")} == {"fraction"}
    assert {row["name"].partition("/")[0] for row in rows if not row["unit"]} == set(), "a unit for everything that a run logs"
    assert [path.name for path in (tmp_path / "csv").iterdir()] == ["scalars.csv"]

    log = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert "unit of Forgetting: percentage points, " in log
    last = next(float(row["value"]) for row in reversed(rows) if row["name"].startswith("Last/"))
    assert f"\tLast/eval_phase/test_stream = {last:.6g} percent\n" in log
    assert "Figure(" not in log
    assert "synthetic.synthetic_images: 6\n" in log
    assert all(name in log for name in (LR, DISTANCE, COSINE))


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


class Terminal(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_for_terminals_only(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal(terminal))
    strategy = WiSEFT(
        model=tiny_model(), evaluator=quiet(), train_iterations=3, train_mb_size=4, plugins=[ProgressPlugin("wise-ft")]
    )
    strategy.train(made_stream().train_stream[0])
    strategy.eval(made_stream().test_stream)
    written = sys.stderr.getvalue()
    assert ("wise-ft task0: 100%" in written) == terminal
    assert "tested on" not in written, "an evaluation of less than two seconds needs no bar"
    assert terminal or not written
