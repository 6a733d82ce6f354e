"""The strategies as a user makes them: construction, composition, bad input, and what must equal what."""

import warnings
from pathlib import Path

import pytest
import torch
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EWCPlugin, ReplayPlugin
from replay import LOSS_TOLERANCE, WEIGHT_TOLERANCE, replay
from torch import nn
from world import BASE_PROMPTS, MadePictures, Spy, equal_weights, made_stream, names_of, quiet, tiny_model, weights_of

from avalanche_gift import GIFT, L2, FineTune, ZeroShot, with_class_names
from avalanche_gift.training.plugins import distillation

RECORDS = sorted((Path(__file__).parent / "data").glob("*.safetensors"))
COMMON = {"train_iterations": 4, "lr": 1e-3, "train_mb_size": 6, "evaluator": quiet}
SYNTHETIC = {"synthetic_images": 8, "synthetic_mb_size": 5, "base_prompts": BASE_PROMPTS}


def gift(model=None, synthetic=None, **kwargs):
    source = MadePictures() if synthetic is None else synthetic
    return GIFT(tiny_model() if model is None else model, synthetic=source, **{**COMMON, **SYNTHETIC, **kwargs})


def trained(strategy, stream=None):
    """The weights after training on the stream."""
    strategy.train((made_stream((3, 2)) if stream is None else stream).train_stream)
    return weights_of(strategy.model)


# ---- construction and composition


@pytest.mark.parametrize("strategy", [GIFT, FineTune, L2, ZeroShot])
def test_strategies_are_made_and_trained_without_a_warning(strategy):
    needed = {"synthetic": MadePictures(), **SYNTHETIC} if strategy is GIFT else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = strategy(tiny_model(), train_iterations=2, **needed)
        strategy(model=tiny_model(), evaluator=quiet, **needed)
        made.train(made_stream((3, 2)).train_stream)


def test_model_may_be_given_once_and_alone_by_position():
    with pytest.raises(TypeError, match="2 positional"):
        GIFT(tiny_model(), MadePictures())
    with pytest.raises(TypeError, match="twice"):
        GIFT(tiny_model(), model=tiny_model(), synthetic=MadePictures())


def test_composes_with_replay_ewc_and_a_plugin_of_ones_own_whose_list_is_left_alone():
    benchmark = made_stream()
    ewc = EWCPlugin(ewc_lambda=1.0, mode="online", decay_factor=1.0)
    own = Spy(before_backward=lambda s: len(s.mb_y), before_update=lambda s: set(s.loss_terms))
    plugins = [ReplayPlugin(mem_size=20), ewc, own]
    given = list(plugins)
    evaluator = quiet(accuracy_metrics(experience=True))
    strategy = gift(plugins=plugins, evaluator=evaluator, eval_every=1, synthetic_mb_size=8)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    assert plugins == given
    assert own.seen.before_backward[:3] == [6, 6, 6] and max(own.seen.before_backward) == 12
    assert set.union(*own.seen.before_update) == {"cross_entropy", "distillation", "alignment", "awc"}
    assert max(float(value.data.max()) for value in ewc.importances[2].values()) > 0
    assert len([key for key in strategy.eval(benchmark.test_stream) if key.startswith("Top1_Acc_Exp/eval_phase")]) == 3


def test_class_incremental_training_and_evaluation_run():
    benchmark = made_stream(class_incremental=True)
    widths = Spy(after_forward=lambda s: s.mb_output.shape[1], after_eval_forward=lambda s: s.mb_output.shape[1])
    strategy = gift(class_incremental=True, plugins=[widths])
    strategy.train(benchmark.train_stream)
    strategy.eval(benchmark.test_stream)
    assert widths.seen.after_forward == [3] * 4 + [5] * 4 + [9] * 4 and set(widths.seen.after_eval_forward) == {9}


