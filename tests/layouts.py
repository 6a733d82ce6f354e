"""Writes the data sets in their official layouts, at a few pictures a class; a picture's shade tells its label.

train, test: pictures of a class; sets that come in one piece get their sum. paint: False leaves the files empty, None makes
none at all (enough to build a stream of the sets that come with lists).
"""

import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from avalanche_gift.benchmarks.class_names import class_names, folder_names
from avalanche_gift.benchmarks.sources import SOURCES, split_sizes

SHADE = 97
"""Labels times this, modulo 256, is the shade: distinct below 256 labels."""


def shade(label: int) -> int:
    return (label * SHADE) % 256


def write(name: str, root: Path, train: int = 2, test: int = 1, paint: bool | None = True) -> Path:
    """One data set below `root`; returns `root`."""
    painter = {True: picture_writer, False: empty_file, None: no_file}[paint]
    _WRITERS[name](Path(root), train, test, painter)
    return Path(root)


def empty_file(path: Path, label: int) -> None:
    with open(path, "wb"):
        pass


def no_file(path: Path, label: int) -> None:
    pass


def picture_writer(path: Path, label: int) -> None:
    Image.new("RGB", (40, 32), (shade(label),) * 3).save(path, format="PNG")  # Lossless, whatever the file is called.


Painter = Callable[[Path, int], None]


def _split(name: str, train: int, test: int) -> list[tuple[str, list[int]]]:
    """Labels of train and test, class after class."""
    labels = range(SOURCES[name].classes)
    return [(split, [label for label in labels for _ in range(count)]) for split, count in (("train", train), ("test", test))]


def _text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def aircraft(root: Path, train: int, test: int, paint: Painter) -> None:
    data, names = root / "fgvc-aircraft-2013b" / "data", class_names("Aircraft")
    (data / "images").mkdir(parents=True)
    _text(data / "variants.txt", list(names))
    number = 0
    for split, labels in _split("Aircraft", train, test):
        lines = []
        for label in labels:
            paint(data / "images" / f"{number:07d}.jpg", label)
            lines.append(f"{number:07d} {names[label]}")
            number += 1
        _text(data / f"images_variant_{split}.txt", lines)


def caltech(root: Path, train: int, test: int, paint: Painter) -> None:
    folder = root / "caltech101" / "101_ObjectCategories"
    (folder / "BACKGROUND_Google").mkdir(parents=True)
    for label, name in enumerate(folder_names("Caltech101")):
        (folder / name).mkdir()
        for number in range(1, train + test + 1):
            paint(folder / name / f"image_{number:04d}.jpg", label)


def cifar(root: Path, train: int, test: int, paint: Painter) -> None:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for split, labels in _split("CIFAR100", train, test):
        data = np.repeat(np.array([shade(label) for label in labels], dtype=np.uint8)[:, None], 3072, axis=1)
        (folder / split).write_bytes(pickle.dumps({"data": data, "fine_labels": labels}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": list(class_names("CIFAR100_CIL"))}))


def dtd(root: Path, train: int, test: int, paint: Painter) -> None:
    folder, names = root / "dtd" / "dtd", class_names("DTD")
    number = 0
    for split, labels in _split("DTD", train, test):
        lines = []
        for label in labels:
            (folder / "images" / names[label]).mkdir(parents=True, exist_ok=True)
            file = f"{names[label]}/{names[label]}_{number:04d}.jpg"
            paint(folder / "images" / file, label)
            lines.append(file)
            number += 1
        _text(folder / "labels" / f"{split}1.txt", lines)


def eurosat(root: Path, train: int, test: int, paint: Painter) -> None:
    for label, name in enumerate(folder_names("EuroSAT")):
        folder = root / "eurosat" / "2750" / name
        folder.mkdir(parents=True)
        for number in range(1, train + test + 1):
            paint(folder / f"{name}_{number}.jpg", label)


def flowers(root: Path, train: int, test: int, paint: Painter) -> None:
    folder = root / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    parts = dict(_split("Flowers", train, test))
    everything = [*parts["train"], *parts["test"]]
    for number, label in enumerate(everything, start=1):
        paint(folder / "jpg" / f"image_{number:05d}.jpg", label)
    first = len(parts["train"])
    numbers = np.arange(1, len(everything) + 1)
    savemat(folder / "imagelabels.mat", {"labels": np.array([everything]) + 1})
    savemat(folder / "setid.mat", {"trnid": numbers[None, :first], "valid": numbers[None, :0], "tstid": numbers[None, first:]})


def food(root: Path, train: int, test: int, paint: Painter) -> None:
    folder = root / "food-101"
    names = [name.replace(" ", "_") for name in class_names("Food")]
    number = 0
    for split, labels in _split("Food", train, test):
        files: dict[str, list[str]] = {}
        for label in labels:
            (folder / "images" / names[label]).mkdir(parents=True, exist_ok=True)
            files.setdefault(names[label], []).append(f"{names[label]}/{number}")
            paint(folder / "images" / names[label] / f"{number}.jpg", label)
            number += 1
        _text(folder / "meta" / f"{split}.json", [json.dumps(files)])


def mnist(root: Path, train: int, test: int, paint: Painter) -> None:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split, (_, labels) in zip(("train", "t10k"), _split("MNIST", train, test), strict=True):
        pixels = np.repeat(np.array([shade(label) for label in labels], dtype=np.uint8), 784)
        header = struct.pack(">4i", 2051, len(labels), 28, 28)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, len(labels)) + bytes(labels))


