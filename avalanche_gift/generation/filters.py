"""Which synthetic pictures to leave out: those that a CLIP model finds least like their own prompt. Off unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Similarity = Callable[[Sequence[Any], Sequence[str]], Tensor]
"""Pictures and the pool's prompts -> their cosine similarities, [pictures, prompts]."""


def prompt_ranks(similarities: Tensor, own: Tensor) -> Tensor:
    """The rank of each picture's own prompt among the pool: 0 where none is nearer.

    similarities: [N, P]. own: [N], the column of each picture's prompt. Equal similarities don't count as nearer.
    """
    if similarities.ndim != 2 or own.shape != similarities.shape[:1]:
        raise ValueError(f"expected similarities [N, P] and own [N], got {list(similarities.shape)} and {list(own.shape)}")
    return (similarities > similarities.gather(1, own[:, None])).sum(1)


def clip_similarity(model: Any, batch_size: int = 64) -> Similarity:
    """The similarities that a `CLIPClassifier` finds."""

    @torch.no_grad()
    def similarity(pictures: Sequence[Any], prompts: Sequence[str]) -> Tensor:
        was_training = model.training
        model.eval()
        device = next(model.parameters()).device
        images = torch.cat(
            [
                model.encode_image(torch.stack([model.eval_transform(picture) for picture in part]).to(device))
                for part in (pictures[start : start + batch_size] for start in range(0, len(pictures), batch_size))
            ]
        )
        tokens = model.tokenize(list(prompts)).to(device)
        texts = torch.cat([model.encode_text(part) for part in tokens.split(batch_size)])
        model.train(was_training)
        return (images @ texts.T).cpu()

    return similarity


def low_ranking(
    pictures: Sequence[Any], prompts: Sequence[str], pool: Sequence[str], similarity: Similarity, *, worst_rank: int
) -> list[int]:
    """The rows whose own prompt is not among the `worst_rank` nearest of the pool's distinct prompts.

    Its length is what a report says was dropped. Raises ValueError for a worst_rank below 1.
    """
    if worst_rank < 1:
        raise ValueError(f"expected a worst_rank of 1 or more, got {worst_rank}")
    if not pictures:
        return []
    distinct = list(dict.fromkeys([*pool, *prompts]))
    column = {prompt: number for number, prompt in enumerate(distinct)}
    ranks = prompt_ranks(similarity(pictures, distinct), torch.tensor([column[prompt] for prompt in prompts]))
    return (ranks >= worst_rank).nonzero().flatten().tolist()


class Filtered:
    """A source whose pictures pass the filter; `dropped` counts those of the last call that did not.

    It draws a picture that fails again, with the next documented seed, `attempts` times in all; then the last one stays,
    so that a task has its full number. pool: prompts to rank among.
    """

    def __init__(
        self, generator: Any, pool: Sequence[str], similarity: Similarity, *, worst_rank: int, attempts: int = 3
    ) -> None:
        self.generator, self.pool, self.similarity = generator, list(pool), similarity
        self.worst_rank, self.attempts = worst_rank, attempts
        self.dropped = 0

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Any]:
        """One picture a prompt."""
        from avalanche_gift.generation.making import retry_seed

        prompts, self.dropped = list(prompts), 0
        pictures = list(self.generator.generate(prompts, list(seeds)))
        rows = list(range(len(prompts)))
        for attempt in range(2, self.attempts + 1):
            worst = self._low(rows, pictures, prompts)
            rows = [rows[number] for number in worst]
            if not rows:
                break
            self.dropped += len(rows)
            again = self.generator.generate([prompts[row] for row in rows], [retry_seed(seeds[row], attempt) for row in rows])
            for row, picture in zip(rows, again, strict=True):
                pictures[row] = picture
        return pictures

    def _low(self, rows: list[int], pictures: list[Any], prompts: list[str]) -> list[int]:
        chosen = [pictures[row] for row in rows]
        return low_ranking(chosen, [prompts[row] for row in rows], self.pool, self.similarity, worst_rank=self.worst_rank)
