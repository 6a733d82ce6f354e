"""The learning rate against values worked out by hand."""

import math

import pytest

from avalanche_gift.schedule import warmup_cosine


@pytest.mark.parametrize(
    ("iteration", "share"),
    [
        (0, 0.01),  # (0 + 1) / 100
        (49, 0.5),
        (99, 1.0),
        (100, 1.0),  # cos 0
        (325, (1 + math.sqrt(0.5)) / 2),  # a quarter of 900: cos(pi / 4)
        (400, 0.75),  # a third: cos(pi / 3) = 1 / 2
        (550, 0.5),
        (700, 0.25),  # two thirds
        (1000, 0.0),
        (1001, 0.0),
        (5000, 0.0),
    ],
)
def test_the_rate_warms_up_for_100_and_falls_as_half_a_cosine_to_1000(iteration, share):
    assert warmup_cosine(iteration, base_lr=1e-5, iterations=1000, warmup=100) == pytest.approx(share * 1e-5, abs=1e-19)


def test_the_rate_is_exactly_zero_at_the_last_call_and_positive_before_it():
    assert warmup_cosine(1000, base_lr=1e-5, iterations=1000, warmup=100) == 0
    assert warmup_cosine(999, base_lr=1e-5, iterations=1000, warmup=100) > 0


def test_as_many_warmup_iterations_as_iterations_divides_by_no_zero():
    rates = [warmup_cosine(i, base_lr=1.0, iterations=4, warmup=4) for i in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 0.0, 0.0]


def test_a_warmup_longer_than_the_training_never_reaches_the_base_rate():
    # Two CIFAR100 classes a step: 16 batches, 17 calls, a warm-up of 30; the rate peaks at 17 / 30.
    rates = [warmup_cosine(i, base_lr=1.0, iterations=16, warmup=30) for i in range(17)]
    assert rates == pytest.approx([(i + 1) / 30 for i in range(17)])


def test_without_warmup_the_cosine_starts_at_once():
    rates = [warmup_cosine(i, base_lr=2.0, iterations=2, warmup=0) for i in range(3)]
    assert rates == pytest.approx([2.0, 1.0, 0.0])


@pytest.mark.parametrize(("iteration", "iterations", "warmup"), [(-1, 10, 1), (0, 0, 0), (0, 10, -1)])
def test_impossible_numbers_are_refused_with_what_came(iteration, iterations, warmup):
    with pytest.raises(ValueError, match=f"got {iteration}, {warmup} and {iterations}"):
        warmup_cosine(iteration, base_lr=1.0, iterations=iterations, warmup=warmup)
