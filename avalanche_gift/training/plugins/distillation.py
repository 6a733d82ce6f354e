"""Contrastive distillation on the pairs of `SyntheticReplayPlugin`."""

from typing import Any

from avalanche.core import SupervisedPlugin
from torch import Tensor

from avalanche_gift.losses import (
    contrastive_distillation,
    contrastive_logits,
    feature_distillation,
    reverse_kl_distillation,
)
from avalanche_gift.names import check_name
from avalanche_gift.training.plugins.requirements import require_synthetic_replay
from avalanche_gift.training.synthetic_pairs import SyntheticBatch

FORMS = ("contrastive", "feature", "reverse-kl")


class ContrastiveDistillationPlugin(SupervisedPlugin):
    """Holds the student's image-text similarities to the teacher's (Eq. 2-4).

    alpha: weight. form: `contrastive`, `feature` (distance of embeddings) or `reverse-kl`. temperature: of the softmaxes;
    the loss carries its square. Image-only and text-only distillation are `SyntheticReplayPlugin(towers=...)`.
    """

    supports_distributed = False

    def __init__(self, alpha: float = 1.0, *, temperature: float = 2.0, form: str = "contrastive"):
        super().__init__()
        if not alpha >= 0:
            raise ValueError(f"expected alpha >= 0, got {alpha}")
        if not temperature > 0:
            raise ValueError(f"expected a temperature above 0, got {temperature}")
        self.alpha, self.temperature, self.form = alpha, temperature, check_name("distillation form", form, FORMS)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        require_synthetic_replay(self, strategy)

    def synthetic_loss(self, strategy: Any, batch: SyntheticBatch) -> dict[str, Tensor]:
        """The term `distillation`, a scalar in nats (squared distance for `feature`)."""
        if batch.teacher_image_features is None or batch.teacher_text_features is None:
            raise ValueError("expected SyntheticReplayPlugin(teacher=...) for distillation, got teacher=None")
        if self.form == "feature":
            loss = feature_distillation(
                student_image_features=batch.image_features,
                teacher_image_features=batch.teacher_image_features,
                student_text_features=batch.text_features,
                teacher_text_features=batch.teacher_text_features,
            )
        else:
            distil = contrastive_distillation if self.form == "contrastive" else reverse_kl_distillation
            loss = distil(
                student_logits=batch.student_logits,
                teacher_logits=contrastive_logits(
                    image_features=batch.teacher_image_features,
                    text_features=batch.teacher_text_features,
                    logit_scale=batch.logit_scale,
                ),
                temperature=self.temperature,
            )
        return {"distillation": self.alpha * loss}
