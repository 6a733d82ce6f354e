"""Class names as a property of data: a number per sample that subsets, memories, splits and workers keep."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from avalanche.benchmarks.utils import ConstantSequence, DataAttribute

from avalanche_gift.stream_classes import ATTRIBUTE, StreamClasses, other_stream


class NamedClasses(DataAttribute[int]):
    """For each sample the number of its task in `stream`. Subsets and concatenations keep it; it adds nothing to a batch.

    benchmark: tells the data of one benchmark from that of another with equal classes (`new_identity`).
    """

    def __init__(self, numbers: Any, stream: StreamClasses, benchmark: str):
        super().__init__(numbers, ATTRIBUTE, use_in_getitem=False)
        self.stream, self.benchmark = stream, benchmark

    def subset(self, indices: Any) -> "NamedClasses":
        """Of these samples."""
        return NamedClasses(self.data.subset(indices), self.stream, self.benchmark)

    def concat(self, other: Any) -> "NamedClasses":
        """Raises ValueError for samples of two streams, whose task labels or labels would mean two things in one batch."""
        if other.stream != self.stream:
            raise other_stream(self.stream, other.stream)
        return NamedClasses(self.data.concat(other.data), self.stream, self.benchmark)


def new_identity() -> str:
    """Of a benchmark, in this process and its workers."""
    return uuid4().hex


def name_dataset(dataset: Any, stream: StreamClasses, numbers: int | Sequence[int], benchmark: str = "") -> Any:
    """A copy of an Avalanche data set with named classes.

    numbers: of its samples' tasks, one for all or one each. benchmark: its `new_identity`, one for all data sets of it.
    """
    if isinstance(numbers, int):
        numbers = ConstantSequence(numbers, len(dataset))
    attribute = NamedClasses(numbers, stream, benchmark)
    named = dataset.update_data_attribute(ATTRIBUTE, attribute)
    setattr(named, ATTRIBUTE, attribute)  # Avalanche leaves the field of an attribute that was there before as it was
    return named
