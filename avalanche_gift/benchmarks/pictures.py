"""Pictures with their labels known beforehand, fewer of them where asked, and errors that name the file."""

import os
import warnings
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from avalanche_gift.pictures import refuse_postscript

refuse_postscript()  # also for the data sets whose images torchvision opens


class PictureError(OSError):
    """A picture can't be read: which one, of what, and why."""


class ArrayPictures(Dataset):
    """Pictures from an array of bytes, [N, H, W] grey or [N, H, W, 3] colour, with their labels."""

    def __init__(self, pictures: np.ndarray, labels: np.ndarray):
        self.pictures, self.targets = pictures, labels.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.pictures[index]), self.targets[index]


class Pictures(Dataset):
    """Some rows of a data set of (picture, label) with labels and paths given: nothing is opened to learn them.

    labels: of every picture of `source`; they replace its own. paths: likewise, None where pictures are in no files of their
    own. rows: which pictures, in which order (all where None). `targets`: the labels of those.
    """

    def __init__(
        self,
        source: Any,
        labels: Sequence[int],
        *,
        name: str,
        paths: Sequence[str] | None = None,
        rows: Sequence[int] | None = None,
    ):
        self.source, self.name = source, name
        self._labels, self._paths = labels, paths
        self.rows = range(len(labels)) if rows is None else rows
        self.targets = [labels[row] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        try:
            picture = self.source[self.rows[index]][0]
            getattr(picture, "load", lambda: None)()
        except PictureError:
            raise
        except Exception as error:  # PIL has no common ancestor for what broken files make it raise.
            raise PictureError(_unreadable(self.describe(index), error)) from error
        return picture, self.targets[index]

    def take(self, rows: Sequence[int]) -> "Pictures":
        """The pictures at these places."""
        chosen = [self.rows[row] for row in rows]
        return Pictures(self.source, self._labels, name=self.name, paths=self._paths, rows=chosen)

    def relabel(self, label_of: Mapping[int, int]) -> "Pictures":
        """The same pictures with other labels; every present label must be a key."""
        labels = [label_of.get(label, -1) for label in self._labels]
        return Pictures(self.source, labels, name=self.name, paths=self._paths, rows=self.rows)

    def paths(self) -> list[str]:
        """The files of these pictures; empty where they are in no files of their own."""
        return [] if self._paths is None else [self._paths[row] for row in self.rows]

    def describe(self, index: int) -> str:
        """The file of a picture, or its number where it has none of its own."""
        row = self.rows[index]
        return f"picture {row} of {self.name}" if self._paths is None else f"{self._paths[row]} of {self.name}"

    def fingerprint(self) -> str:
        """Changes with the pictures: paths, sizes and times of their files and whether they are turned upright, or the bytes of
        the array that holds them."""
        if self._paths is not None:
            reading = getattr(self.source, "reading", "")
            return "\n".join([*(_stamp(self._paths[row]) for row in self.rows), *([reading] if reading else [])])
        if hasattr(self.source, "data"):
            return f"{zlib.crc32(np.ascontiguousarray(self.source.data).tobytes())} {list(self.rows)}"
        raise ValueError(f"expected pictures of {self.name} in files or in an array, got {type(self.source).__name__}")


def thin(dataset: Any, *, name: str, shots: int | None = None, max_pictures: int | None = None, seed: int = 0) -> Any:
    """`shots` pictures of every class, then at most `max_pictures` of those, drawn by seed and name; in their old order.

    No picture is opened. Raises ValueError for numbers below one, or more shots than a class has.
    """
    for option, value in (("shots", shots), ("max_pictures", max_pictures)):
        if value is not None and value < 1:
            raise ValueError(f"expected {option} of at least one picture, got {value}")
    if shots is None and (max_pictures is None or max_pictures >= len(dataset)):
        return dataset
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    rows = np.arange(len(dataset)) if shots is None else _shots(np.asarray(dataset.targets), shots, name, random)
    if max_pictures is not None and max_pictures < len(rows):
        rows = random.choice(rows, max_pictures, replace=False)
    return _rows(dataset, sorted(rows.tolist()), name)


def readable(dataset: Any, *, name: str) -> Any:
    """Those pictures that can be read, with a warning that names the others. Opens every picture: minutes for a large set.

    Raises PictureError where none can be read.
    """
    good, bad = [], []
    for index in range(len(dataset)):
        try:
            getattr(dataset[index][0], "load", lambda: None)()
            good.append(index)
        except OSError as error:
            bad.append(str(error))
    if bad and not good:
        raise PictureError(f"expected pictures of {name}, but none of {len(bad)} can be read; {bad[0]}")
    if bad:
        warnings.warn(f"{name}: {len(bad)} unreadable pictures are left out: {'; '.join(bad)}", stacklevel=2)
        return _rows(dataset, good, name)
    return dataset


def _shots(targets: np.ndarray, shots: int, name: str, random: np.random.Generator) -> np.ndarray:
    chosen = []
    for label in np.unique(targets):
        rows = np.flatnonzero(targets == label)
        if len(rows) < shots:
            raise ValueError(
                f"expected at least shots={shots} pictures in every class of {name}, class {label} has {len(rows)}"
            )
        chosen.append(random.choice(rows, shots, replace=False))
    return np.concatenate(chosen)


def _rows(dataset: Any, rows: Sequence[int], name: str) -> Pictures:
    if isinstance(dataset, Pictures):
        return dataset.take(rows)
    return Pictures(dataset, [int(label) for label in dataset.targets], name=name, rows=rows)


def _stamp(path: str) -> str:
    found = os.stat(path)
    return f"{path} {found.st_size} {found.st_mtime_ns}"


def _unreadable(what: str, error: Exception) -> str:
    return f"can't read {what}: {error}; restore or remove it, or in a script leave it out by skip_unreadable=True"
