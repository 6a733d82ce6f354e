"""Which synthetic pictures to leave out: those that a CLIP model finds least like their own prompt. Off unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from avalanche_gift.generation.store import TaskFolder
from avalanche_gift.modes import evaluation_mode

Similarity = Callable[[Iterable[Any], Sequence[str]], Tensor]
"""Pictures and the pool's prompts -> their cosine similarities, [pictures, prompts]."""


def prompt_ranks(similarities: Tensor, own: Tensor) -> Tensor:
    """The rank of each picture's own prompt among the pool: 0 where none is nearer.

    similarities: [N, P]. own: [N], the column of each picture's prompt. Equal similarities don't count as nearer.
    """
    if similarities.ndim != 2 or own.shape != similarities.shape[:1]:
        raise ValueError(f"expected similarities [N, P] and own [N], got {list(similarities.shape)} and {list(own.shape)}")
    return (similarities > similarities.gather(1, own[:, None])).sum(1)


def clip_similarity(model: Any, batch_size: int = 64) -> Similarity:
    """The similarities that a `CLIPClassifier` finds. Pictures are taken batch by batch, so they may be read late."""

    @torch.no_grad()
    def similarity(pictures: Iterable[Any], prompts: Sequence[str]) -> Tensor:
        device, waiting = next(model.parameters()).device, iter(pictures)
        batches = iter(lambda: [model.eval_transform(picture) for picture in islice(waiting, batch_size)], [])
        tokens = model.tokenize(list(prompts)).to(device)
        with evaluation_mode(model):
            images = torch.cat([model.encode_image(torch.stack(batch).to(device)) for batch in batches])
            texts = torch.cat([model.encode_text(part) for part in tokens.split(batch_size)])
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
    distinct, own = _columns(prompts, pool)
    return (prompt_ranks(similarity(pictures, distinct), own) >= worst_rank).nonzero().flatten().tolist()


def lowest(similarities: Tensor, own: Tensor, share: float) -> list[int]:
    """The rows of that share (rounded down) whose own prompt ranks lowest among the pool, equal ranks by similarity to it.

    similarities: [N, P]. own: [N], as for `prompt_ranks`. Raises ValueError for a share outside 0 <= share < 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"expected a share to drop from 0 up to, but without, 1, got {share}")
    ranks, cosines = prompt_ranks(similarities, own).tolist(), similarities.gather(1, own[:, None]).flatten().tolist()
    order = sorted(range(len(own)), key=lambda row: (-ranks[row], cosines[row], row))
    return sorted(order[: int(share * len(own) + 1e-9)])  # 0.29 * 100 is a little less than 29


def drop_lowest(folder: TaskFolder, pool: Sequence[str], similarity: Similarity, *, share: float, **facts: Any) -> list[int]:
    """Has readers leave out that share of a task's pictures, black ones not counted; returns the indices. `TaskFolder.drop`.

    pool: what the task's prompts were drawn from. facts: such as the model's name, to be kept beside the indices. What was
    dropped by another call is judged anew. Raises ValueError as `lowest`, StoreError for a picture that can't be read.
    """
    records = [record for record in folder.records().values() if record.dropped is None]
    dropped: list[int] = []
    if share and records:
        distinct, own = _columns([record.prompt for record in records], pool)
        rows = lowest(similarity((folder.picture(record) for record in records), distinct), own, share)
        dropped = [records[row].index for row in rows]
    folder.drop(dropped, share=share, pictures=len(records), **facts)
    return dropped


def _columns(prompts: Sequence[str], pool: Sequence[str]) -> tuple[list[str], Tensor]:
    """The distinct prompts of the pool, and the place of each of `prompts` among them."""
    distinct = list(dict.fromkeys([*pool, *prompts]))
    column = {prompt: number for number, prompt in enumerate(distinct)}
    return distinct, torch.tensor([column[prompt] for prompt in prompts])


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
