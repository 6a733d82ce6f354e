"""The data sets of the protocols in torchvision's layouts: `read_dataset("Aircraft", root)` -> train and test pictures."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import random_split
from torchvision import datasets as tv
from torchvision.datasets.folder import default_loader

from avalanche_gift.benchmarks.class_names import class_names, folder_names
from avalanche_gift.benchmarks.image_list import ImageList
from avalanche_gift.benchmarks.pictures import Pictures
from avalanche_gift.benchmarks.sources import SOURCES, Source, split_sizes
from avalanche_gift.benchmarks.stanford_cars import missing_cars, read_cars
from avalanche_gift.benchmarks.tiny_imagenet import TinyImageNet, missing_tiny
from avalanche_gift.image_files import class_folders, files_named
from avalanche_gift.names import check_name


class MissingDataset(FileNotFoundError):
    """A data set is not there, or not all of it: one line says what to fetch and where to put it."""


class DamagedDataset(ValueError):
    """The files of a data set are there but not what they should be."""


def read_dataset(name: str, root: str | Path) -> tuple[Pictures, Pictures]:
    """Train and test pictures of a data set below `root`, the labels as in `class_names(name)`. Opens no picture.

    The splits are those of the protocol (`sources.Source`); 80/20 splits are cut by torch's generator seeded with 42, SUN397
    in the order of its paths (torchvision's own order depends on the file system). Images are those that are named as the data
    set names its own, so that a file which something else left there moves none of them into the other split; they are read as
    published work reads them, with no look at EXIF's orientation.
    Raises ValueError for an unknown name, MissingDataset, or DamagedDataset for files that can't be understood, an empty
    class folder, or a class in test that train lacks.
    """
    source, root = SOURCES[check_name("data set", name, SOURCES)], Path(root).expanduser()
    if lacking := missing_files(source, root):
        raise MissingDataset(how_to_get(source, root, lacking))
    try:
        parts = [_labelled(source, read) for read in _READERS[name](root)]
    except Exception as error:  # pickle, json, scipy and torchvision have no common ancestor for what broken files raise.
        raise DamagedDataset(
            f"{name}: the files in {root / source.folder} are damaged: {error}; move that folder away, then "
            f"{_fetch(source, root)}"
        ) from error
    if source.whole is not None:
        return _cut(parts[0])
    train, test = parts
    if strangers := sorted(set(test.targets) - set(train.targets)):
        names = [class_names(name)[label] for label in strangers]
        raise DamagedDataset(f"expected in the test pictures of {name} only classes of train, got also {names}")
    return train, test


def missing_files(source: Source, root: str | Path) -> list[str]:
    """What a data set needs and lacks, as paths below the root; empty where it can be read."""
    if source.name == "StanfordCars":
        return missing_cars(Path(root))
    if source.name == "TinyImageNet":
        return missing_tiny(Path(root))
    return [f"{source.folder}/{need}" for need in source.needs if not (Path(root) / source.folder / need).exists()]


def strays_of(*parts: Pictures) -> list[str]:
    """Files beside the images of a data set that are not named as its own: the first thing to look at if a count is off."""
    return sorted({path for part in parts for path in getattr(part.source, "strays", ())})


def how_to_get(source: Source, root: str | Path, lacking: Sequence[str]) -> str:
    """One line: what is missing, what to fetch, where to put it."""
    return f"{source.name}: expected in {root} {', '.join(lacking)}; {_fetch(source, root)}"


def _fetch(source: Source, root: str | Path) -> str:
    if source.downloadable:
        return f"fetch it by `avalanche-gift datasets --data {root} --download {source.name}` ({source.page})"
    return f"it can't be downloaded here: fetch it from {source.page} and put it into {Path(root) / source.folder}"


Read = tuple[Any, Sequence[int], Sequence[str] | None, Sequence[str] | None]
"""A torchvision data set, its labels, its class names where labels are places in those, and the paths of its pictures."""


def _labelled(source: Source, read: Read) -> Pictures:
    """With labels that count the published class names, whatever classes are there."""
    data, labels, classes, paths = read
    if classes is not None:
        published = _published(source.name)
        if unknown := [each for each in classes if each not in published]:
            raise ValueError(f"expected the {source.classes} published classes, got also {unknown[:5]}")
        place = [published[each] for each in classes]
        labels = [place[label] for label in labels]
    return Pictures(data, labels, name=source.name, paths=paths)


def _published(name: str) -> dict[str, int]:
    """The label of each class by what the data set calls it."""
    names = folder_names(name) if name in ("Caltech101", "EuroSAT", "TinyImageNet") else class_names(name)
    return {each: label for label, each in enumerate(names)}


def _cut(whole: Pictures) -> tuple[Pictures, Pictures]:
    """80/20, as one `random_split` over all pictures."""
    rows: Any = range(len(whole))
    train, test = random_split(rows, split_sizes(len(whole)), torch.Generator().manual_seed(42))
    return whole.take(train.indices), whole.take(test.indices)


def _spaces(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ") for name in names]


def _listed(data: Any, named: bool = True) -> Read:
    """The torchvision classes that keep their labels in `_labels` and their files in `_image_files`."""
    data._image_files = [str(path) for path in data._image_files]  # A path object takes three times the memory.
    return data, data._labels, _spaces(data.classes) if named else None, data._image_files


def _aircraft(root: Path) -> list[Read]:
    return [_listed(tv.FGVCAircraft(root, split)) for split in ("train", "test")]


def _caltech(root: Path) -> list[Read]:
    folder = root / "caltech101" / "101_ObjectCategories"
    classes = [name for name in class_folders(folder) if name != "BACKGROUND_Google"]  # which is no class
    # torchvision counts the entries of a folder and makes up the names; its loader leaves grey images grey.
    return [_own_files(((folder / name, r"image_\d{4}\.jpg") for name in classes), classes, loader=_as_stored)]


def _as_stored(path: str) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def _own_files(
    folders: Iterable[tuple[Path, str]], classes: Sequence[str], *, loader: Callable[[str], Any] = default_loader
) -> Read:
    """The images of each class: those of a folder whose names match a pattern. ValueError for a class without any."""
    samples: list[tuple[str, int]] = []
    strays: list[str] = []
    for label, (folder, pattern) in enumerate(folders):
        found, others = files_named(folder, pattern)
        strays += others
        if not found:
            raise ValueError(f"expected images {pattern} in {folder}, got none")
        samples += [(path, label) for path in found]
    data = ImageList(samples, loader=loader, strays=strays)
    return data, data.targets, classes, [path for path, _ in samples]


def _cifar(root: Path) -> list[Read]:
    # Pickles. torchvision opens them only if their MD5 is the published one, which no other file can be made to have.
    parts = [tv.CIFAR100(root, train=train) for train in (True, False)]
    return [(data, data.targets, _spaces(data.classes), None) for data in parts]


def _dtd(root: Path) -> list[Read]:
    return [_listed(tv.DTD(root, split)) for split in ("train", "test")]


def _eurosat(root: Path) -> list[Read]:
    folder = root / "eurosat" / "2750"
    classes = class_folders(folder)
    return [_own_files(((folder / name, rf"{re.escape(name)}_\d+\.jpg") for name in classes), classes)]


def _flowers(root: Path) -> list[Read]:
    # Labels count from 0 here; the reference took one off for a torchvision whose labels began at 1.
    return [_listed(tv.Flowers102(root, split), named=False) for split in ("train", "test")]


def _food(root: Path) -> list[Read]:
    return [_listed(tv.Food101(root, split)) for split in ("train", "test")]


class MNIST(tv.MNIST):
    """torchvision's, but read from its four published files alone: `processed/*.pt` of old releases are pickles."""

    def _check_legacy_exist(self) -> bool:
        return False


def _mnist(root: Path) -> list[Read]:
    parts = [MNIST(root, train=train) for train in (True, False)]
    return [(data, data.targets.tolist(), None, None) for data in parts]


def _pets(root: Path) -> list[Read]:
    parts = [tv.OxfordIIITPet(root, split) for split in ("trainval", "test")]
    for data in parts:
        data._images = [str(path) for path in data._images]  # type: ignore[misc]
        data._segs = []  # Not wanted here.
    return [(data, data._labels, None, data._images) for data in parts]  # type: ignore[misc]


def _cars(root: Path) -> list[Read]:
    parts = [(data, data._samples) for data in read_cars(root)]
    return [(data, [int(label) for _, label in samples], None, [path for path, _ in samples]) for data, samples in parts]


def _sun(root: Path) -> list[Read]:
    folder = root / "SUN397"
    lines = (folder / "ClassName.txt").read_text(encoding="utf-8").split()
    data, _, _, paths = _own_files(((folder / line.strip("/"), r"sun_\w+\.jpg") for line in lines), lines)
    assert paths is not None
    data.samples = sorted(data.samples)
    data.targets = [label for _, label in data.samples]
    return [(data, data.targets, _spaces([line[3:] for line in lines]), sorted(paths))]


def _tiny(root: Path) -> list[Read]:
    parts = [TinyImageNet(root, train=train) for train in (True, False)]
    return [(data, data.targets, data.classes, [path for path, _ in data.samples]) for data in parts]


_READERS: dict[str, Callable[[Path], list[Read]]] = {
    "Aircraft": _aircraft,
    "Caltech101": _caltech,
    "CIFAR100": _cifar,
    "DTD": _dtd,
    "EuroSAT": _eurosat,
    "Flowers": _flowers,
    "Food": _food,
    "MNIST": _mnist,
    "OxfordPet": _pets,
    "StanfordCars": _cars,
    "SUN397": _sun,
    "TinyImageNet": _tiny,
}
