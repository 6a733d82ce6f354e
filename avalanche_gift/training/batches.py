"""Which rows make up batch k: a pure function of numbers, so that a run can go on anywhere."""

from collections.abc import Iterator

import torch
from torch import Tensor

from avalanche_gift.training.seeds import combined_seed


def rows_of_batch(count: int, iteration: int, *, batch_size: int, seed: tuple[int, int] | None) -> Tensor:
    """The rows, of `count`, that the batch of an iteration holds. Passes follow each other, the last batch of each short.

    seed: (seed, experience) of the shuffling; None keeps the order given.
    """
    batches_a_pass = -(-count // batch_size)
    number, batch = divmod(iteration, batches_a_pass)
    order = torch.arange(count)
    if seed is not None:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(combined_seed(*seed, number)))
    return order[batch * batch_size : (batch + 1) * batch_size]


class EndlessBatches:
    """`rows_of_batch` from iteration `first` on, without end: a batch sampler for a DataLoader."""

    def __init__(self, count: int, first: int, *, batch_size: int, seed: tuple[int, int] | None):
        self.count, self.first, self.batch_size, self.seed = count, first, batch_size, seed

    def __iter__(self) -> Iterator[list[int]]:
        iteration = self.first
        while True:
            yield rows_of_batch(self.count, iteration, batch_size=self.batch_size, seed=self.seed).tolist()
            iteration += 1
