"""L2 and adaptive consolidation as plugins: gradients by hand, and what they keep."""

import copy
import weakref
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from avalanche.core import SupervisedPlugin
from plain_strategies import Own, gradients, plain_strategy, replay
from world import Spy, made_stream, weights_of

from avalanche_gift.training.plugins import (
    AdaptiveWeightConsolidationPlugin,
    ImageTextAlignmentPlugin,
    L2ConsolidationPlugin,
    consolidation,
)


def test_l2_alone_adds_twice_the_weight_times_the_way_from_where_the_experience_began():
    kept = SimpleNamespace()

    def begin(strategy):
        kept.theta = weights_of(strategy.model)

    def compare(strategy):
        model = strategy.model
        ours = gradients(model)
        logits = copy.deepcopy(model)
        loss = F.cross_entropy(logits(strategy.mb_x), strategy.mb_y)
        loss.backward()
        moved = 0.0
        for name, parameter in logits.clip.named_parameters():
            if parameter.requires_grad:
                way = parameter.detach() - kept.theta[name]
                task = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                torch.testing.assert_close(ours[name], task + 2 * 0.3 * way, rtol=1e-4, atol=1e-6)
                moved += float(way.square().sum())
        assert strategy.loss.item() == pytest.approx(loss.item() + 0.3 * moved, rel=1e-5)
        return moved

    spy = Spy(before_training_exp=begin, before_update=compare)
    plain_strategy(L2ConsolidationPlugin(0.3), spy).train(made_stream((3, 2)).train_stream)
    moved = spy.seen.before_update
    assert moved[0] == 0 and moved[1] > 0 and 0 in moved[1:], "theta_prev is taken anew in the second experience"


def test_adaptive_weights_average_one_in_each_tensor_and_follow_the_synthetic_gradient():
    kept = SimpleNamespace()

    class Before(SupervisedPlugin):  # between replay and consolidation: the synthetic gradient alone
        def before_forward(self, strategy, **kwargs):
            kept.synthetic = gradients(strategy.model)

    def compare(strategy):
        for name, grad in gradients(strategy.model).items():
            synthetic = kept.synthetic[name]
            if synthetic is None:
                continue
            way = dict(strategy.model.clip.named_parameters())[name].detach() - kept.theta[name]
            squares = synthetic.square()
            fisher = squares / squares.mean()
            assert float(fisher.mean()) == pytest.approx(1, rel=1e-4)
            torch.testing.assert_close(grad - synthetic, 2 * 0.5 * fisher * way, rtol=1e-3, atol=1e-5)

    spy = Spy(
        before_training_exp=lambda s: setattr(kept, "theta", weights_of(s.model)),
        after_forward=compare,
    )
    plugins = [replay(), ImageTextAlignmentPlugin(), Before(), AdaptiveWeightConsolidationPlugin(0.5)]
    plain_strategy(*plugins, spy).train(made_stream((3, 2)).train_stream)
    assert len(spy.seen.after_forward) > 2


@pytest.mark.parametrize("plugin", [AdaptiveWeightConsolidationPlugin, L2ConsolidationPlugin])
def test_theta_prev_is_dropped_after_the_experience(plugin, monkeypatch):
    take, kept = consolidation.snapshot, []

    def watched(named):
        theta = take(named)
        kept.extend(weakref.ref(tensor) for tensor in theta.values())
        return theta

    monkeypatch.setattr(consolidation, "snapshot", watched)
    alive = Spy(after_training=lambda s: sum(reference() is not None for reference in kept))
    plain_strategy(replay(), Own(), plugin(), alive).train(made_stream((3, 2)).train_stream)
    assert kept and alive.seen.after_training == [0]
