"""Elastic weight consolidation, online."""

from typing_extensions import Unpack

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.training.options import UnseededOptions
from avalanche_gift.training.plugins import OnlineEWCPlugin
from avalanche_gift.training.template import FineTune


class EWC(FineTune):
    """`cross-entropy + ewc_weight * sum F (theta - theta_prev)^2` from the second experience on (`OnlineEWCPlugin`).

    decay: of F from one experience to the next. fisher_images, fisher_mb_size: as the plugin's. The rest as `FineTune`.
    """

    def __init__(
        self,
        model: CLIPClassifier,
        *,
        ewc_weight: float = 1.0,
        decay: float = 1.0,
        fisher_images: int | None = None,
        fisher_mb_size: int | None = None,
        seed: int = 42,
        **base_kwargs: Unpack[UnseededOptions],
    ):
        plugin = OnlineEWCPlugin(ewc_weight, decay=decay, batch_size=fisher_mb_size, images=fisher_images, seed=seed)
        super().__init__(model=model, seed=seed, method_plugins=[plugin], **base_kwargs)