def pets(root: Path, train: int, test: int, paint: Painter) -> None:
    folder = root / "oxford-iiit-pet"
    (folder / "images").mkdir(parents=True)
    names = [name.replace(" ", "_") for name in class_names("OxfordPet")]
    number = 0
    for split, labels in _split("OxfordPet", train, test):
        lines = []
        for label in labels:
            paint(folder / "images" / f"{names[label]}_{number}.jpg", label)
            lines.append(f"{names[label]}_{number} {label + 1} 1 1")
            number += 1
        _text(folder / "annotations" / f"{'trainval' if split == 'train' else split}.txt", lines)


def cars(root: Path, train: int, test: int, paint: Painter, doubled: bool = False) -> None:
    """torchvision's layout, or the same with doubled folders."""
    folder = root / "stanford_cars"
    devkit = folder / ("car_devkit/devkit" if doubled else "devkit")
    devkit.mkdir(parents=True)
    savemat(devkit / "cars_meta.mat", {"class_names": np.array([list(class_names("StanfordCars"))], dtype=object)})
    for split, labels in _split("StanfordCars", train, test):
        pictures = folder / f"cars_{split}" / (f"cars_{split}" if doubled else "")
        pictures.mkdir(parents=True)
        entries = np.empty((1, len(labels)), dtype=[(key, object) for key in ("bbox_x1", "class", "fname")])
        for number, label in enumerate(labels):
            entries[0, number] = (1, label + 1, f"{number + 1:05d}.jpg")
            paint(pictures / f"{number + 1:05d}.jpg", label)
        file = devkit / "cars_train_annos.mat" if split == "train" else folder / "cars_test_annos_withlabels.mat"
        savemat(file, {"annotations": entries})


def cars_in_class_folders(root: Path, train: int, test: int, paint: Painter = picture_writer) -> None:
    names = [name.replace("/", "-") for name in class_names("StanfordCars")]
    for split, labels in _split("StanfordCars", train, test):
        for number, label in enumerate(labels):
            folder = root / "stanford_cars" / "car_data" / split / names[label]
            folder.mkdir(parents=True, exist_ok=True)
            paint(folder / f"{number:05d}.jpg", label)


def sun(root: Path, train: int, test: int, paint: Painter) -> None:
    folder = root / "SUN397"
    names = [name.replace(" ", "_") for name in class_names("SUN397")]
    _text(folder / "ClassName.txt", [f"/{name[0]}/{name}" for name in names])
    for label, name in enumerate(names):
        (folder / name[0] / name).mkdir(parents=True)
        for number in range(train + test):
            paint(folder / name[0] / name / f"sun_{label:03d}x{number:05d}.jpg", label)


def tiny(root: Path, train: int, test: int, paint: Painter) -> None:
    folder, wnids = root / "tiny-imagenet-200", folder_names("TinyImageNet")
    _text(folder / "wnids.txt", list(wnids))
    (folder / "val" / "images").mkdir(parents=True)
    annotations = []
    for label, wnid in enumerate(wnids):
        (folder / "train" / wnid / "images").mkdir(parents=True)
        for number in range(train):
            paint(folder / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", label)
        for number in range(test):
            paint(folder / "val" / "images" / f"val_{label}_{number}.JPEG", label)
            annotations.append(f"val_{label}_{number}.JPEG\t{wnid}\t0\t0\t9\t9")
    _text(folder / "val" / "val_annotations.txt", annotations)


_WRITERS: dict[str, Callable[[Path, int, int, Painter], None]] = {
    "Aircraft": aircraft,
    "Caltech101": caltech,
    "CIFAR100": cifar,
    "DTD": dtd,
    "EuroSAT": eurosat,
    "Flowers": flowers,
    "Food": food,
    "MNIST": mnist,
    "OxfordPet": pets,
    "StanfordCars": cars,
    "SUN397": sun,
    "TinyImageNet": tiny,
}


def accept(monkeypatch: Any, root: Path) -> None:
    """Tells torchvision the checksums of what was written, where it has its own."""
    from torchvision.datasets import CIFAR100, Flowers102
    from torchvision.datasets.utils import calculate_md5

    folder = root / "cifar-100-python"
    if folder.is_dir():
        for attribute in ("train_list", "test_list"):
            listed = [[file, calculate_md5(folder / file)] for file, _ in getattr(CIFAR100, attribute)]
            monkeypatch.setattr(CIFAR100, attribute, listed)
        monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": calculate_md5(folder / "meta")})
    folder = root / "flowers-102"
    if folder.is_dir():
        sums = {
            key: (file, calculate_md5(folder / file)) if file.endswith(".mat") else (file, md5)
            for key, (file, md5) in Flowers102._file_dict.items()
        }
        monkeypatch.setattr(Flowers102, "_file_dict", sums)


def small(name: str, train: int, test: int) -> Any:
    """The facts of a data set with the counts that `write` gives it."""
    source = SOURCES[name]
    if source.whole is None:
        return replace(source, train=train * source.classes, test=test * source.classes)
    whole = (train + test) * source.classes
    parts = split_sizes(whole)
    return replace(source, whole=whole, train=parts[0], test=parts[1])
