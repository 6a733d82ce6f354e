"""Learning without forgetting for CLIP: distillation on the current experience's pictures, with its texts or random ones."""

from typing import Any

import torch
from torch import Tensor

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.models.text_tower import trim
from avalanche_gift.names import check_name
from avalanche_gift.stream_classes import classes_of
from avalanche_gift.training.plugins.reference_distillation import ReferenceDistillationPlugin
from avalanche_gift.training.seeds import combined_seed

TRANSFORMS = ("eval", "train")


class LwFPlugin(ReferenceDistillationPlugin):
    """Distils on the experience's own training images, in another order than the task's.

    transform: `eval`, the evaluation transform, as the reference has it on MTIL, or `train`, the random training transform, as
    its class-incremental code has it. The texts are the prompts of its classes, in the first template. Other arguments as
    `ReferenceDistillationPlugin`, without pictures and texts.
    """

    def __init__(self, *, transform: str = "eval", **kwargs: Any):
        super().__init__(**kwargs)
        self.transform = check_name("transform of the reference images", transform, TRANSFORMS)
        self.random_transform = transform == "train"

    def reference_pictures(self, strategy: Any) -> Any:
        """The training images in that transform."""
        dataset = strategy.experience.dataset
        return dataset.train() if self.transform == "train" else dataset.eval()

    def reference_texts(self, strategy: Any) -> Any:
        """A prompt a class."""
        return classes_of(strategy.experience).first_prompts


class LwFVRPlugin(LwFPlugin):
    """LwF with random texts, drawn once an experience (`random_texts`). count: how many; words: tokens in each."""

    def __init__(self, *, count: int = 1000, words: int = 10, **kwargs: Any):
        super().__init__(**kwargs)
        if count < 1 or words < 1:
            raise ValueError(f"expected at least one random text of at least one token, got {count} of {words}")
        self.count, self.words = count, words

    def reference_texts(self, strategy: Any) -> Tensor:
        """Token ids [count, L]."""
        seed = combined_seed(self.seed, strategy.clock.train_exp_counter)
        return random_texts(strategy.model, self.count, self.words, seed=seed)


def random_texts(model: CLIPClassifier, count: int, words: int, *, seed: int) -> Tensor:
    """`count` rows of token ids [count, L]: the tokenizer's start, `words` ids uniform in its vocabulary, its end, padding.

    The reference draws from all ids, the special ones included. Fewer words where the context has no room for them. Raises
    ValueError for a tokenizer that puts nothing around an empty text.
    """
    empty = model.tokenizer([""])[0]
    context, padding = len(empty), int(empty[-1])
    frame = empty[: int((empty != padding).sum())].tolist()
    if not frame:
        raise ValueError("expected a tokenizer that marks the end of an empty text, got only padding")
    words = min(words, context - len(frame))
    vocabulary = model.clip.token_embedding.num_embeddings
    rows = torch.full((count, context), padding)
    rows[:, : len(frame) - 1] = torch.tensor(frame[:-1], dtype=torch.long)
    generator = torch.Generator().manual_seed(seed)
    rows[:, len(frame) - 1 : len(frame) - 1 + words] = torch.randint(vocabulary, (count, words), generator=generator)
    rows[:, len(frame) - 1 + words] = frame[-1]
    return trim(model.clip, rows)
