"""The synthetic plugins alone in plain Avalanche strategies, what they refuse, and their loss terms."""

import pytest
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.supervised import Naive
from avalanche.training.templates import SupervisedTemplate
from plain_strategies import Own, plain_strategy, replay
from world import Spy, equal_weights, made_stream, quiet, tiny_model, weights_of

from avalanche_gift.training.plugins import (
    AdaptiveWeightConsolidationPlugin,
    ContrastiveDistillationPlugin,
    ImageTextAlignmentPlugin,
    IterationsPlugin,
    L2ConsolidationPlugin,
    LossTermsPlugin,
    NonFiniteLossError,
    WarmupCosinePlugin,
)


@pytest.mark.parametrize("strategy", [Naive, SupervisedTemplate])
@pytest.mark.parametrize(
    ("loss", "term"),
    [
        (ContrastiveDistillationPlugin, "distillation"),
        (ImageTextAlignmentPlugin, "alignment"),
        (Own, "own"),
    ],
)
def test_each_synthetic_loss_works_alone_and_changes_the_course_of_training(strategy, loss, term):
    benchmark = made_stream((3, 2))
    spy = Spy(before_update=lambda s: {name: float(value) for name, value in s.loss_terms.items()})
    with_it = plain_strategy(replay(), loss(), spy, strategy=strategy)
    without = plain_strategy(strategy=strategy)
    for each in (with_it, without):
        torch.manual_seed(0)
        each.train(benchmark.train_stream)
    assert spy.seen.before_update and all(set(terms) == {term} for terms in spy.seen.before_update)
    assert not equal_weights(weights_of(with_it.model), weights_of(without.model))


def test_strategy_loss_holds_the_task_and_all_synthetic_terms():
    spy = Spy(
        before_backward=lambda s: s.loss.item(),
        before_update=lambda s: (s.loss.item(), {name: float(value) for name, value in s.loss_terms.items()}),
    )
    plugins = [replay(), ContrastiveDistillationPlugin(), ImageTextAlignmentPlugin(), AdaptiveWeightConsolidationPlugin()]
    plain_strategy(*plugins, spy).train(made_stream((3, 2)).train_stream)
    for task, (total, terms) in zip(spy.seen.before_backward, spy.seen.before_update, strict=True):
        assert set(terms) == {"distillation", "alignment", "awc"}
        assert total == pytest.approx(task + sum(terms.values()), rel=1e-5)
    assert any(terms["awc"] > 0 for _, terms in spy.seen.before_update)


def test_synthetic_batches_go_through_all_pairs_in_every_pass_and_the_last_one_is_short():
    rows = []
    own = Own(lambda strategy, batch: rows.append(batch.teacher_image_features))
    plain_strategy(replay(), own, IterationsPlugin(6)).train(made_stream((3, 2)).train_stream[:1])
    assert own.sizes == [5, 5, 2, 5, 5, 2]
    first, second = torch.cat(rows[:3]), torch.cat(rows[3:])
    assert not torch.equal(first, second)
    torch.testing.assert_close(first[first[:, 0].argsort()], second[second[:, 0].argsort()])
    assert len(first[:, 0].unique()) == 12


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        (lambda: [ContrastiveDistillationPlugin()], "SyntheticReplayPlugin beside ContrastiveDistillationPlugin"),
        (lambda: [ImageTextAlignmentPlugin()], "SyntheticReplayPlugin beside ImageTextAlignmentPlugin"),
        (lambda: [replay()], "plugin with synthetic_loss"),
        (lambda: [AdaptiveWeightConsolidationPlugin()], "gradient of a synthetic loss, got none"),
        (lambda: [AdaptiveWeightConsolidationPlugin(), replay(), Own()], "got none: list a SyntheticReplayPlugin"),
        (lambda: [replay(teacher=None), ContrastiveDistillationPlugin()], "teacher=None"),
    ],
)
def test_plugins_without_what_they_need_say_so(plugins, message):
    with pytest.raises(ValueError, match=message):
        plain_strategy(*plugins()).train(made_stream((3, 2)).train_stream[:1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContrastiveDistillationPlugin(-1.0),
        lambda: ContrastiveDistillationPlugin(float("nan")),
        lambda: ContrastiveDistillationPlugin(temperature=0.0),
        lambda: ContrastiveDistillationPlugin(form="contrastiv"),
        lambda: ImageTextAlignmentPlugin(-1.0),
        lambda: ImageTextAlignmentPlugin(label_smoothing=1.0),
        lambda: AdaptiveWeightConsolidationPlugin(-1.0),
        lambda: L2ConsolidationPlugin(-1.0),
        lambda: replay(images=0),
        lambda: replay(batch_size=0),
        lambda: replay(towers=()),
        lambda: replay(towers=("image", "sound")),
        lambda: replay(towers=("image",), teacher=None),
        lambda: replay(teacher="wise:1.5"),
        lambda: replay(teacher="wise:"),
        lambda: IterationsPlugin(0),
        lambda: WarmupCosinePlugin(-1e-3),
        lambda: WarmupCosinePlugin([]),
        lambda: WarmupCosinePlugin(iterations=0),
        lambda: WarmupCosinePlugin(warmup=-1),
    ],
)
def test_values_out_of_range_are_refused_when_the_plugin_is_made(make):
    with pytest.raises(ValueError, match=r"expected|unknown"):
        make()


def test_loss_terms_are_published_under_their_names_with_the_values_of_the_step():
    evaluator = quiet()
    spy = Spy(before_update=lambda s: {**{k: float(v) for k, v in s.loss_terms.items()}, "total": s.loss.item()})
    plugins = [replay(), ContrastiveDistillationPlugin(), ImageTextAlignmentPlugin(), AdaptiveWeightConsolidationPlugin()]
    plain_strategy(*plugins, LossTermsPlugin(), spy, evaluator=evaluator).train(made_stream((3, 2)).train_stream)
    curves = {key.split("/")[1]: curve for key, curve in evaluator.get_all_metrics().items() if key.startswith("LossTerm/")}
    assert set(curves) == {"distillation", "alignment", "awc", "total"}
    for name, (steps, values) in curves.items():
        assert steps == list(range(len(spy.seen.before_update)))
        assert values == pytest.approx([terms[name] for terms in spy.seen.before_update], rel=1e-6)
        assert all(type(value) is float for value in values)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["synthetic", "task"])
def test_non_finite_loss_stops_training_before_a_weight_moves(bad, kind):
    at_step, model = 2, tiny_model()

    class Break(SupervisedPlugin):
        def synthetic_loss(self, strategy, batch):
            broken = kind == "synthetic" and strategy.clock.train_exp_iterations == at_step
            return {"own": batch.student_logits.mean() * (bad if broken else 1.0)}

        def before_backward(self, strategy, **kwargs):
            if kind == "task" and strategy.clock.train_exp_iterations == at_step:
                strategy.loss = strategy.loss * bad

    after = Spy(after_update=lambda s: weights_of(s.model))
    strategy = plain_strategy(replay(), Break(), LossTermsPlugin(), after, model=model)
    with pytest.raises(NonFiniteLossError, match=r"at iteration 2 of experience 0"):
        strategy.train(made_stream((3, 2)).train_stream)
    assert len(after.seen.after_update) == at_step
    assert equal_weights(weights_of(model), after.seen.after_update[-1])
