"""GIFT's training step as its reference takes it, slow on purpose: what `step.py` measures against and tests compare with.

The teacher sees every batch anew, all texts have the full context, equal prompts are encoded as often as they occur, the graph
of the task stays alive through the synthetic pass, and the penalty is differentiated by autograd with its Fisher weights beside
the gradients. Formulas are written out here; nothing of `avalanche_gift` is used.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor


class PlainStep:
    """Trains `clip`, an open_clip CLIP, in place; the copy made here is the teacher and theta_prev (the reference has two).

    lr: the base rate of a schedule over `iterations`. alpha, beta, awc_weight: of distillation, alignment and consolidation.
    """

    def __init__(
        self,
        clip: Any,
        *,
        lr: float = 1e-5,
        iterations: int = 1000,
        warmup: int = 100,
        alpha: float = 1.0,
        beta: float = 0.25,
        awc_weight: float = 1.0,
        temperature: float = 2.0,
        label_smoothing: float = 0.2,
    ):
        self.clip = clip
        self.teacher = copy.deepcopy(clip).requires_grad_(False)
        pairs = zip(clip.named_parameters(), self.teacher.parameters(), strict=True)
        self.trained = [(parameter, anchor) for (name, parameter), anchor in pairs if name != "logit_scale"]
        self.optimizer = torch.optim.AdamW([parameter for parameter, _ in self.trained], lr=lr, weight_decay=0.0)
        self.lr, self.iterations, self.warmup = lr, iterations, warmup
        self.alpha, self.beta, self.awc_weight = alpha, beta, awc_weight
        self.temperature, self.label_smoothing = temperature, label_smoothing

    def __call__(
        self,
        iteration: int,
        *,
        images: Tensor,
        labels: Tensor,
        class_tokens: Tensor,
        synthetic_images: Tensor,
        prompt_tokens: Tensor,
    ) -> dict[str, Tensor]:
        """One update. images: [B, 3, H, W]; class_tokens: [K, context]; prompt_tokens: [S, context], a row a synthetic picture.

        Returns the loss terms, scalars in nats.
        """
        terms = {"cross_entropy": self._cross_entropy(images, labels, class_tokens)}
        terms |= self._synthetic_terms(synthetic_images, prompt_tokens)
        self.optimizer.zero_grad()
        (terms["distillation"] + terms["alignment"]).backward()
        terms["awc"] = self._penalty()
        (terms["cross_entropy"] + terms["awc"]).backward()
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(iteration)
        self.optimizer.step()
        return {name: term.detach() for name, term in terms.items()}

    def _cross_entropy(self, images: Tensor, labels: Tensor, class_tokens: Tensor) -> Tensor:
        logits = _logits(self.clip, images, class_tokens)
        one_hot = torch.zeros_like(logits).scatter(1, labels[:, None], 1.0)
        return _mean_cross_entropy(self._smooth(one_hot), logits)

    def _synthetic_terms(self, images: Tensor, prompt_tokens: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            teacher = _logits(self.teacher, images, prompt_tokens)
        student = _logits(self.clip, images, prompt_tokens)
        softened = self.temperature**2 * sum(
            _mean_cross_entropy((a / self.temperature).softmax(1), b / self.temperature)
            for a, b in ((teacher, student), (teacher.t(), student.t()))
        )
        same = (prompt_tokens[:, None] == prompt_tokens[None]).all(2).to(student)
        targets = self._smooth(same / same.sum(1, keepdim=True))
        aligned = _mean_cross_entropy(targets, student) + _mean_cross_entropy(targets, student.t())
        return {"distillation": self.alpha * softened, "alignment": self.beta * aligned}

    def _penalty(self) -> Tensor:
        """Sum of F (theta - theta_prev)^2, F from the gradient that stands in `.grad`."""
        terms = []
        for parameter, anchor in self.trained:
            if parameter.grad is None:
                fisher = torch.full_like(anchor, 1e-6)
            else:
                squares = parameter.grad.detach() ** 2
                mean = squares.mean()
                fisher = torch.where(mean > 0, squares / mean, torch.zeros_like(squares))
            terms.append((fisher * (parameter - anchor) ** 2).sum())
        return self.awc_weight * torch.stack(terms).sum()

    def _smooth(self, targets: Tensor) -> Tensor:
        return (1 - self.label_smoothing) * targets + self.label_smoothing / targets.shape[1]

    def _rate(self, iteration: int) -> float:
        if iteration < self.warmup:
            return self.lr * (iteration + 1) / self.warmup
        return 0.5 * self.lr * (1 + math.cos(math.pi * (iteration - self.warmup) / (self.iterations - self.warmup)))


def _logits(clip: Any, images: Tensor, tokens: Tensor) -> Tensor:
    image_features = clip.encode_image(images, normalize=True)
    text_features = clip.encode_text(tokens, normalize=True)
    return clip.logit_scale.detach().exp() * image_features @ text_features.t()


def _mean_cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(1)).sum(1).mean()
