"""The order of a run: evaluate, then train and evaluate an experience after the other, from where a checkpoint left it."""

import gc
import time
from collections.abc import Sequence
from typing import Any

from avalanche.benchmarks.scenarios import CLScenario

from avalanche_gift import distributed
from avalanche_gift.checkpoint import RunState
from avalanche_gift.config import RunConfig
from avalanche_gift.training import Joint, ZeroShot
from avalanche_gift.training.plugins.checkpoints import CheckpointPlugin
from avalanche_gift.training.state import gather_state, restore_strategy


def train_and_evaluate(
    strategy: Any, benchmark: CLScenario, config: RunConfig, state: RunState, plugin: CheckpointPlugin | None
) -> None:
    """All test sets before training and after each experience; once where neither weights nor classes ever change.

    plugin: None for a strategy that goes on from the start of an experience only. Zero-shot has nothing to go on from.
    """
    options = {"num_workers": config.num_workers}
    units, garbage = _units(strategy, benchmark, config), Garbage()
    keeps = not isinstance(strategy, ZeroShot)
    place = state.checkpoints.newest() if keeps else None
    if place is None:
        strategy.eval(benchmark.test_stream, **options)
    else:
        restore_strategy(strategy, state.checkpoints.read(place[0], 0))
    first, iteration = place or (0, 0)
    for number in range(first, len(units)):
        if keeps and (number > first or place is None):
            gather_state(strategy)
            if distributed.is_first():
                state.checkpoints.write(number, 0, state.of(strategy))
        if plugin is not None and number == first:
            plugin.resume_at(iteration)
        strategy.train(units[number], eval_streams=[], **options)
        strategy.eval(benchmark.test_stream, **options)
        garbage.collect()


class Garbage:
    """Collects what an experience leaves behind, at no more than a twentieth of the time.

    The figures of its evaluation refer to themselves, some 17,000 objects and 10 MB an experience, and Python looks through its
    oldest objects only once a quarter as many are new: after ten experiences or more, beside the half million of the imports.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def collect(self) -> None:
        if (began := time.perf_counter()) >= self._next:
            gc.collect()
            ended = time.perf_counter()
            self._next = ended + 20 * (ended - began)


def _units(strategy: Any, benchmark: CLScenario, config: RunConfig) -> Sequence[Any]:
    """What each call of `train` gets."""
    if isinstance(strategy, ZeroShot) and not config.class_incremental:
        return []
    return [benchmark.train_stream] if isinstance(strategy, Joint) else list(benchmark.train_stream)
