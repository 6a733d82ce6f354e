"""Strategies: plugins put together, ready for an Avalanche script."""

from functools import partial
from typing import Any

from avalanche_gift.training.avalanche_strategies import AVALANCHE_STRATEGIES, avalanche_strategy
from avalanche_gift.training.criterion import ClassificationLoss
from avalanche_gift.training.ewc import EWC
from avalanche_gift.training.ewc_v import EWCV
from avalanche_gift.training.gift import GIFT
from avalanche_gift.training.icarl import ICaRL
from avalanche_gift.training.joint import Joint
from avalanche_gift.training.l2 import L2
from avalanche_gift.training.lwf import LwF, LwFVR
from avalanche_gift.training.moe_adapters import MoEAdapters
from avalanche_gift.training.template import FineTune
from avalanche_gift.training.wise_ft import WiSEFT
from avalanche_gift.training.zero_shot import ZeroShot
from avalanche_gift.training.zscl import ZSCL

STRATEGIES: dict[str, Any] = {
    "zero-shot": ZeroShot,
    "finetune": FineTune,
    "joint": Joint,
    "l2": L2,
    "ewc": EWC,
    "ewc-v": EWCV,
    "lwf": LwF,
    "lwf-vr": LwFVR,
    "icarl": ICaRL,
    "wise-ft": WiSEFT,
    "zscl": ZSCL,
    "moe-adapters": MoEAdapters,
    "gift": GIFT,
    **{name: partial(avalanche_strategy, name) for name in AVALANCHE_STRATEGIES},
}
"""By their names on the command line and in results. Avalanche's own take a stream and return one, too."""

__all__ = [
    "AVALANCHE_STRATEGIES",
    "EWC",
    "EWCV",
    "GIFT",
    "L2",
    "STRATEGIES",
    "ZSCL",
    "ClassificationLoss",
    "FineTune",
    "ICaRL",
    "Joint",
    "LwF",
    "LwFVR",
    "MoEAdapters",
    "WiSEFT",
    "ZeroShot",
    "avalanche_strategy",
]
