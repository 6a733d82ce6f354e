"""EWC-V: GIFT with a Fisher information that is measured once a task (Table 6)."""

from typing_extensions import Unpack

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.training.gift import GIFT
from avalanche_gift.training.options import GIFTOptions


class EWCV(GIFT):
    """`GIFT` with static_fisher: 64, 128 or 256 synthetic pictures in the paper, or `reference:N`. The rest as `GIFT`."""

    def __init__(self, model: CLIPClassifier, *, static_fisher: int | str = 64, **gift_kwargs: Unpack[GIFTOptions]):
        super().__init__(model=model, static_fisher=static_fisher, **gift_kwargs)
