"""The l2 baseline: fine-tuning with a plain pull towards the weights that the experience began with."""

from typing_extensions import Unpack

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.training.options import FineTuneOptions
from avalanche_gift.training.plugins import L2ConsolidationPlugin
from avalanche_gift.training.template import FineTune


class L2(FineTune):
    """`cross-entropy + l2_weight * sum (theta - theta_prev)^2`. Other arguments as `FineTune`."""

    def __init__(self, model: CLIPClassifier, *, l2_weight: float = 1.0, **base_kwargs: Unpack[FineTuneOptions]):
        super().__init__(model=model, method_plugins=[L2ConsolidationPlugin(l2_weight)], **base_kwargs)
