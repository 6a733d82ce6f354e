"""Strategies: plugins put together, ready for an Avalanche script."""

from avalanche_gift.training.criterion import ClassificationLoss
from avalanche_gift.training.gift import GIFT
from avalanche_gift.training.l2 import L2
from avalanche_gift.training.template import FineTune
from avalanche_gift.training.zero_shot import ZeroShot

STRATEGIES = {"zero-shot": ZeroShot, "finetune": FineTune, "l2": L2, "gift": GIFT}
"""By their names on the command line and in results."""

__all__ = ["GIFT", "L2", "STRATEGIES", "ClassificationLoss", "FineTune", "ZeroShot"]
