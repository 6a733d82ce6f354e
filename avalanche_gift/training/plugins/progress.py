"""Progress bars of training and evaluation."""

from typing import Any

from avalanche.core import SupervisedPlugin
from tqdm import tqdm

from avalanche_gift.distributed import is_first
from avalanche_gift.names import printable


class ProgressPlugin(SupervisedPlugin):
    """Shows the iterations of each experience and the loss on standard error, and the batches of a long evaluation.

    Says nothing where that is no terminal; of several processes the first shows them.
    """

    supports_distributed = True

    def __init__(self, label: str = ""):
        super().__init__()
        self.label = label
        self._bar: tqdm | None = None
        self._evaluation: tqdm | None = None

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        if self._bar is None:
            self._bar = self._begin(strategy, initial=strategy.clock.train_exp_iterations)
        if self._bar.update():
            self._bar.set_postfix_str(f"loss {float(strategy.loss):.3f}", refresh=False)

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        if self._evaluation is None:
            self._evaluation = self._begin(strategy, "tested on", leave=False, delay=2)
        self._evaluation.update()

    def after_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        if self._evaluation is not None:
            self._evaluation.close()
        self._evaluation = None

    def _begin(self, strategy: Any, words: str = "", **options: Any) -> tqdm:
        experience = strategy.experience
        name = getattr(experience, "task_name", experience.current_experience)
        description = " ".join(filter(None, [self.label, words, printable(name)]))
        options["disable"] = None if is_first() else True  # None: no bar where standard error is no terminal
        return tqdm(desc=description, total=len(strategy.dataloader), mininterval=0.5, unit="it", **options)
