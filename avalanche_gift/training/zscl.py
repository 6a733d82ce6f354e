"""ZSCL: distillation from the initial model on reference pictures and texts, and an ensemble of weights."""

import os
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from typing_extensions import Unpack

from avalanche_gift.benchmarks.references import FolderPictures, read_texts
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.prompts import imagenet_prompts
from avalanche_gift.training.options import UnseededOptions
from avalanche_gift.training.plugins import L2ConsolidationPlugin, ReferenceDistillationPlugin, WeightEnsemblePlugin
from avalanche_gift.training.template import FineTune


class ZSCL(FineTune):
    """`cross-entropy + weight [D(A -> M) + D(A' -> M')] + l2_weight sum (theta - theta_prev)^2`, then the weight ensemble.

    pictures: a folder, whose pictures are found however deep they lie (ImageNet's train folder), or any map-style data set
    (torchvision's, whose labels are passed over); they need not match the texts.
    texts: a file of captions (`read_texts`), or a list of captions or class prompts; "a photo of a {c}." for the classes of
    ImageNet where None. One too long for the model is cut, as in the reference, but keeps an end token.
    ensemble_every: iterations from one snapshot to the next (100; 10 in the class-incremental code), None for no ensemble.
    l2_weight=0 is ZSCL*. distillation_weight: 1 on MTIL, 5 in the class-incremental code.
    teacher, theta_initial, temperature: as `ReferenceDistillationPlugin`. reference_mb_size: reference pictures a step.
    Other arguments as `FineTune`.
    """

    def __init__(
        self,
        model: CLIPClassifier,
        *,
        pictures: Any = None,
        texts: str | os.PathLike[str] | Sequence[str] | None = None,
        distillation_weight: float = 1.0,
        temperature: float = 2.0,
        l2_weight: float = 1.0,
        ensemble_every: int | None = 100,
        teacher: str = "initial",
        theta_initial: dict[str, Tensor] | None = None,
        reference_mb_size: int = 64,
        seed: int = 42,
        **base_kwargs: Unpack[UnseededOptions],
    ):
        plugins: list[Any] = []
        if distillation_weight != 0:
            if pictures is None:
                raise ValueError("expected pictures=... for ZSCL (a folder or a data set of reference pictures), got None")
            distil = ReferenceDistillationPlugin(
                FolderPictures(pictures) if isinstance(pictures, str | os.PathLike) else pictures,
                model.tokenizer(_sentences(texts)),
                weight=distillation_weight,
                teacher=teacher,
                theta_initial=theta_initial,
                temperature=temperature,
                batch_size=reference_mb_size,
                seed=seed,
            )
            plugins.append(distil)
        if l2_weight != 0:
            plugins.append(L2ConsolidationPlugin(l2_weight))
        if ensemble_every is not None:
            plugins.append(WeightEnsemblePlugin(ensemble_every))
        super().__init__(model=model, seed=seed, method_plugins=plugins, **base_kwargs)


def _sentences(texts: str | os.PathLike[str] | Sequence[str] | None) -> list[str]:
    if texts is None:
        return imagenet_prompts()
    return read_texts(texts) if isinstance(texts, str | os.PathLike) else list(texts)
