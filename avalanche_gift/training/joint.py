"""All experiences at once: the upper bound."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from avalanche.benchmarks.utils import concat_datasets

from avalanche_gift.schedule import usual_warmup
from avalanche_gift.training.length import TrainingLength
from avalanche_gift.training.plugins import IterationsPlugin, WarmupCosinePlugin
from avalanche_gift.training.template import FineTune


class Joint(FineTune):
    """Trains once, on the pictures of all experiences together: `strategy.train(benchmark.train_stream)`.

    It makes as many iterations as the experiences one by one would, in one schedule with the warm-up of the longest, whose base
    rate is the mean of the experiences' rates. Where experiences have task labels, every batch has an equal share of
    each (Avalanche's balanced loader), and each row is compared with the classes of its own experience; otherwise batches
    are drawn from all pictures alike. To plugins and loggers it is one experience, the last of the stream.
    Arguments as `FineTune`. Raises RuntimeError where it is trained a second time.
    """

    experiences_at_once = 1
    """How many the training covered; metrics count by it."""

    def train(self, experiences: Any, eval_streams: Sequence[Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        """experiences: the whole train stream. Other arguments as Avalanche's."""
        if self.clock.train_exp_counter:
            raise RuntimeError("expected one call, train(benchmark.train_stream), of joint training; got a second one")
        self._together = list(experiences) if isinstance(experiences, Iterable) else [experiences]
        if not self._together:
            raise ValueError("expected at least one experience, got an empty stream")
        self.experiences_at_once = len(self._together)
        self._prepare()
        streams = [self._together] if eval_streams is None else eval_streams
        return super().train(self._together[-1], streams, **kwargs)

    def model_adaptation(self, model: Any = None) -> Any:
        """In training, shows the model the classes of all experiences."""
        if self.is_training:
            for experience in self._together:
                self.model.adaptation(experience)
        return super().model_adaptation(model)

    def train_dataset_adaptation(self, **kwargs: Any) -> None:
        """All pictures, in the training transform."""
        self.adapted_dataset = concat_datasets([experience.dataset.train() for experience in self._together])

    def _prepare(self) -> None:
        """Tells the plugins of every experience what they know of one."""
        for plugin in self.plugins:
            if isinstance(plugin, WarmupCosinePlugin):
                rates = [plugin.base_lr(experience, position) for position, experience in enumerate(self._together)]
                plugin.lr = fmean(rates)
                plugin.warmup = usual_warmup(max(self._lengths(plugin.length))) if plugin.warmup is None else plugin.warmup
            if isinstance(plugin, IterationsPlugin | WarmupCosinePlugin):
                plugin.length = TrainingLength(sum(self._lengths(plugin.length)))

    def _lengths(self, length: TrainingLength) -> list[int]:
        """Iterations that each experience would have by itself."""
        return [
            length.of(position, images=len(experience.dataset), batch_size=self.train_mb_size)
            for position, experience in enumerate(self._together)
        ]
