"""Which rows make up batch k: a pure function of numbers, so that a run can go on anywhere."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from avalanche_gift.training.seeds import combined_seed


def order_of_pass(count: int, number: int, seed: tuple[int, int] | None) -> Tensor:
    """The order in which pass `number` goes through `count` rows.

    seed: (seed, experience) of the shuffling; None keeps the order given.
    """
    if seed is None:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(combined_seed(*seed, number)))


def rows_of_batch(count: int, iteration: int, *, batch_size: int, seed: tuple[int, int] | None) -> Tensor:
    """The rows, of `count`, that the batch of an iteration holds. Passes follow each other, the last batch of each short."""
    number, batch = divmod(iteration, -(-count // batch_size))
    return order_of_pass(count, number, seed)[batch * batch_size : (batch + 1) * batch_size]


class EndlessBatches:
    """`rows_of_batch` from iteration `first` on, without end: a batch sampler for a DataLoader. It shuffles once a pass."""

    def __init__(self, count: int, first: int, *, batch_size: int, seed: tuple[int, int] | None):
        self.count, self.first, self.batch_size, self.seed = count, first, batch_size, seed

    def __iter__(self) -> Iterator[list[int]]:
        first_pass, begin = divmod(self.first, -(-self.count // self.batch_size))
        for number in itertools.count(first_pass):
            batches = order_of_pass(self.count, number, self.seed).split(self.batch_size)
            yield from (rows.tolist() for rows in batches[begin:])
            begin = 0
