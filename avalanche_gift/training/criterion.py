"""The task loss of the paper's protocol."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from avalanche_gift.losses import MASKED_LOGIT, smoothed_cross_entropy


class ClassificationLoss(nn.Module):
    """Cross-entropy with label smoothing over the classes a row really has (`losses.smoothed_cross_entropy`).

    Equal to `torch.nn.CrossEntropyLoss(label_smoothing=...)` where no column is masked. As there, `reduction` may be changed
    at any time: MIRPlugin sets it to `none` for a while.
    """

    def __init__(self, label_smoothing: float = 0.2, *, reduction: str = "mean"):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"expected label smoothing in [0, 1), got {label_smoothing}")
        self.label_smoothing, self.reduction = label_smoothing, reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits: [B, K], labels: [B]. Returns a scalar in nats, or with reduction `none` [B]."""
        return smoothed_cross_entropy(logits, labels, self.label_smoothing, reduction=self.reduction)


class OwnTaskLoss(nn.Module):
    """A loss that compares each row with the classes of its label's own experience, where labels run on through a stream.

    counts: classes of each experience. Columns may be those of a whole stream or of its first experiences.
    """

    def __init__(self, loss: nn.Module, counts: Sequence[int]):
        super().__init__()
        self.loss = loss
        self.owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits: [B, K], labels: [B]. Returns the loss with the other columns at `MASKED_LOGIT`."""
        owner = self.owner.to(logits.device)
        foreign = owner[None, : logits.shape[1]] != owner[labels][:, None]
        return self.loss(logits.masked_fill(foreign, MASKED_LOGIT), labels)
