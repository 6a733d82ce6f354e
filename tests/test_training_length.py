"""Iterations or epochs of each experience, and the reference's learning rate at every call of them."""

from types import SimpleNamespace

import pytest
from world import Spy, equal_weights, made_stream, quiet, tiny_model, weights_of

from avalanche_gift.benchmarks.defaults import strategy_options
from avalanche_gift.training import GIFT, FineTune, Joint
from avalanche_gift.training.avalanche_strategies import avalanche_strategy
from avalanche_gift.training.length import TrainingLength
from avalanche_gift.training.plugins import IterationsPlugin, WarmupCosinePlugin

COMMON = {"lr": 1e-3, "train_mb_size": 8, "evaluator": quiet}


@pytest.mark.parametrize(
    ("length", "numbers"),
    [
        (TrainingLength(), [1000, 1000, 1000]),
        (TrainingLength(7), [7, 7, 7]),
        (TrainingLength([782, 157, 1]), [782, 157, 1]),
        (TrainingLength(epochs=1), [782, 157, 16]),  # ceil of 50,000, 10,000 and 1,000 over 64: 781.25, 156.25, 15.6
        (TrainingLength(epochs=3), [2346, 471, 48]),
    ],
)
def test_a_length_is_one_number_one_an_experience_or_passes_over_its_images(length, numbers):
    assert [length.of(k, images=n, batch_size=64) for k, n in enumerate((50_000, 10_000, 1_000))] == numbers


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"iterations": 5, "epochs": 1}, "iterations or epochs, got both: 5 and 1"),
        ({"iterations": 0}, "at least one training iteration an experience, got 0"),
        ({"iterations": [3, 0]}, r"at least one training iteration an experience, got \[3, 0\]"),
        ({"iterations": []}, "at least one training iteration"),
        ({"epochs": 0}, "at least one training epoch an experience, got 0"),
    ],
)
def test_lengths_that_are_none_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        TrainingLength(**given)


def calls(strategy, stream=None):
    spy = Spy(after_update=lambda s: (s.experience.current_experience, s.optimizer.param_groups[0]["lr"]))
    strategy.plugins.append(spy)
    for experience in made_stream((3, 2)).train_stream if stream is None else stream:
        strategy.train(experience)
    return spy.seen.after_update


@pytest.mark.parametrize(
    ("length", "numbers"),
    [
        ({"train_iterations": [4, 2]}, [4, 2]),
        ({"train_epochs": 1}, [3, 2]),  # 18 and 12 images in batches of 8
        ({"train_epochs": 2}, [6, 4]),
        ({"train_epochs": 2, "reference_schedule": True}, [7, 5]),
    ],
)
def test_a_strategy_makes_that_many_calls_and_ends_each_experience_at_rate_zero_where_the_reference_does(length, numbers):
    seen = calls(FineTune(tiny_model(), **COMMON, **length))
    assert [sum(number == k for number, _ in seen) for k in (0, 1)] == numbers
    if "reference_schedule" in length:
        assert seen[6][1] == seen[-1][1] == 0 and seen[5][1] > 0


def test_one_number_an_experience_is_refused_where_one_is_missing():
    strategy, stream = FineTune(tiny_model(), train_iterations=[2], **COMMON), made_stream((3, 2)).train_stream
    strategy.train(stream[0])
    with pytest.raises(ValueError, match="iterations for each experience, got 1 numbers and now experience 1"):
        strategy.train(stream[1])


def test_equal_lengths_said_in_three_ways_give_equal_weights():
    weights = []
    for length in ({"train_iterations": 3}, {"train_iterations": (3, 3)}, {"train_epochs": 1}):
        strategy = FineTune(tiny_model(), **COMMON, **length)
        calls(strategy, made_stream((3, 3)).train_stream)  # 18 images each
        weights.append(weights_of(strategy.model))
    assert equal_weights(weights[0], weights[1]) and equal_weights(weights[0], weights[2])


def test_the_warm_up_of_a_short_experience_is_a_tenth_of_its_own_length():
    seen = calls(FineTune(tiny_model(), **{**COMMON, "lr": 1.0}, train_iterations=[20, 2]))
    assert [rate for _, rate in seen[:3]] == [0.5, 1.0, 1.0] and seen[20] == (1, 1.0)


