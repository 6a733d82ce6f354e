"""The data sets of the protocols in torchvision's layouts: `read_dataset("Aircraft", root)` -> train and test pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import random_split
from torchvision import datasets as tv

from avalanche_gift.benchmarks.class_names import class_names, folder_names
from avalanche_gift.benchmarks.pictures import Pictures
from avalanche_gift.benchmarks.sources import SOURCES, Source, split_sizes
from avalanche_gift.benchmarks.stanford_cars import missing_cars, read_cars
from avalanche_gift.benchmarks.tiny_imagenet import TinyImageNet
from avalanche_gift.names import check_name


class MissingDataset(FileNotFoundError):
    """A data set is not there, or not all of it: one line says what to fetch and where to put it."""


class DamagedDataset(ValueError):
    """The files of a data set are there but not what they should be."""


def read_dataset(name: str, root: str | Path) -> tuple[Pictures, Pictures]:
    """Train and test pictures of a data set below `root`, the labels as in `class_names(name)`. Opens no picture.

    The splits are those of the protocol (`sources.Source`); 80/20 splits are cut by torch's generator seeded with 42, SUN397
    in the order of its paths (torchvision's own order depends on the file system).
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
    return [f"{source.folder}/{need}" for need in source.needs if not (Path(root) / source.folder / need).exists()]


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
    data = tv.Caltech101(root)
    folder = Path(data.root) / "101_ObjectCategories"
    paths = [
        f"{folder}/{data.categories[label]}/image_{number:04d}.jpg" for label, number in zip(data.y, data.index, strict=True)
    ]
    if empty := [each for label, each in enumerate(data.categories) if label not in set(data.y)]:
        raise ValueError(f"no pictures in {folder / empty[0]}")
    return [(data, data.y, data.categories, paths)]


def _cifar(root: Path) -> list[Read]:
    # Pickles. torchvision opens them only if their MD5 is the published one, which no other file can be made to have.
    parts = [tv.CIFAR100(root, train=train) for train in (True, False)]
    return [(data, data.targets, _spaces(data.classes), None) for data in parts]


def _dtd(root: Path) -> list[Read]:
    return [_listed(tv.DTD(root, split)) for split in ("train", "test")]


def _eurosat(root: Path) -> list[Read]:
    data = tv.EuroSAT(root)
    return [(data, data.targets, data.classes, [path for path, _ in data.samples])]


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
    data, labels, classes, paths = _listed(tv.SUN397(root))
    assert paths is not None
    order = sorted(range(len(paths)), key=lambda row: paths[row])
    data._image_files, data._labels = [paths[row] for row in order], [labels[row] for row in order]
    return [(data, data._labels, classes, data._image_files)]


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
