"""WiSE-FT: fine-tuning, then averaging with the weights before."""

from typing_extensions import Unpack

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.training.options import FineTuneOptions
from avalanche_gift.training.plugins import WiSEFTPlugin
from avalanche_gift.training.template import FineTune


class WiSEFT(FineTune):
    """After each experience a share of the weights that it began with comes back (`WiSEFTPlugin`). The rest as `FineTune`."""

    def __init__(self, model: CLIPClassifier, *, share: float = 0.2, **base_kwargs: Unpack[FineTuneOptions]):
        super().__init__(model=model, method_plugins=[WiSEFTPlugin(share)], **base_kwargs)
