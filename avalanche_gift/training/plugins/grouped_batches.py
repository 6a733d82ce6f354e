"""Evaluation batches dealt out so that each lies in one group of images that are looked at together."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


class GroupedBatches:
    """The batches of a loader in their order, cut where `size` rows are full, so that each lies in one group of so many.

    A group of images is read before the first of its batches is handed on: what is decided for it holds for each of them.
    rows, batch_size: of the loader, for `len`.
    number: of the group that the latest batch is part of, from 0. images: that group, [G, 3, H, W], G = size but in the last.
    """

    def __init__(self, loader: Iterable[Sequence[Any]], size: int, *, rows: int, batch_size: int):
        self.loader, self.size = loader, size
        self._length = len({*range(0, rows, batch_size), *range(0, rows, size)})
        self.number, self.images = -1, torch.empty(0)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[list[Any]]:
        self.number = -1
        parts: list[list[Any]] = []
        count = 0
        for batch in self.loader:
            start = 0
            while start < len(batch[0]):
                end = min(len(batch[0]), start + self.size - count)
                parts.append([part[start:end] for part in batch])
                count, start = count + end - start, end
                if count == self.size:
                    yield from self._group(parts)
                    parts, count = [], 0
        yield from self._group(parts)

    def _group(self, parts: list[list[Any]]) -> Iterator[list[Any]]:
        if parts:
            images: list[Tensor] = [part[0] for part in parts]
            self.number, self.images = self.number + 1, torch.cat(images)
        yield from parts
