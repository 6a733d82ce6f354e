"""Evaluates a classifier of all classes among those of the experience alone."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from avalanche.core import SupervisedPlugin

from avalanche_gift.losses import MASKED_LOGIT


class OwnTaskColumnsPlugin(SupervisedPlugin):
    """Masks, in evaluation, the logits of every class that is not of the experience evaluated.

    counts: classes of each experience; labels run on through the stream. The logits may have any number of columns from the
    experience's last class on, and any meaning by which more is better (logits, negative distances).
    """

    supports_distributed = True

    def __init__(self, counts: Sequence[int]):
        super().__init__()
        self._ends = list(accumulate(counts))
        self._counts = list(counts)

    def after_eval_forward(self, strategy: Any, **kwargs: Any) -> None:
        end = self._ends[strategy.experience.current_experience]
        first = end - self._counts[strategy.experience.current_experience]
        columns = torch.arange(strategy.mb_output.shape[1], device=strategy.mb_output.device)
        strategy.mb_output = strategy.mb_output.masked_fill((columns < first) | (columns >= end), MASKED_LOGIT)
