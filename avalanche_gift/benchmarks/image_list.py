"""Images in files of their own, with their labels."""

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import Dataset
from torchvision.datasets.folder import default_loader


class ImageList(Dataset):
    """(image, label) of (path, label) samples, opened by `loader`: torchvision's own, as published work reads its data sets.

    classes: names by label. reading: says how the loader differs from that; part of the name of a cache. strays: files beside
    the images that are not named as the data set names its own.
    """

    def __init__(
        self,
        samples: Sequence[tuple[str, int]],
        *,
        classes: Sequence[str] = (),
        loader: Callable[[str], Any] = default_loader,
        reading: str = "",
        strays: Sequence[str] = (),
    ):
        self.samples, self.classes, self.loader, self.reading, self.strays = samples, classes, loader, reading, strays
        self.targets = [label for _, label in samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        return self.loader(path), label
