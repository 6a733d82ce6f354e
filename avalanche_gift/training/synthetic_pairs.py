"""The image-text pairs of one experience: pictures as bytes, prompts as tokens, the teacher's embeddings of both."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from avalanche_gift import distributed
from avalanche_gift.generation import picture_seed
from avalanche_gift.losses import contrastive_logits
from avalanche_gift.models import CLIPClassifier, PicturePreparation
from avalanche_gift.models.text_tower import trim
from avalanche_gift.modes import evaluation_mode
from avalanche_gift.prompts import PromptSampler
from avalanche_gift.training.teacher import FixedTeacher, Teacher

ENCODING_CHUNK = 256


@dataclass(frozen=True)
class SyntheticBatch:
    """What a synthetic loss sees: B pairs, encoded. All features [B, D], normalised; row i of each belongs to pair i.

    The student's carry gradient; the teacher's are constant, None without a teacher. Where only one tower of the student
    sees the pairs, the other's features are the teacher's.
    """

    image_features: Tensor
    text_features: Tensor
    teacher_image_features: Tensor | None
    teacher_text_features: Tensor | None
    logit_scale: Tensor

    @cached_property
    def student_logits(self) -> Tensor:
        """[B, B], images by texts, scaled."""
        return contrastive_logits(
            image_features=self.image_features, text_features=self.text_features, logit_scale=self.logit_scale
        )


def obtain_pairs(
    source: Any,
    *,
    pool: Callable[[], list[str]],
    sampler: PromptSampler,
    own_prompts: Collection[str],
    count: int,
    drawn: int | None = None,
    position: int,
    name: str | None = None,
    first: int = 0,
    seed: int,
) -> tuple[list[Any], list[str]]:
    """`count` pictures with their prompts. A source of existing pairs gives its own; a generator follows drawn prompts.

    drawn: prompts taken from the sampler, of which the first `count` are used; the same number where None. first: the number
    of the first picture within the experience, which decides its seed. A source with `pairs_of(position, count, name)` holds
    the pictures of each experience already.
    """
    if callable(getattr(source, "pairs_of", None)):
        pictures, prompts = source.pairs_of(position, count, name)
    elif callable(getattr(source, "pairs", None)):
        pictures, prompts = source.pairs(count, seed=picture_seed(position, 0, seed), exclude=own_prompts)
    else:
        prompts = sampler.draw(pool(), max(count, drawn or 0))[:count]
        pictures = _generate(source, prompts, [picture_seed(position, first + index, seed) for index in range(count)])
    if not len(pictures) or len(pictures) != len(prompts):
        raise ValueError(
            f"expected one picture for each of {len(prompts)} prompts, got {len(pictures)} from {type(source).__name__}"
        )
    return list(pictures), list(prompts)


def _generate(source: Any, prompts: list[str], seeds: list[int]) -> Sequence[Any]:
    """A picture a prompt. Of several processes each makes its share; then they hand each other the pixels."""
    if distributed.size() == 1 or len(prompts) < distributed.size():
        return source.generate(prompts, seeds)
    own = distributed.own_share(len(prompts))
    made = torch.stack([pil_to_tensor(picture.convert("RGB")) for picture in source.generate(prompts[own], seeds[own])])
    return [to_pil_image(pixels) for part in distributed.gather(made, len(prompts)) for pixels in part]


class SyntheticPairs:
    """N pairs. Equal prompts are tokenised, encoded and kept once."""

    def __init__(self, pictures: Sequence[Any], prompts: Sequence[str], model: CLIPClassifier):
        distinct = list(dict.fromkeys(prompts))
        number = {prompt: index for index, prompt in enumerate(distinct)}
        self.preparation = PicturePreparation(model.eval_transform)
        self.images = self.preparation.stack(pictures)
        self.tokens = model.tokenize(distinct)
        self.prompt_index = torch.tensor([number[prompt] for prompt in prompts])
        self._teacher_images: Tensor | None = None
        self._teacher_texts: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @torch.no_grad()
    def encode_by(self, teacher: Teacher | FixedTeacher, student: CLIPClassifier, device: torch.device) -> None:
        """Computes the teacher's embeddings, once an experience: its transform is deterministic, its weights are fixed."""
        if teacher.initial_share is None:
            return
        model = teacher.model(student)
        images, tokens = self.images.split(ENCODING_CHUNK), self.tokens.split(ENCODING_CHUNK)
        with evaluation_mode(model):  # mostly the student itself, whose modes and statistics are its own
            features = [model.encode_image(self.preparation.model_input(part.to(device))) for part in images]
            self._teacher_images = torch.cat(features)
            self._teacher_texts = torch.cat([model.encode_text(part.to(device)) for part in tokens])

    def batch(self, rows: Tensor, student: CLIPClassifier, towers: Sequence[str], device: torch.device) -> SyntheticBatch:
        """Encodes the pairs `rows` by the student's `towers`; equal prompts once."""
        prompts = self.prompt_index[rows]
        teacher_images = None if self._teacher_images is None else self._teacher_images[rows.to(device)]
        teacher_texts = None if self._teacher_texts is None else self._teacher_texts[prompts.to(device)]
        images, texts = teacher_images, teacher_texts
        if "text" in towers:  # first, as in `CLIPClassifier.forward`
            distinct, place = prompts.unique(return_inverse=True)
            tokens = trim(student.clip, self.tokens[distinct])  # the longest prompt of this batch, not of the task
            texts = student.encode_text(tokens.to(device))[place.to(device)]
        if "image" in towers:
            images = student.encode_image(self.preparation.model_input(self.images[rows].to(device)))
        assert images is not None and texts is not None
        return SyntheticBatch(images, texts, teacher_images, teacher_texts, student.logit_scale.detach())
