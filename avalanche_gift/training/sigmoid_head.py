"""CLIP as Avalanche's iCaRL wants it: a tower that gives features, and a layer of constant width over them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.stream_classes import classes_of

SCALE, BIAS = 10.0, -10.0
"""Where SigLIP begins its sigmoid over cosines; with CLIP's own scale of 100 it would saturate."""


class ImageTower(nn.Module):
    """[N, 3, H, W] -> normalised image features [N, D]."""

    def __init__(self, model: CLIPClassifier):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode_image(images)


class SigmoidHead(nn.Linear):
    """[N, D] -> logits [N, K] for a sigmoid a class."""

    @classmethod
    @torch.no_grad()
    def from_texts(cls, model: CLIPClassifier, experiences: Sequence[Any]) -> "SigmoidHead":
        """Begins as the texts of all classes of a stream, in their first template; it is trained on."""
        prompts = [prompt for experience in experiences for prompt in classes_of(experience).first_prompts]
        device = model.logit_scale.device
        features = torch.cat([model.encode_text(part.to(device)) for part in model.tokenize(prompts).split(256)])
        head = cls(features.shape[1], len(prompts))
        head.weight.copy_(SCALE * features)
        head.bias.fill_(BIAS)
        return head