def test_joint_training_makes_the_calls_of_all_experiences_with_the_warm_up_of_the_longest():
    for length, number in (({"train_epochs": 2}, 6 + 4), ({"train_iterations": [20, 7]}, 27)):
        spy = Spy(after_update=lambda s: s.optimizer.param_groups[0]["lr"])
        Joint(tiny_model(), plugins=[spy], **{**COMMON, "lr": 1.0}, **length).train(made_stream((3, 2)).train_stream)
        assert len(spy.seen.after_update) == number
    assert spy.seen.after_update[:2] == [0.5, 1.0]  # a tenth of 20


def test_gift_and_avalanches_own_take_epochs_too():
    assert len(calls(GIFT(tiny_model(), alpha=0, beta=0, awc_weight=0, train_epochs=1, **COMMON))) == 3 + 2
    stream = made_stream((3, 2))
    strategy, stream = avalanche_strategy("avalanche-replay", tiny_model(), stream, train_epochs=1, **COMMON)
    assert len(calls(strategy, stream.train_stream)) == 3 + 2  # passes over its own images, whatever replay adds


# ---- the rates of the reference's class-incremental code, as shares of the base rate

WARMING = [1 / 30, 2 / 30, 0.1, 4 / 30, 5 / 30, 0.2, 7 / 30, 8 / 30, 0.3, 10 / 30, 11 / 30, 0.4, 13 / 30, 14 / 30, 0.5, 16 / 30]
TWO_CLASSES = [*WARMING, 17 / 30]
"""1,000 images: 16 batches and one call more; the warm-up never ends."""
TEN_CLASSES = {29: 1.0, 30: 1.0, 37: 0.950484, 44: 0.811745, 51: 0.611260, 58: 0.388740, 65: 0.188255, 72: 0.049516, 79: 0.0}
"""5,000 images: 79 batches; (1 + cos(k pi / 7)) / 2 at 30 + 7 k."""
BASE_CLASSES = {29: 1.0, 30: 1.0, 218: 0.853553, 406: 0.5, 594: 0.146447, 782: 0.0}
"""50,000 images, TinyImageNet's first step: 782 batches; (1 + cos(k pi / 4)) / 2 at 30 + 188 k."""


def reference_rates(images):
    """Of every call of an experience with so many images, in batches of 64, as the plan of Tables 7 and 8 has it."""
    options = strategy_options("cifar100", "finetune", {})
    strategy = SimpleNamespace(
        clock=SimpleNamespace(train_exp_counter=3, train_exp_iterations=0),
        experience=SimpleNamespace(dataset=range(images), learning_rate=None),
        train_mb_size=64,
        dataloader=[],
        optimizer=SimpleNamespace(param_groups=[{}]),
    )
    IterationsPlugin(epochs=1, extra=options["reference_schedule"]).before_training_epoch(strategy)
    plugin, rates = WarmupCosinePlugin(1.0, epochs=1, warmup=options["warmup_iterations"]), []
    for number in range(len(strategy.dataloader)):
        strategy.clock.train_exp_iterations = number
        plugin.before_training_iteration(strategy)
        rates.append(strategy.optimizer.param_groups[0]["lr"])
    return rates


def test_two_classes_of_cifar100_have_17_calls_of_rising_rate():
    assert reference_rates(1000) == pytest.approx(TWO_CLASSES)


@pytest.mark.parametrize(("images", "batches", "expected"), [(5000, 79, TEN_CLASSES), (50_000, 782, BASE_CLASSES)])
def test_larger_steps_warm_up_for_30_and_end_with_one_call_at_rate_zero(images, batches, expected):
    rates = reference_rates(images)
    assert len(rates) == batches + 1
    assert rates[:16] == pytest.approx(WARMING)
    assert {number: rates[number] for number in expected} == pytest.approx(expected, abs=1e-6)
    assert rates[-1] == 0 and min(rates[:-1]) > 0


def test_a_strategy_with_the_options_of_the_protocol_trains_at_these_rates():
    options = strategy_options("cifar100-50", "finetune", {})
    strategy = FineTune(
        tiny_model(), train_epochs=1, lr=1.0, train_mb_size=1, class_incremental=True, evaluator=quiet, **options
    )
    seen = calls(strategy, made_stream((2, 2), per_class=8, class_incremental=True).train_stream)
    assert [rate for number, rate in seen if number == 1] == pytest.approx(TWO_CLASSES)
