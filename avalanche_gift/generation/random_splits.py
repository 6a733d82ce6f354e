"""Real images in place of synthetic ones, sampled anew for each task (Table 5, ImageNet)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from avalanche_gift.generation.folders import PROMPT_FILES, FolderGenerator, load_image
from avalanche_gift.prompts import fill, imagenet_prompts

WORDNET_ID = re.compile(r"n\d{8}")


class RandomSplitFolder(FolderGenerator):
    """The images of an `ImageFolder`; task k gets the first part of `random_split(..., generator=manual_seed(seed + k))`.

    As the reference samples ImageNet's training images: of all of them, no class left out, and 3,000 images begin with the
    1,000 of the same task.

    root: class folders, in it or in its folder `train`, in torchvision's order (by folder, then by path); or a folder with
    prompts as `FolderGenerator` has them, in their order. The prompt is `template` with the name of the class: of ImageNet's
    1,000 folders (n01440764, ...) those of `prompts.imagenet_prompts`, otherwise the folder's, underscores as spaces.
    tasks: names in the order that k counts, whatever the order of training: those of MTIL order I in the reference, in order
    II too. Without them k is the task's position in training, from 0.

        GIFT(model, synthetic=RandomSplitFolder("imagenet/train"), extend_pool=False, awc_weight=0, l2_weight=1)

    Raises FileNotFoundError where root or its class folders are not there or hold no image, ValueError for folders of
    WordNet numbers that are not all 1,000 of ImageNet.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        template: str = "a photo of a {c}.",
        tasks: Sequence[str] = (),
        seed: int = 42,
    ) -> None:
        super().__init__(root, template=template)
        self.tasks, self.seed = tuple(tasks), seed

    def pairs_of(self, position: int, count: int, name: str | None = None) -> tuple[list[Image.Image], list[str]]:
        """`count` images of the task, and their prompts.

        position: of the task in training; name: of the task. Raises ValueError where the task is not among `tasks`, or there
        are fewer images.
        """
        chosen = [self._entries[row] for row in self.rows_of(position, count, name)]
        return [load_image(path) for path, _ in chosen], [prompt for _, prompt in chosen]

    def rows_of(self, position: int, count: int, name: str | None = None) -> list[int]:
        """The numbers of these images in the order of the folder."""
        import torch

        if self.tasks and name not in self.tasks:
            raise ValueError(f"expected one of the tasks {', '.join(self.tasks)}, got {name!r}")
        if not 1 <= count <= len(self):
            raise ValueError(f"expected a count from 1 to the {len(self)} images under '{self.root}', got {count}")
        place = self.tasks.index(name) if self.tasks else position  # type: ignore[arg-type]
        # `random_split` is this permutation in parts; the reference takes its first part.
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(self.seed + place))
        return order[:count].tolist()

    def _list(self, template: str) -> list[tuple[Path, str]]:
        if any((self.root / name).is_file() for name in PROMPT_FILES):
            return super()._list(template)
        from torchvision.datasets import ImageFolder

        folder = self.root / "train" if (self.root / "train").is_dir() else self.root
        images = ImageFolder(folder)
        prompts = _prompts(images.classes, template, folder)
        return [(Path(path), prompts[label]) for path, label in images.samples]


def _prompts(folders: Sequence[str], template: str, root: Path) -> list[str]:
    """A prompt for each class folder, in their order."""
    if not all(WORDNET_ID.fullmatch(folder) for folder in folders):
        return [fill(template, folder.replace("_", " ")) for folder in folders]
    # Sorted by number, ImageNet's folders are its classes in their order.
    known = imagenet_prompts(template)
    if len(folders) != len(known):
        raise ValueError(
            f"expected all {len(known)} class folders of ImageNet in '{root}', since their numbers name no class, got "
            f"{len(folders)}; or name the folders by their classes"
        )
    return known