@pytest.mark.parametrize("form", ["contrastive", "feature", "image-only", "text-only", "reverse-kl"])
def test_forms_of_distillation_train_and_differ(form):
    ours, default = trained(gift(distillation=form)), trained(gift())
    assert all(tensor.isfinite().all() for tensor in ours.values())
    assert equal_weights(ours, default) == (form == "contrastive")


def test_logit_scale_is_not_trained_and_all_else_is():
    model = tiny_model()
    before, after = weights_of(model), trained(gift(model))
    assert {name for name in before if torch.equal(before[name], after[name])} == {"logit_scale"}


@pytest.mark.parametrize("iterations", [1, 5])
@pytest.mark.parametrize("reference", [False, True])
def test_optimiser_is_called_as_often_as_asked(iterations, reference):
    spy = Spy(after_update=lambda s: s.clock.train_exp_iterations)
    strategy = gift(train_iterations=iterations, reference_schedule=reference, plugins=[spy])
    strategy.train(made_stream((3, 2)).train_stream)
    assert spy.seen.after_update == [*range(iterations + reference)] * 2
    assert strategy.clock.train_iterations == 2 * (iterations + reference)


def test_reference_schedule_adds_a_call_that_changes_nothing():
    spy = Spy(after_update=lambda s: (s.optimizer.param_groups[0]["lr"], weights_of(s.model)))
    strategy = gift(reference_schedule=True, plugins=[spy])
    strategy.train(made_stream((3, 2)).train_stream[:1])
    (earlier, before), (rate, after) = spy.seen.after_update[-2:]
    assert rate == 0 < earlier and equal_weights(before, after)
    alone = gift()
    alone.train(made_stream((3, 2)).train_stream[:1])
    assert equal_weights(weights_of(alone.model), after)


@pytest.mark.parametrize(
    ("lr", "own", "peaks"),
    [
        ([1e-4, 3e-4], None, [1e-4, 3e-4]),
        (2e-4, None, [2e-4, 2e-4]),
        (None, (5e-5, None), [5e-5, 1e-5]),
    ],
)
def test_peak_learning_rate_is_that_of_the_experience(lr, own, peaks):
    spy = Spy(after_update=lambda s: s.optimizer.param_groups[0]["lr"])
    strategy = gift(lr=lr, warmup_iterations=1, plugins=[spy])
    strategy.train(made_stream((3, 2), learning_rates=own).train_stream)
    assert [max(spy.seen.after_update[:4]), max(spy.seen.after_update[4:])] == peaks


def test_rate_of_an_optimizer_of_ones_own_is_the_base():
    model, spy = tiny_model(), Spy(after_update=lambda s: s.optimizer.param_groups[0]["lr"])
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.03)
    gift(model, optimizer=optimizer, lr=None, warmup_iterations=0, plugins=[spy]).train(made_stream((3, 2)).train_stream)
    assert max(spy.seen.after_update) == 0.03


