"""TinyImageNet as published, or with its validation images moved into class folders; torchvision has no class for it, and
Avalanche's lists files in no fixed order."""

import re
from pathlib import Path

from avalanche_gift.benchmarks.image_list import ImageList
from avalanche_gift.image_files import class_folders, files_named, image_files

FOLDER = "tiny-imagenet-200"


class TinyImageNet(ImageList):
    """`root/tiny-imagenet-200`: `wnids.txt`, `train/WNID/images/*`, and the validation set in one of two layouts:

    - as published: `val/images/*` and `val/val_annotations.txt`;
    - moved, as many scripts do: `val/WNID/*` or `val/WNID/images/*`, with or without the annotations.

    Both give the same samples in the same order. train False: the validation set, which is what papers test on. `classes`: the
    wnids in the order of the file; `samples`: (path, label) in the order of class and file name, or of the annotations.
    Raises FileNotFoundError, or ValueError for class folders and images that are not the data set's: missing, twice, or in the
    folder of another class than the annotations say.
    """

    def __init__(self, root: str | Path, *, train: bool = True):
        folder = Path(root) / FOLDER
        classes = (folder / "wnids.txt").read_text(encoding="utf-8").split()
        label = {wnid: index for index, wnid in enumerate(classes)}
        found = _train(folder / "train", label) if train else (_val(folder / "val", label), [])
        super().__init__(found[0], classes=classes, strays=found[1])


def missing_tiny(root: Path) -> list[str]:
    """The files and folders that the layout at hand still needs, as paths below the root."""
    folder = root / FOLDER
    needs = [need for need in ("wnids.txt", "train") if not (folder / need).exists()]
    val = folder / "val"
    moved = val.is_dir() and any(name != "images" for name in class_folders(val))
    if not moved:
        needs += [need for need in ("val/val_annotations.txt", "val/images") if not (folder / need).exists()]
    return [f"{FOLDER}/{need}" for need in needs]


def _train(folder: Path, label: dict[str, int]) -> tuple[list[tuple[str, int]], list[str]]:
    """Samples, and the files that are not named as the data set's own."""
    samples: list[tuple[str, int]] = []
    strays: list[str] = []
    for wnid in _known(folder, class_folders(folder), label):
        inner = folder / wnid / "images"
        paths, others = files_named(inner if inner.is_dir() else folder / wnid, rf"{wnid}_\d+\.JPEG")
        if not paths:
            raise ValueError(f"expected images {wnid}_*.JPEG in {folder / wnid}, got none")
        samples += [(path, label[wnid]) for path in paths]
        strays += [path for path in others if not path.endswith("_boxes.txt")]
    return samples, strays


def _val(folder: Path, label: dict[str, int]) -> list[tuple[str, int]]:
    moved = _moved(folder, label)
    file = folder / "val_annotations.txt"
    if not file.is_file():
        if (folder / "images").is_dir() and (unmoved := image_files(folder / "images")):
            raise ValueError(
                f"expected {file}, or all validation images in class folders, got {len(unmoved)} images without a class in "
                f"{folder / 'images'}; unpack the data set again"
            )
        numbered = sorted(moved.items(), key=lambda item: _number(item[0]))  # the order of the annotations
        return [(path, label[wnid]) for _, (path, wnid) in numbered]
    lines = file.read_text(encoding="utf-8").splitlines()
    entries = [line.split("\t")[:2] for line in lines if line.strip()]
    if not moved:
        return [(str(folder / "images" / name), label[wnid]) for name, wnid in entries]
    if wrong := [moved[name][0] for name, wnid in entries if name in moved and moved[name][1] != wnid]:
        raise ValueError(
            f"expected images in the class folders that {file} names, got {len(wrong)} elsewhere, first {wrong[0]}"
        )
    paths = [moved[name][0] if name in moved else str(folder / "images" / name) for name, _ in entries]
    left = {*image_files(folder / "images")} if (folder / "images").is_dir() else set()
    here = left | {path for path, _ in moved.values()}
    if missing := [path for path in paths if path not in here]:
        raise ValueError(
            f"expected all validation images in {folder / 'images'} or moved into class folders, got {len(moved)} moved and "
            f"{len(missing)} in neither, first {Path(missing[0]).name}; unpack the data set again"
        )
    return [(path, label[wnid]) for path, (_, wnid) in zip(paths, entries, strict=True)]


def _moved(folder: Path, label: dict[str, int]) -> dict[str, tuple[str, str]]:
    """Path and wnid of each validation image in a class folder, by the file's name; scripts may have put the wnid before it."""
    found: dict[str, tuple[str, str]] = {}
    for wnid in _known(folder, [name for name in class_folders(folder) if name != "images"], label):
        for path in image_files(folder / wnid):
            name = Path(path).name.removeprefix(f"{wnid}_")
            if name in found:
                raise ValueError(f"expected each validation image once, got {found[name][0]} and {path}")
            found[name] = path, wnid
    return found


def _known(folder: Path, names: list[str], label: dict[str, int]) -> list[str]:
    if unknown := [name for name in names if name not in label]:
        raise ValueError(f"expected class folders of wnids.txt in {folder}, got also {unknown[:5]}")
    return names


def _number(name: str) -> tuple[int, str]:
    digits = re.findall(r"\d+", name)
    return (int(digits[-1]) if digits else 0, name)
