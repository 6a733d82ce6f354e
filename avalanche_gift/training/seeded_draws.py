"""Images under a random transform, each draw a pure function of numbers."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from avalanche_gift.training.seeds import combined_seed


class SeededTorch:
    """Torch's global CPU generator seeded for a block and put back after it; left alone where seed is None."""

    def __init__(self, seed: int | None, *parts: int):
        self._seed = None if seed is None else combined_seed(seed, *parts)

    def __enter__(self) -> None:
        if self._seed is not None:
            self._state = torch.get_rng_state()
            torch.default_generator.manual_seed(self._seed)

    def __exit__(self, *_: object) -> None:
        if self._seed is not None:
            torch.set_rng_state(self._state)


class SeededDraws(Dataset):
    """A data set whose random transform is a function of (seed, batch, row).

    An item is asked for by `(batch, row)`, as `Numbered` hands them out, or by its row alone, which is batch 0. Torch's
    generator is meant: a transform that draws from another one stays as random as it is.
    """

    def __init__(self, dataset: Any, *seed: int):
        self.dataset, self._seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: Any) -> Any:
        batch, row = place if isinstance(place, tuple) else (0, place)
        with SeededTorch(*self._seed, batch, row):
            return self.dataset[row]


class Numbered:
    """A batch sampler whose rows come as (number of the batch, row), counted from `first`; workers get the numbers too."""

    def __init__(self, batches: Iterable[Sequence[int]], first: int):
        self._batches, self._first = batches, first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number, rows in enumerate(self._batches, self._first):
            yield [(number, row) for row in rows]