# ---- bad input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"alpha": -1.0}, ValueError, "alpha >= 0, got -1"),
        ({"alpha": float("nan")}, ValueError, "alpha >= 0, got nan"),
        ({"beta": -0.1}, ValueError, "beta >= 0, got -0.1"),
        ({"awc_weight": -1.0}, ValueError, "consolidation weight >= 0, got -1"),
        ({"l2_weight": -1.0}, ValueError, "consolidation weight >= 0, got -1"),
        ({"temperature": 0.0}, ValueError, "temperature above 0, got 0"),
        ({"alpha": 0, "beta": 0}, ValueError, "adaptive weight consolidation.*awc_weight=0.*l2_weight"),
        ({"synthetic": None}, ValueError, r"expected synthetic=.*got None"),
        ({"synthetic": 7}, TypeError, "expected a folder.*came int"),
        ({"synthetic": MadePictures}, TypeError, "the class MadePictures itself"),
        ({"synthetic": "no/such/folder"}, FileNotFoundError, "no/such/folder"),
        ({"synthetic_images": 0}, ValueError, "at least one synthetic picture.*got 0"),
        ({"synthetic_mb_size": 0}, ValueError, "at least one synthetic picture.*and 0"),
        ({"distillation": "image_only"}, ValueError, "unknown distillation 'image_only'; did you mean 'image-only'"),
        ({"teacher": "previos"}, ValueError, "teacher previous, initial or wise:R.*'previos'"),
        ({"teacher": "wise:2"}, ValueError, "between 0 and 1, got 'wise:2'"),
        ({"train_epochs": 3}, ValueError, "iterations or epochs, got both: 4 and 3"),
        ({"train_iteration": 3}, TypeError, "train_iteration"),
        ({"train_iterations": 0}, ValueError, "at least one training iteration.*got 0"),
        ({"warmup_iterations": -1}, ValueError, "warmup >= 0"),
        ({"lr": -1e-3}, ValueError, "learning rates >= 0"),
        ({"lr": []}, ValueError, "learning rates >= 0"),
        ({"label_smoothing": 1.0}, ValueError, "label smoothing"),
        ({"model": nn.Linear(2, 2)}, TypeError, "expected a CLIPClassifier, got Linear.*from_open_clip"),
        ({"model": tiny_model().clip}, TypeError, "expected a CLIPClassifier, got CLIP"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_bad_input_is_refused_when_the_strategy_is_made(change, error, message):
    arguments = {"model": tiny_model(), "synthetic": MadePictures(), **COMMON, **SYNTHETIC, **change}
    with pytest.raises(error, match=message):
        GIFT(**arguments)


@pytest.mark.parametrize("weights", [{"alpha": 0.0}, {"alpha": 0.0, "beta": 0.0, "awc_weight": 0.0}])
def test_unknown_teacher_is_refused_whatever_the_weights(weights):
    with pytest.raises(ValueError, match="teacher"):
        gift(teacher="previos", **weights)


class TooFew:
    def __init__(self, number):
        self.number = number

    def generate(self, prompts, seeds):
        return MadePictures().generate(prompts, seeds)[: self.number]


@pytest.mark.parametrize("number", [0, 7])
def test_generator_that_returns_too_few_pictures_is_an_error_that_counts_them(number):
    with pytest.raises(ValueError, match=rf"one picture for each of 8 prompts, got {number} from TooFew"):
        trained(gift(synthetic=TooFew(number)))


def test_folder_without_an_eligible_prompt_is_an_error_that_names_it(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        MadePictures.picture(name, 0).save(tmp_path / name / "0.png")
    stream = with_class_names(made_stream((3, 2)), [names_of(0), names_of(1)])
    with pytest.raises(ValueError, match=rf"none of the 2 pictures under '{tmp_path}'"):
        trained(gift(synthetic=tmp_path), stream)


def test_folder_gives_all_its_pictures_but_those_of_the_current_classes(tmp_path):
    for name in ("cat", "sun_flower", "moon"):
        (tmp_path / name).mkdir()
        MadePictures.picture(name, 0).save(tmp_path / name / "0.png")
    stream = with_class_names(made_stream((3, 2)), [names_of(0), names_of(1)])

    class Count(Spy):
        def synthetic_loss(self, strategy, batch):
            sizes.append(len(batch.image_features))
            return {}

    sizes = []
    trained(gift(synthetic=tmp_path, plugins=[Count()]), stream)
    assert sizes == [2] * 4 + [3] * 4


# ---- equalities


def test_gift_without_its_terms_is_fine_tuning_weight_for_weight():
    nothing = GIFT(tiny_model(), alpha=0, beta=0, awc_weight=0, **COMMON)
    assert equal_weights(trained(nothing), trained(FineTune(tiny_model(), **COMMON)))


def test_l2_of_weight_zero_is_fine_tuning_weight_for_weight():
    assert equal_weights(trained(L2(tiny_model(), l2_weight=0.0, **COMMON)), trained(FineTune(tiny_model(), **COMMON)))


@pytest.mark.parametrize("weight", [0.5, 30.0])
def test_gift_with_l2_alone_is_l2_weight_for_weight(weight):
    only_l2 = GIFT(tiny_model(), alpha=0, beta=0, awc_weight=0, l2_weight=weight, **COMMON)
    l2 = trained(L2(tiny_model(), l2_weight=weight, **COMMON))
    assert equal_weights(trained(only_l2), l2)
    assert not equal_weights(l2, trained(FineTune(tiny_model(), **COMMON)))


@pytest.mark.parametrize("change", [{"alpha": 0.0}, {"beta": 0.0}, {"awc_weight": 0.0}, {"temperature": 1.0}])
def test_every_term_of_gift_moves_the_weights(change):
    assert not equal_weights(trained(gift(**change)), trained(gift()))


def test_equal_seeds_give_equal_weights_and_other_seeds_others():
    torch.manual_seed(1)
    first = trained(gift(seed=5))
    torch.manual_seed(2)
    second = trained(gift(seed=5))
    assert equal_weights(first, second)
    assert not equal_weights(first, trained(gift(seed=6)))


def test_weights_are_the_same_with_nested_evaluation():
    benchmark = made_stream((3, 2))
    nested = gift(eval_every=2, peval_mode="iteration")
    nested.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    assert equal_weights(weights_of(nested.model), trained(gift()))


@pytest.mark.parametrize("teacher", ["previous", "initial", "wise:0.5"])
def test_one_call_of_train_equals_one_for_each_experience(teacher):
    stream, separate = made_stream(), gift(teacher=teacher)
    for experience in stream.train_stream:
        separate.train(experience)
        separate.eval(stream.test_stream)
    assert equal_weights(weights_of(separate.model), trained(gift(teacher=teacher), stream))


def test_zero_shot_leaves_every_weight_and_evaluates():
    benchmark, model = made_stream(), tiny_model()
    evaluator = quiet(accuracy_metrics(experience=True))
    before, strategy = weights_of(model), ZeroShot(model, **{**COMMON, "evaluator": evaluator})
    untrained = strategy.eval(benchmark.test_stream)
    strategy.train(benchmark.train_stream)
    assert equal_weights(before, weights_of(model))
    assert strategy.eval(benchmark.test_stream) == untrained
    assert len(untrained) == 3


def test_fine_tuning_learns_the_made_pictures():
    benchmark = made_stream((3, 2), per_class=10)
    evaluator = quiet(accuracy_metrics(experience=True))
    strategy = FineTune(tiny_model(), **{**COMMON, "evaluator": evaluator, "lr": 5e-3, "train_iterations": 60})
    strategy.train(benchmark.train_stream[:1])
    results = strategy.eval(benchmark.test_stream[:1])
    assert results["Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp000"] > 0.85


# ---- the reference's records


# The replay tool makes its own evaluator and reads its losses while they carry gradient.
NO_LOGGERS = pytest.mark.filterwarnings("ignore:No loggers specified", "ignore:Converting a tensor with requires_grad")


@NO_LOGGERS
@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_recorded_optimisation_of_the_reference_is_repeated(record):
    loss_error, weight_error = replay(record)
    assert loss_error <= LOSS_TOLERANCE == 1e-3
    assert weight_error <= WEIGHT_TOLERANCE == 1e-4


def test_all_three_records_are_there():
    assert [path.stem for path in RECORDS] == ["finetune", "gift", "gift_l2"]


@NO_LOGGERS
def test_record_fails_without_the_square_of_the_temperature(monkeypatch):
    right = distillation.contrastive_distillation

    def wrong(*, temperature, **logits):
        return right(temperature=temperature, **logits) / temperature**2

    monkeypatch.setattr(distillation, "contrastive_distillation", wrong)
    loss_error, weight_error = replay(next(path for path in RECORDS if path.stem == "gift"))
    assert loss_error > LOSS_TOLERANCE and weight_error > WEIGHT_TOLERANCE
