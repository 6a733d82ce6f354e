"""A progress bar an experience."""

import sys
from typing import Any

from avalanche.core import SupervisedPlugin
from tqdm import tqdm


class ProgressPlugin(SupervisedPlugin):
    """Shows the iterations of each experience and the loss on standard error; one line at its end where that is no terminal."""

    supports_distributed = True

    def __init__(self, label: str = ""):
        super().__init__()
        self.label = label
        self._bar: tqdm | None = None

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        if self._bar is None:
            self._bar = self._begin(strategy)
        if self._bar.update():
            self._bar.set_postfix_str(f"loss {float(strategy.loss):.3f}", refresh=False)

    def _begin(self, strategy: Any) -> tqdm:
        experience = strategy.experience
        name = getattr(experience, "task_name", experience.current_experience)
        # Far apart in a log file, where every refresh is a line.
        interval = 0.5 if sys.stderr.isatty() else 30.0
        return tqdm(
            desc=f"{self.label} {name}".strip(),
            total=len(strategy.dataloader),
            initial=strategy.clock.train_exp_iterations,
            mininterval=interval,
            unit="it",
        )

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
