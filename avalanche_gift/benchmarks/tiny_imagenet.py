"""TinyImageNet in its official layout; torchvision has no class for it, and Avalanche's lists files in no fixed order."""

from pathlib import Path
from typing import Any

from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import default_loader
from torchvision.datasets.vision import VisionDataset


class TinyImageNet(VisionDataset):
    """`root/tiny-imagenet-200`: `wnids.txt`, `train/WNID/images/*`, `val/images/*` and `val/val_annotations.txt`.

    train False: the validation set, which is what papers test on. `classes`: the wnids in the order of the file; `samples`:
    (path, label) in the order of class and file name, or of the annotations. Raises FileNotFoundError or ValueError.
    """

    def __init__(self, root: str | Path, *, train: bool = True):
        super().__init__(root)
        folder = Path(root) / "tiny-imagenet-200"
        self.classes = (folder / "wnids.txt").read_text(encoding="utf-8").split()
        label = {wnid: index for index, wnid in enumerate(self.classes)}
        if train:
            found = ImageFolder(str(folder / "train"))
            self.samples = [(path, label[found.classes[index]]) for path, index in found.samples]
        else:
            lines = (folder / "val" / "val_annotations.txt").read_text(encoding="utf-8").splitlines()
            entries = [line.split("\t")[:2] for line in lines if line.strip()]
            self.samples = [(str(folder / "val" / "images" / file), label[wnid]) for file, wnid in entries]
        self.targets = [each for _, each in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        return default_loader(path), label
