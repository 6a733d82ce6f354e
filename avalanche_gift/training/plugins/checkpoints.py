"""Writes checkpoints along an experience, and goes on within one."""

from collections.abc import Callable
from typing import Any

from avalanche.core import SupervisedPlugin

from avalanche_gift import distributed
from avalanche_gift.interruption import Interrupted, Interruption
from avalanche_gift.training.checkpoint_files import Checkpoints
from avalanche_gift.training.plugins.loss_terms import check_weights
from avalanche_gift.training.state import gather_state, restore_strategy, strategy_state


class CheckpointPlugin(SupervisedPlugin):
    """Writes the strategy's state every `every` iterations. List it last, after `IterationsPlugin`.

    The states at the starts of experiences are the caller's to write (`avalanche_gift.run`), since evaluation lies between.
    interruption: asked after each iteration; where a signal came, a checkpoint is written and Interrupted raised. After the
    last one, too: the evaluation that follows may take longer than whoever sent the signal will wait.
    state_of: the state of a strategy, for whoever adds to it.
    Of several processes the first writes, and all stop at the same iteration.
    """

    supports_distributed = False

    def __init__(
        self,
        checkpoints: Checkpoints,
        *,
        every: int = 200,
        interruption: Interruption | None = None,
        state_of: Callable[[Any], dict[str, Any]] = strategy_state,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"expected at least one iteration from one checkpoint to the next, got {every}")
        self.checkpoints, self.every, self.state_of = checkpoints, every, state_of
        self.interruption = Interruption() if interruption is None else interruption
        self._resume_at = 0

    def resume_at(self, iteration: int) -> None:
        """The next experience begins as usual and then goes on after `iteration` iterations, as a checkpoint has them."""
        self._resume_at = iteration

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.interruption.deferred = True
        if not self._resume_at:
            return
        restore_strategy(strategy, self.checkpoints.read(strategy.clock.train_exp_counter, self._resume_at))
        strategy.dataloader.start = self._resume_at

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        done = strategy.clock.train_exp_iterations
        strategy.clock.train_epoch_iterations = done
        resumed, self._resume_at = self._resume_at, 0
        if not done or done == resumed:
            return
        self._stop_where_asked(strategy)
        if done % self.every == 0:
            self._write(strategy)

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self._resume_at = 0
        self._stop_where_asked(strategy)
        self.interruption.deferred = False

    def _stop_where_asked(self, strategy: Any) -> None:
        signal = distributed.agree(self.interruption.signal or 0)
        if signal:
            self._write(strategy)
            raise Interrupted(signal)

    def _write(self, strategy: Any) -> None:
        check_weights(strategy)
        gather_state(strategy)
        clock = strategy.clock
        if distributed.is_first():
            self.checkpoints.write(clock.train_exp_counter, clock.train_exp_iterations, self.state_of(strategy))
        distributed.wait()
