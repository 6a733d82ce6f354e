"""Image-text alignment on the pairs of `SyntheticReplayPlugin`."""

from typing import Any

from avalanche.core import SupervisedPlugin
from torch import Tensor

from avalanche_gift.losses import image_text_alignment
from avalanche_gift.training.plugins.requirements import require_synthetic_replay
from avalanche_gift.training.synthetic_pairs import SyntheticBatch


class ImageTextAlignmentPlugin(SupervisedPlugin):
    """Keeps each synthetic picture with its own prompt (Eq. 5). beta: weight. label_smoothing: over the batch's texts."""

    supports_distributed = False

    def __init__(self, beta: float = 0.25, *, label_smoothing: float = 0.2):
        super().__init__()
        if not beta >= 0:
            raise ValueError(f"expected beta >= 0, got {beta}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"expected label smoothing in [0, 1), got {label_smoothing}")
        self.beta, self.label_smoothing = beta, label_smoothing

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        require_synthetic_replay(self, strategy)

    def synthetic_loss(self, strategy: Any, batch: SyntheticBatch) -> dict[str, Tensor]:
        """The term `alignment`, a scalar in nats."""
        loss = image_text_alignment(student_logits=batch.student_logits, label_smoothing=self.label_smoothing)
        return {"alignment": self.beta * loss}
