"""Resized evaluation pictures, kept on disk as bytes: decoded once, whatever number of evaluations follows."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torchvision
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import Compose, Normalize, ToTensor
from tqdm import tqdm

from avalanche_gift.files import is_sealed, open_sealed
from avalanche_gift.names import printable

_RESIZING = ("Resize", "CenterCrop", "CenterCropOrPad", "ResizeMaxSize", "MaybeConvertMode")


@dataclass(frozen=True)
class CachedPicture:
    """A picture that is opened by whoever needs it: resized from the cache, or the original."""

    pictures: "CachedPictures"
    index: int

    def resized(self) -> Image.Image:
        return Image.fromarray(self.pictures.array[self.index])

    def original(self) -> Image.Image:
        return self.pictures.source[self.index][0]


class CachedPictures(Dataset):
    """A test set whose items are `CachedPicture`s; the array [N, H, W, 3] of bytes is made here where there is none yet.

    The file is named after a digest of the data set, the transform, the files (path, size, time) and the versions of PIL and
    torchvision. It is written aside and renamed, so that it is whole or not there, and ends in a checksum, which is verified
    here: a damaged file is made again, and so is one of earlier releases, which had no checksum.
    Raises ValueError for a transform that can't be cached, OSError for a picture that can't be read, a full disk, or something
    else than a file in the cache file's place.
    """

    def __init__(self, source: Any, *, name: str, transform: Callable[[Any], Any], folder: str | Path):
        self.source = source
        self.targets = [int(label) for label in source.targets]
        self._array: np.ndarray | None = None
        resize, _ = split_transform(transform)
        self.path = Path(folder) / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{_digest(source, name, resize)}.npy"
        if not is_sealed(self.path):
            _write(self.path, source, resize, name)

    @property
    def array(self) -> np.ndarray:
        """Memory-mapped, and mapped anew in every process."""
        if self._array is None:
            self._array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return self._array

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[CachedPicture, int]:
        return CachedPicture(self, index), self.targets[index]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}


class FromOriginal:
    """The transform, applied to the original of a `CachedPicture`."""

    def __init__(self, transform: Callable[[Any], Any]):
        self.transform = transform

    def __call__(self, picture: CachedPicture) -> Any:
        return self.transform(picture.original())


class FromCache:
    """The rest of the evaluation transform, applied to the bytes of a `CachedPicture`."""

    def __init__(self, transform: Callable[[Any], Any]):
        self.rest = split_transform(transform)[1]

    def __call__(self, picture: CachedPicture) -> Any:
        return self.rest(picture.resized())


def split_transform(transform: Any) -> tuple[Compose, Compose]:
    """An evaluation transform in two: what makes 8-bit RGB pictures of one size, and ToTensor with Normalize.

    Raises ValueError for a transform of another make, or one with a step that may be random.
    """
    steps = list(getattr(transform, "transforms", ()))
    if len(steps) < 3 or not isinstance(steps[-2], ToTensor) or not isinstance(steps[-1], Normalize):
        raise ValueError(
            f"expected for cache_dir an evaluation transform that ends in ToTensor and Normalize, got {transform}; "
            "use open_clip's, or leave cache_dir out"
        )
    if strange := [step for step in steps[:-2] if not _is_repeatable(step)]:
        raise ValueError(
            f"expected for cache_dir only {', '.join(_RESIZING)} and named functions before ToTensor, got {strange}: a random "
            "step would be drawn once for all; leave cache_dir out"
        )
    return Compose(steps[:-2]), Compose(steps[-2:])


def _is_repeatable(step: Any) -> bool:
    return type(step).__name__ in _RESIZING or bool(getattr(step, "__qualname__", "<").isidentifier())


def _digest(source: Any, name: str, resize: Compose) -> str:
    steps = [getattr(step, "__qualname__", None) or repr(step) for step in resize.transforms]
    parts = (name, *steps, PIL.__version__, torchvision.__version__, _fingerprint(source))
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:24]


def _fingerprint(source: Any) -> str:
    if not hasattr(source, "fingerprint"):
        raise ValueError(f"expected for cache_dir pictures with a fingerprint(), got {type(source).__name__}; leave it out")
    return source.fingerprint()


def _write(path: Path, source: Any, resize: Compose, name: str) -> None:
    """Pictures one after the other behind numpy's header: a full disk is an error here, and not a crash as in a mapping."""
    with open_sealed(path) as file:
        shape: tuple[int, ...] | None = None
        for index in tqdm(range(len(source)), desc=f"{printable(name)}: resizing test pictures", leave=False, disable=None):
            pixels = np.asarray(_rgb(resize(source[index][0]), name))
            if shape is None:
                shape = pixels.shape
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(source), *shape)}
                np.lib.format.write_array_header_1_0(file, header)
            if pixels.shape != shape:
                raise ValueError(f"expected for cache_dir pictures of one size, got {shape} and {pixels.shape} in {name}")
            file.write(pixels.tobytes())


def _rgb(picture: Any, name: str) -> Image.Image:
    if not isinstance(picture, Image.Image) or picture.mode != "RGB":
        raise ValueError(f"expected for cache_dir a transform to RGB, got of {name} {getattr(picture, 'mode', type(picture))}")
    return picture
