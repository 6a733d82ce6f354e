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
from avalanche_gift.evaluation.training_curves import DistanceFromPrevious, LearningRate, SyntheticPictures, picture_grid
from avalanche_gift.run import run
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
