"""The task loss of the paper's protocol."""

from torch import Tensor, nn

from avalanche_gift.losses import smoothed_cross_entropy


class ClassificationLoss(nn.Module):
    """Cross-entropy with label smoothing over the classes a row really has (`losses.smoothed_cross_entropy`).

    Equal to `torch.nn.CrossEntropyLoss(label_smoothing=...)` where no column is masked.
    """

    def __init__(self, label_smoothing: float = 0.2):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"expected label smoothing in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits: [B, K], labels: [B]. Returns a scalar in nats."""
        return smoothed_cross_entropy(logits, labels, self.label_smoothing)
