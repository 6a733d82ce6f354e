"""The pre-trained model as it is."""

from typing import Any

from avalanche_gift.training.template import FineTune


class ZeroShot(FineTune):
    """Trains nothing: evaluation is zero-shot throughout. Other arguments as `FineTune`."""

    def training_epoch(self, **kwargs: Any) -> None:
        """No iterations; the clock goes on as if there were, so that curves have the positions of those of other strategies."""
        self.clock.train_iterations += len(self.dataloader)  # type: ignore[arg-type]
