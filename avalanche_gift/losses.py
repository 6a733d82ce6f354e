"""The losses of GIFT as pure functions on tensors (paper Eq. 1-5; `B` pairs, `K` classes, `D` embedding width).

Features are L2-normalised rows. `logit_scale` is the multiplier itself (about 100 for CLIP), not its logarithm.
Tensors that could be swapped by mistake are keyword-only.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

MASKED_LOGIT = -1e4
"""What stands in a column that is no class of its row: finite, so that a KL over such rows stays finite too."""


def contrastive_logits(*, image_features: Tensor, text_features: Tensor, logit_scale: Tensor | float) -> Tensor:
    """Scaled cosine similarities of every image with every text (Eq. 1).

    image_features: [N, D], text_features: [M, D]. Returns [N, M], row i for image i.
    """
    return logit_scale * image_features @ text_features.t()


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0, *, reduction: str = "mean") -> Tensor:
    """Cross-entropy with label smoothing over the classes that each row really has.

    logits: [B, K], where a column holding `MASKED_LOGIT` is no class of that row: it gets neither probability nor a share
    of the smoothing. labels: [B], column numbers. Without masked columns this is
    `torch.nn.functional.cross_entropy(logits, labels, label_smoothing=...)`. Returns a scalar in nats, the mean;
    with reduction `none` one value per row, [B], with `sum` their sum. ValueError for another reduction.
    """
    if reduction not in ("mean", "none", "sum"):
        raise ValueError(f"expected reduction 'mean', 'none' or 'sum', got {reduction!r}")
    log_probabilities = F.log_softmax(logits, dim=1)
    own_class = logits > MASKED_LOGIT / 2
    of_label = log_probabilities.gather(1, labels[:, None]).squeeze(1)
    over_classes = log_probabilities.where(own_class, 0.0).sum(1) / own_class.sum(1)
    gains = (1 - label_smoothing) * of_label + label_smoothing * over_classes
    return -(gains if reduction == "none" else gains.sum() if reduction == "sum" else gains.mean())


def soft_cross_entropy(*, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean over rows of the student's cross-entropy under the teacher's softmax. Both [N, M]; the teacher is constant."""
    targets = teacher_logits.detach().softmax(dim=1)
    return -(targets * student_logits.log_softmax(dim=1)).sum(dim=1).mean()


def contrastive_distillation(
    *,
    student_logits: Tensor,
    teacher_logits: Tensor,
    temperature: float = 2.0,
    over_texts: bool = True,
    over_images: bool = True,
) -> Tensor:
    """Cross-entropy of the student under the teacher's soft targets, over rows and over columns (Eq. 2-4).

    student_logits: [B, B], images by texts, scaled by logit_scale; carries gradient. [B, N] with reference texts.
    teacher_logits: the same shape and scale; constant.
    over_texts, over_images: whether the rows (a softmax over the texts for each image) and the columns count.
    Returns a scalar in nats, times temperature squared. Holds the teacher's entropy, so it is not zero at agreement;
    its gradient is that of KL(teacher || student).
    Raises ValueError where the shapes differ or the temperature is not positive.
    """
    _check_distillation(student_logits, teacher_logits, temperature)
    student, teacher = student_logits / temperature, teacher_logits / temperature
    loss = student.new_zeros(())
    if over_texts:
        loss = loss + soft_cross_entropy(student_logits=student, teacher_logits=teacher)
    if over_images:
        loss = loss + soft_cross_entropy(student_logits=student.t(), teacher_logits=teacher.t())
    return temperature**2 * loss


def reverse_kl_distillation(*, student_logits: Tensor, teacher_logits: Tensor, temperature: float = 2.0) -> Tensor:
    """KL(student || teacher), over rows and over columns, times temperature squared: the reference code's KL switch.

    Shapes, gradient and errors as in `contrastive_distillation`; zero at agreement.
    """
    _check_distillation(student_logits, teacher_logits, temperature)
    student, teacher = student_logits / temperature, teacher_logits.detach() / temperature
    rows = _kl(student, teacher)
    columns = _kl(student.t(), teacher.t())
    return temperature**2 * (rows + columns)


def feature_distillation(
    *,
    student_image_features: Tensor,
    teacher_image_features: Tensor,
    student_text_features: Tensor,
    teacher_text_features: Tensor,
) -> Tensor:
    """Mean squared difference of the embeddings, images plus texts (Table 4a, "feature distance").

    All [B, D], normalised; the teacher's are constant. The means run over all B x D elements.
    """
    images = F.mse_loss(student_image_features, teacher_image_features.detach())
    texts = F.mse_loss(student_text_features, teacher_text_features.detach())
    return images + texts


def image_text_alignment(*, student_logits: Tensor, label_smoothing: float = 0.2) -> Tensor:
    """Cross-entropy of each image with its own text and of each text with its own image (Eq. 5).

    student_logits: [B, B], row i and column i of one pair; carries gradient. Returns a scalar in nats, the sum of both
    directions. The targets are the identity. The reference spreads them evenly over equal prompts; equal prompts have equal
    text features, which makes both the same in value and gradient.
    Raises ValueError where the matrix is not square.
    """
    if student_logits.dim() != 2 or student_logits.shape[0] != student_logits.shape[1]:
        raise ValueError(f"expected one text per image, a square matrix, got logits of shape {tuple(student_logits.shape)}")
    pairs = torch.arange(len(student_logits), device=student_logits.device)
    images = F.cross_entropy(student_logits, pairs, label_smoothing=label_smoothing)
    texts = F.cross_entropy(student_logits.t(), pairs, label_smoothing=label_smoothing)
    return images + texts


def _kl(logits: Tensor, reference_logits: Tensor) -> Tensor:
    log_probabilities = logits.log_softmax(dim=1)
    difference = log_probabilities - reference_logits.log_softmax(dim=1)
    return (log_probabilities.exp() * difference).sum(dim=1).mean()


def _check_distillation(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> None:
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"expected student and teacher logits of one shape, got {tuple(student_logits.shape)} "
            f"and {tuple(teacher_logits.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"expected a positive temperature, got {temperature}")
