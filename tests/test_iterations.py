"""Batches, iterations, learning rates and the optimiser of each experience."""

import pytest
import torch
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.supervised import Naive
from plain_strategies import plain_strategy
from world import Spy, made_stream, plain, quiet, tiny_model

from avalanche_gift.schedule import warmup_cosine
from avalanche_gift.training.plugins import (
    FreshOptimizerPlugin,
    IterationsPlugin,
    WarmupCosinePlugin,
    clip_optimizer,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),  # DataLoader workers, Python 3.12
]


def batches(*plugins, iterations=7, seed=42, disturb=0, stream=None, **train):
    spy = Spy(before_training_iteration=lambda s: (s.mb_x.clone(), s.mb_y.clone()))
    strategy = plain_strategy(*plugins, IterationsPlugin(iterations, seed=seed), spy, **train.pop("strategy", {}))
    torch.manual_seed(disturb)
    strategy.train((made_stream((3, 2)) if stream is None else stream).train_stream, **train)
    return strategy, spy.seen.before_training_iteration


def same(a, b):
    return len(a) == len(b) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(a, b, strict=True) if x.shape == u.shape
    )


@pytest.mark.parametrize("iterations", [1, 3, 8])
def test_each_experience_has_exactly_the_iterations_asked_for(iterations):
    strategy, seen = batches(iterations=iterations)
    assert len(seen) == 2 * iterations == strategy.clock.train_iterations


def test_batches_are_the_same_with_and_without_nested_evaluation_and_whatever_the_global_generator():
    stream = made_stream((3, 2))
    _, alone = batches(stream=stream)
    _, nested = batches(
        stream=stream,
        disturb=5,
        strategy={"eval_every": 2, "peval_mode": "iteration"},
        eval_streams=[stream.test_stream],
    )
    _, other = batches(stream=stream, seed=1)
    assert same(alone, nested)
    assert not same(alone, other)


def test_batches_depend_on_the_experience_and_augmentation_on_the_iteration():
    stream = made_stream((2, 2))
    _, seen = batches(stream=stream, iterations=4)
    labels = [labels for _, labels in seen]
    assert not all(torch.equal(a, b) for a, b in zip(labels[:4], labels[4:], strict=True))


def test_without_shuffling_the_batches_go_round_in_order():
    _, seen = batches(iterations=5, shuffle=False, stream=made_stream((3, 2)))
    expected = [label for label in range(3) for _ in range(6)]
    assert [labels.tolist() for _, labels in seen[:5]] == [
        expected[:8],
        expected[8:16],
        expected[16:],
        expected[:8],
        expected[8:16],
    ]


def test_batches_are_the_same_with_workers():
    no_augmentation = made_stream((3, 2), train_transform=plain())
    _, alone = batches(stream=no_augmentation)
    _, workers = batches(stream=no_augmentation, num_workers=2)
    assert same(alone, workers)


def test_loader_that_replay_installed_is_the_one_gone_round():
    _, seen = batches(ReplayPlugin(mem_size=18), iterations=9)
    assert len(seen) == 18
    assert {len(labels) for _, labels in seen[:9]} == {8, 2}
    assert max(len(labels) for _, labels in seen[9:]) == 16


def test_several_epochs_are_each_as_long_as_asked():
    model, spy = tiny_model(), Spy(after_training_iteration=lambda s: s.clock.train_exp_iterations)
    strategy = Naive(
        model=model,
        optimizer=clip_optimizer(model),
        train_mb_size=8,
        train_epochs=2,
        plugins=[IterationsPlugin(3), spy],
        evaluator=quiet(),
    )
    strategy.train(made_stream((3, 2)).train_stream[:1])
    assert len(spy.seen.after_training_iteration) == 6


def rates(plugin, stream, iterations=6):
    spy = Spy(after_update=lambda s: {group["lr"] for group in s.optimizer.param_groups})
    plain_strategy(plugin, IterationsPlugin(iterations), spy, lr=0.5).train(stream.train_stream)
    assert all(len(each) == 1 for each in spy.seen.after_update)
    return [each.pop() for each in spy.seen.after_update]


def schedule(base, iterations=6, length=5, warmup=2):
    return [warmup_cosine(i, base_lr=base, iterations=length, warmup=warmup) for i in range(iterations)]


@pytest.mark.parametrize(
    ("lr", "own", "bases"),
    [
        (2e-4, None, (2e-4, 2e-4)),
        ([1e-4, 3e-4], None, (1e-4, 3e-4)),
        (None, (5e-5, None), (5e-5, 7e-5)),
        (2e-4, (5e-5, 6e-5), (2e-4, 2e-4)),
        (None, None, (7e-5, 7e-5)),
    ],
    ids=["one", "list", "the stream's", "one over the stream's", "default"],
)
def test_learning_rate_of_each_step_is_the_schedule_of_its_experience(lr, own, bases):
    plugin = WarmupCosinePlugin(lr, iterations=5, warmup=2, default_lr=7e-5)
    got = rates(plugin, made_stream((3, 2), learning_rates=own))
    assert got == [*schedule(bases[0]), *schedule(bases[1])]
    assert got[0] == bases[0] / 2 and got[1] == bases[0] and got[5] == 0


def test_too_few_learning_rates_are_an_error_that_counts_them():
    with pytest.raises(ValueError, match=r"got 1 and now experience 1"):
        rates(WarmupCosinePlugin([1e-4], iterations=5, warmup=2), made_stream((3, 2)))


def test_adam_starts_anew_in_each_experience():
    def steps(*plugins):
        spy = Spy(after_training_exp=lambda s: {int(state["step"]) for state in s.optimizer.state.values()})
        plain_strategy(*plugins, IterationsPlugin(3), spy).train(made_stream((3, 2)).train_stream)
        return spy.seen.after_training_exp

    assert steps(FreshOptimizerPlugin()) == [{3}, {3}]
    assert steps() == [{3}, {6}], "Avalanche's own habit, which the plugin is there to change"
