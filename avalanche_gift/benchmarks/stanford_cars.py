"""StanfordCars in the three layouts that are about; torchvision can no longer download it.

Inside `root/stanford_cars`:
- torchvision's: `devkit/`, `cars_train/*.jpg`, `cars_test/*.jpg`, `cars_test_annos_withlabels.mat`;
- the same with doubled folders: `cars_train/cars_train/*.jpg`, `cars_test/cars_test/*.jpg`, `car_devkit/devkit/`;
- class folders: `car_data/{train,test}/CLASS/*.jpg`, also doubled.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from torchvision.datasets import StanfordCars
from torchvision.datasets.folder import default_loader
from torchvision.datasets.vision import VisionDataset

from avalanche_gift.benchmarks.class_names import class_names
from avalanche_gift.image_files import class_folders, files_named, is_image

FOLDER = "stanford_cars"
_DEVKITS = ("devkit", "devkit/devkit", "car_devkit/devkit", "car_devkit")
_TEST_LABELS = "cars_test_annos_withlabels.mat"


class Cars(StanfordCars):
    """torchvision's data set over (path, label) samples that come from another layout than its own."""

    def __init__(self, root: str | Path, samples: list[tuple[str, int]], strays: Sequence[str] = ()):
        VisionDataset.__init__(self, root)
        self._samples, self.strays = samples, strays
        self.classes = list(class_names("StanfordCars"))
        self.loader = default_loader


def missing_cars(root: Path) -> list[str]:
    """The files and folders that the layout at hand still needs, as paths below the root; empty where it can be read.

    Without any of them, torchvision's layout and the class folders are named.
    """
    base = root / FOLDER
    if _class_folders(base) is not None:
        return []
    wanted: dict[str, Path | None] = {
        "devkit/cars_train_annos.mat": _first(base, [f"{kit}/cars_train_annos.mat" for kit in _DEVKITS]),
        "devkit/cars_meta.mat": _first(base, [f"{kit}/cars_meta.mat" for kit in _DEVKITS]),
        _TEST_LABELS: _test_labels(base),
        "cars_train/*.jpg": _pictures(base, "cars_train"),
        "cars_test/*.jpg": _pictures(base, "cars_test"),
    }
    if (base / "car_data").is_dir():
        inner = _inner(base / "car_data")
        return [f"{inner.relative_to(root)}/{split}" for split in ("train", "test") if not (inner / split).is_dir()]
    missing = [f"{FOLDER}/{part}" for part, found in wanted.items() if found is None]
    return [*missing, f"or {FOLDER}/car_data/{{train,test}}/CLASS/*.jpg"] if len(missing) == len(wanted) else missing


def read_cars(root: Path) -> tuple[StanfordCars, StanfordCars]:
    """Train and test pictures with `_samples` of (path, label 0..195 in the order of the devkit). No picture is opened.

    Raises FileNotFoundError that names pictures of the annotations which are not there, ValueError for unknown classes.
    """
    base = root / FOLDER
    if (folders := _class_folders(base)) is not None:
        return Cars(root, *_from_folders(folders / "train")), Cars(root, *_from_folders(folders / "test"))
    train_annotations = _first(base, [f"{kit}/cars_train_annos.mat" for kit in _DEVKITS])
    train, test, test_annotations = _pictures(base, "cars_train"), _pictures(base, "cars_test"), _test_labels(base)
    if train is None or test is None or train_annotations is None or test_annotations is None:
        raise FileNotFoundError(f"missing: {missing_cars(root)}")
    _check_devkit(train_annotations.with_name("cars_meta.mat"))
    samples = _from_annotations(train_annotations, train), _from_annotations(test_annotations, test)
    if (train, test, train_annotations.parent, test_annotations.parent) == (
        base / "cars_train", base / "cars_test", base / "devkit", base,
    ):  # fmt: skip
        return StanfordCars(root, "train"), StanfordCars(root, "test")
    return Cars(root, samples[0]), Cars(root, samples[1])


def _from_annotations(file: Path, folder: Path) -> list[tuple[str, int]]:
    from scipy.io import loadmat

    entries = loadmat(file, squeeze_me=True)["annotations"].reshape(-1)
    present = set(os.listdir(folder))
    samples = [(str(entry["fname"]), int(entry["class"]) - 1) for entry in entries]
    if missing := [name for name, _ in samples if name not in present]:
        raise FileNotFoundError(f"{len(missing)} pictures of {file.name} are missing in {folder}: {', '.join(missing[:5])}")
    return [(str(folder / name), label) for name, label in samples]


def _check_devkit(meta: Path) -> None:
    """The devkit's class names must be the published ones, or at least the first of them, in order."""
    from scipy.io import loadmat

    found = [_letters(str(name)) for name in loadmat(meta, squeeze_me=True)["class_names"].reshape(-1)]
    published = [_letters(name) for name in class_names("StanfordCars")]
    if found != published[: len(found)]:
        place = next(i for i, name in enumerate(found) if i >= len(published) or name != published[i])
        raise ValueError(f"expected in {meta} the published class names, got another at place {place + 1}: {found[place]}")


def _from_folders(folder: Path) -> tuple[list[tuple[str, int]], list[str]]:
    """Samples by class folder, and the files that are not named as the data set's own."""
    label = {_letters(name): index for index, name in enumerate(class_names("StanfordCars"))}
    found = class_folders(folder)
    if unknown := [name for name in found if _letters(name) not in label]:
        raise ValueError(f"expected class folders named as the devkit's classes in {folder}, got also {unknown[:5]}")
    samples: list[tuple[str, int]] = []
    strays: list[str] = []
    for name in found:
        paths, others = files_named(folder / name, r"\d+\.jpg")
        samples += [(path, label[_letters(name)]) for path in paths]
        strays += others
    return samples, strays


def _letters(name: str) -> str:
    """Folders can't hold the slash of "Ram C/V"; letters and digits tell the classes apart."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _class_folders(base: Path) -> Path | None:
    inner = _inner(base / "car_data")
    return inner if all((inner / split).is_dir() for split in ("train", "test")) else None


def _inner(folder: Path) -> Path:
    """The folder of the same name inside, where there is one."""
    return folder / folder.name if (folder / folder.name).is_dir() else folder


def _pictures(base: Path, split: str) -> Path | None:
    folder = _inner(base / split)
    return folder if folder.is_dir() and any(map(is_image, os.listdir(folder))) else None


def _test_labels(base: Path) -> Path | None:
    return _first(base, [_TEST_LABELS, *(f"{kit}/{_TEST_LABELS}" for kit in _DEVKITS)])


def _first(base: Path, candidates: list[str]) -> Path | None:
    return next((base / each for each in candidates if (base / each).is_file()), None)
