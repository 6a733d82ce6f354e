"""From pictures to model input, in two exact steps: resize and crop once, normalise on the device every time."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import Compose, Normalize, PILToTensor, ToTensor


class PicturePreparation:
    """A deterministic transform, cut where its pictures are still bytes.

    open_clip's evaluation transforms end in ToTensor and Normalize. What comes before gives 8-bit pictures, so those can be
    kept at a quarter of the memory without changing a bit of the result. A transform of another make is kept whole.
    """

    def __init__(self, transform: Callable[[Any], Any]):
        steps = transform.transforms if isinstance(transform, Compose) else []
        self._normalize: Normalize | None = None
        self._prepare = transform
        if len(steps) >= 2 and isinstance(steps[-2], ToTensor) and isinstance(steps[-1], Normalize):
            self._normalize = steps[-1]
            self._prepare = Compose([*steps[:-2], PILToTensor()])

    def stack(self, pictures: Sequence[Any]) -> Tensor:
        """Pictures -> [N, 3, H, W], uint8 where the transform allows it."""
        return torch.stack([self._prepare(picture) for picture in pictures])

    def model_input(self, batch: Tensor) -> Tensor:
        """[B, 3, H, W] of `stack`, on any device -> what the model reads."""
        return batch if self._normalize is None else self._normalize(batch.to(torch.float32).div(255))

    def compact(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] of model input -> bytes, where `model_input` gives every picture back bit by bit; else as they are."""
        if self._normalize is None:
            return images
        mean, std = (torch.as_tensor(value)[:, None, None].to(images) for value in (self._normalize.mean, self._normalize.std))
        pictures = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        return pictures if torch.equal(self.model_input(pictures), images) else images
