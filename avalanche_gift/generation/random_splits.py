"""Real images in place of synthetic ones, sampled anew for each task (Table 5, ImageNet)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from avalanche_gift.generation.folders import PROMPT_FILES, FolderGenerator
from avalanche_gift.image_files import ENDINGS, Untaken, by_class, class_folders
from avalanche_gift.prompts import fill, imagenet_prompts
from avalanche_gift.wordnet import folder_class_names, imagenet_names


class RandomSplitFolder(FolderGenerator):
    """The images of an `ImageFolder`; task k gets the first part of `random_split(..., generator=manual_seed(seed + k))`.

    As the reference samples ImageNet's training images: of all of them, no class left out, and 3,000 images begin with the
    1,000 of the same task.

    root: class folders, in it or in its folder `train`, in torchvision's order (by folder, then by path); or a folder with
    prompts as `FolderGenerator` has them, in their order. The prompt is `template` with the name of the class: ImageNet's for
    its WordNet numbers (of all 1,000, `prompts.imagenet_prompts`), otherwise the folder's, underscores as spaces.
    What is an image, and exif_orientation: as `FolderGenerator`; the images of ImageNet itself come as they are stored.
    tasks: names in the order that k counts, whatever the order of training: those of MTIL order I in the reference, in order
    II too. Without them k is the task's position in training, from 0.

        GIFT(model, synthetic=RandomSplitFolder("imagenet/train"), extend_pool=False, awc_weight=0, l2_weight=1)

    Raises FileNotFoundError where root or its class folders are not there or hold no image.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        template: str = "a photo of a {c}.",
        tasks: Sequence[str] = (),
        seed: int = 42,
        exif_orientation: bool = True,
    ) -> None:
        super().__init__(root, template=template, exif_orientation=exif_orientation)
        self.tasks, self.seed = tuple(tasks), seed

    def pairs_of(self, position: int, count: int, name: str | None = None) -> tuple[list[Image.Image], list[str]]:
        """`count` images of the task, and their prompts.

        position: of the task in training; name: of the task. Raises ValueError where the task is not among `tasks`, or there
        are fewer images.
        """
        chosen = [self._entries[row] for row in self.rows_of(position, count, name)]
        return [self._open(path) for path, _ in chosen], [prompt for _, prompt in chosen]

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
        folder = self.root / "train" if (self.root / "train").is_dir() else self.root
        classes, untaken = class_folders(folder), Untaken()
        samples, empty = by_class(folder, classes, untaken)
        untaken.warn(folder)
        if empty or not samples:
            lacking = f"none in {', '.join(empty[:5])}" if empty else "no folder"
            raise FileNotFoundError(
                f"expected images ({' '.join(sorted(ENDINGS))}) in class folders of '{folder}', got {lacking}"
            )
        if len(classes) == 1000 and set(classes) == set(imagenet_names()):
            # Published: open_clip's names as they are, two of which stand for two classes each. Nor is a file turned: the
            # training images of published work are as stored.
            self.exif_orientation, prompts = False, imagenet_prompts(template)
        else:
            names = folder_class_names(classes, f"'{folder}'", "rename the folders by their classes")
            prompts = [fill(template, name) for name in names]
        return [(Path(path), prompts[label]) for path, label in samples]
