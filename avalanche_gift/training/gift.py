"""GIFT: synthetic replay with contrastive distillation, alignment and adaptive weight consolidation."""

from collections.abc import Sequence
from typing import Any

from avalanche.core import BasePlugin
from torch import Tensor
from typing_extensions import Unpack

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.names import check_name
from avalanche_gift.training.options import GIFTCommonOptions
from avalanche_gift.training.plugins import (
    AdaptiveWeightConsolidationPlugin,
    ContrastiveDistillationPlugin,
    ImageTextAlignmentPlugin,
    L2ConsolidationPlugin,
    StaticFisherPlugin,
    SyntheticReplayPlugin,
)
from avalanche_gift.training.plugins.static_fisher import parse_static_fisher
from avalanche_gift.training.teacher import parse_teacher
from avalanche_gift.training.template import FineTune

DISTILLATION = {
    "contrastive": ("contrastive", ("image", "text")),
    "feature": ("feature", ("image", "text")),
    "image-only": ("contrastive", ("image",)),
    "text-only": ("contrastive", ("text",)),
    "reverse-kl": ("reverse-kl", ("image", "text")),
}
"""For each form: the loss, and the student's towers that see the synthetic pairs (Table 4a)."""


class GIFT(FineTune):
    """Continual fine-tuning of a vision-language model with synthetic data (CVPR 2025); the defaults are the paper's.

    A step clears the gradients, goes forward and backward on the synthetic pairs, adds the consolidation gradient weighted
    by what it finds, goes forward and backward on the task, and calls the optimiser once.

    synthetic: a generator (`generate(prompts, seeds) -> pictures`), a folder of pictures with prompts or in class folders, a
    diffusers text-to-image pipeline, or a policy (`generation.Ahead`, `PerTask`, `RegenerateEvery`) that says when pictures
    are made. Not needed where alpha and beta are both 0.
    alpha, beta: weights of distillation (Eq. 2-4) and alignment (Eq. 5). awc_weight, l2_weight: of adaptive weight
    consolidation (Eq. 6) and of its plain form. temperature: of distillation, whose loss carries the square.
    distillation: `contrastive`, `feature`, `image-only`, `text-only`, `reverse-kl`. teacher: `previous`, `initial`, `wise:R`.
    theta_initial: state dict of the pre-trained open_clip model, where training does not start from it.
    synthetic_images, synthetic_mb_size: pictures an experience, pairs a step. base_prompts: the broad vocabulary (ImageNet).
    prompts_drawn: as `SyntheticReplayPlugin`; 10,000 for the published prompts of MTIL order I.
    extend_pool: False draws prompts from the broad vocabulary alone, never of learned classes (Table 5, Synthetic†).
    static_fisher: EWC-V (Table 6), the weights of consolidation from so many synthetic pictures before each task, then
    fixed; `reference:N` as the released code has it (`StaticFisherPlugin`). None: anew at every step.
    The rest, and what is passed on as base_kwargs, as `FineTune`.

    The published runs with consolidation were probably made with alpha=2, beta=0.5, awc_weight=2: the code first released
    counted those terms twice.
    """

    def __init__(
        self,
        model: CLIPClassifier,
        *,
        synthetic: Any = None,
        alpha: float = 1.0,
        beta: float = 0.25,
        temperature: float = 2.0,
        awc_weight: float = 1.0,
        l2_weight: float = 0.0,
        distillation: str = "contrastive",
        teacher: str = "previous",
        theta_initial: dict[str, Tensor] | None = None,
        synthetic_images: int = 1000,
        synthetic_mb_size: int = 64,
        base_prompts: Sequence[str] | None = None,
        prompts_drawn: int | None = None,
        extend_pool: bool = True,
        static_fisher: int | str | None = None,
        label_smoothing: float = 0.2,
        seed: int = 42,
        **base_kwargs: Unpack[GIFTCommonOptions],
    ):
        check_name("distillation", distillation, DISTILLATION)
        parse_teacher(teacher)
        form, towers = DISTILLATION[distillation]
        losses: list[BasePlugin] = []
        if alpha != 0:
            losses.append(ContrastiveDistillationPlugin(alpha, temperature=temperature, form=form))
        if beta != 0:
            losses.append(ImageTextAlignmentPlugin(beta, label_smoothing=label_smoothing))
        if awc_weight != 0 and not losses:
            raise ValueError(
                "adaptive weight consolidation takes its weights from the gradient of distillation or alignment, but alpha "
                "and beta are both 0; set awc_weight=0, or use l2_weight"
            )
        if static_fisher is not None and not parse_static_fisher(static_fisher)[1] and beta == 0:
            raise ValueError(
                "a Fisher measured before a task has only the gradient of alignment, since the student still is its teacher; "
                "expected beta > 0 with static_fisher, got 0"
            )
        if losses and synthetic is None:
            raise ValueError("expected synthetic=... (a generator, a folder or a diffusers pipeline), got None")
        plugins: list[BasePlugin] = []
        if losses:
            replay = SyntheticReplayPlugin(
                synthetic,
                images=synthetic_images,
                batch_size=synthetic_mb_size,
                teacher=teacher if alpha != 0 or len(towers) == 1 else None,
                theta_initial=theta_initial,
                towers=towers,
                base_prompts=base_prompts,
                prompts_drawn=prompts_drawn,
                extend_pool=extend_pool,
                seed=seed,
            )
            plugins = [replay, *losses]
        if awc_weight != 0 and static_fisher is None:
            plugins.append(AdaptiveWeightConsolidationPlugin(awc_weight))
        elif awc_weight != 0 and static_fisher is not None:
            plugins.append(StaticFisherPlugin(awc_weight, static_fisher=static_fisher, batch_size=synthetic_mb_size))
        if l2_weight != 0:
            plugins.append(L2ConsolidationPlugin(l2_weight))
        super().__init__(model=model, label_smoothing=label_smoothing, seed=seed, method_plugins=plugins, **base_kwargs)
