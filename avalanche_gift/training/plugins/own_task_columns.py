"""Evaluates a classifier of all classes among those of the task alone."""

from typing import Any

import torch
from avalanche.core import SupervisedPlugin

from avalanche_gift.losses import MASKED_LOGIT
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.stream_classes import StreamClasses, classes_of


class OwnTaskColumnsPlugin(SupervisedPlugin):
    """Masks, in evaluation, the logits of every class that is not of the task evaluated, unless `mask` is False.

    stream: the classes that the classifier was built for, column = label. The logits may have any number of columns from the
    task's last class on, and any meaning by which more is better (logits, negative distances).

    Raises ValueError for data of another stream, if the model has no texts to score other classes with (Avalanche's iCaRL).
    """

    supports_distributed = True

    def __init__(self, stream: StreamClasses, *, mask: bool = True):
        super().__init__()
        self.stream, self.mask = stream, mask

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        found = classes_of(strategy.experience)
        if found.stream != self.stream and not isinstance(strategy.model, CLIPClassifier):
            raise ValueError(
                f"expected data of the stream that {type(strategy).__name__} was built for ({self.stream}), got "
                f"({found.stream}): without texts it knows no other classes; evaluate those with a strategy on CLIP's texts"
            )

    def after_eval_forward(self, strategy: Any, **kwargs: Any) -> None:
        found = classes_of(strategy.experience)
        if not self.mask or found.stream != self.stream:
            return  # the model has scored another stream's images among their own classes
        own = torch.zeros(strategy.mb_output.shape[1], dtype=torch.bool, device=strategy.mb_output.device)
        own[list(found.stream.labels_of(found.numbers))] = True
        strategy.mb_output = strategy.mb_output.masked_fill(~own, MASKED_LOGIT)
