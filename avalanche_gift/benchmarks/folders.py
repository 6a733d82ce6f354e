"""Your own pictures as a stream: `root/TASK/{train,test}/CLASS/*`."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from avalanche.benchmarks.scenarios import CLScenario

from avalanche_gift.benchmarks.image_list import ImageList
from avalanche_gift.benchmarks.pictures import Pictures
from avalanche_gift.benchmarks.stream import Task, clip_benchmark, in_order
from avalanche_gift.files import parse_json, read_file
from avalanche_gift.image_files import ENDINGS, Untaken, by_class, class_folders
from avalanche_gift.names import check_name, is_unicode
from avalanche_gift.pictures import open_rgb
from avalanche_gift.prompts import DEFAULT_TEMPLATES
from avalanche_gift.wordnet import folder_class_names


def ClassFolders(
    root: str | Path,
    *,
    order: Sequence[str] | None = None,
    templates: Mapping[str, Sequence[str]] | Sequence[str] = DEFAULT_TEMPLATES,
    learning_rates: Mapping[str, float] | None = None,
    train_transform: Callable[[Any], Any],
    eval_transform: Callable[[Any], Any],
    class_incremental: bool = False,
    exif_orientation: bool = True,
    **options: Any,
) -> CLScenario:
    """A benchmark from folders of pictures, one task a folder, in the order of their names or in `order`.

    The images of a class are all files below its folder that end in .png, .jpg, ... (`image_files.ENDINGS`). What systems and
    archivers leave behind is passed over (hidden files and folders, `__MACOSX`, `Thumbs.db`, ...); files in other formats for
    images are counted and named in one warning.
    exif_orientation: images are turned upright, as a phone shows them; False for the pixels as the files store them.

    Class names are the folders' names with spaces for underscores, and ImageNet's names for its WordNet numbers (n01443537).
    A `classes.json` in the task's folder says otherwise:
    `{"classes": [...]}`, the class folders in label order, or `{"names": {FOLDER: NAME}}`, other names, or both.
    templates: one list for all tasks, or lists by task name (others keep "a photo of a {c}."). learning_rates: by task name.
    Transforms: usually `model.train_transform` and `model.eval_transform`. Labels are read from folders, never from pictures.
    options: shots, max_pictures, seed, skip_unreadable and cache_dir, as `clip_benchmark`.

    A folder with one split only is left out with a warning (a source of replay pictures may stand beside the tasks), unless
    `order` names it. Raises FileNotFoundError or ValueError that names the folder: no tasks, a split or a class that is
    missing or empty, a class in test that train lacks, fewer than two classes, an unknown task in `order`.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"expected a folder TASK/{{train,test}}/CLASS/* of pictures, got {root}, which is no folder")
    present = class_folders(root)
    names = in_order(present, order) if order is not None else [name for name in present if _is_whole(root / name)]
    if not names and order is None:
        raise FileNotFoundError(f"expected folders TASK with train and test inside {root}, got {present or 'nothing'}")
    named = templates if isinstance(templates, Mapping) else dict.fromkeys(names, templates)
    rates = learning_rates or {}
    untaken = Untaken()
    tasks = [
        read_task(
            root / name,
            templates=named.get(name, DEFAULT_TEMPLATES),
            learning_rate=rates.get(name),
            exif_orientation=exif_orientation,
            untaken=untaken,
        )
        for name in names
    ]
    untaken.warn(root)
    return clip_benchmark(
        tasks,
        train_transform=train_transform,
        eval_transform=eval_transform,
        class_incremental=class_incremental,
        **options,
    )


def read_task(
    folder: Path,
    *,
    templates: Sequence[str] = DEFAULT_TEMPLATES,
    learning_rate: float | None = None,
    exif_orientation: bool = True,
    untaken: Untaken | None = None,
) -> Task:
    """One task from `folder/{train,test}/CLASS/*`, with its `classes.json` where there is one."""
    for split in ("train", "test"):
        if not (folder / split).is_dir():
            raise FileNotFoundError(f"expected the folders train and test in the task {folder}, got no {split}")
    order, names = _classes(folder)
    train, test = (
        read_folder(folder / split, order, name=folder.name, exif_orientation=exif_orientation, untaken=untaken)
        for split in ("train", "test")
    )
    return Task(folder.name, train, test, class_names=names, templates=templates, learning_rate=learning_rate)


def read_folder(
    folder: Path, order: Sequence[str], *, name: str, exif_orientation: bool = True, untaken: Untaken | None = None
) -> Pictures:
    """`folder/CLASS/*` with the classes, and so the labels, in the order given. Errors as `ClassFolders`."""
    present = class_folders(folder)
    if unknown := sorted(set(present) - set(order)):
        raise ValueError(f"expected in {folder} the classes of train (and classes.json), got also {unknown}")
    if missing := sorted(set(order) - set(present)):
        raise FileNotFoundError(f"expected images in every class of {folder}; missing there: {missing}")
    samples, empty = by_class(folder, order, untaken)
    if empty:
        raise FileNotFoundError(
            f"expected images ({' '.join(sorted(ENDINGS))}) in every class of {folder}, got none in {', '.join(empty)}"
        )
    found = ImageList(
        samples,
        classes=order,
        loader=partial(open_rgb, exif_orientation=exif_orientation),
        reading="upright" if exif_orientation else "",
    )
    return Pictures(found, found.targets, name=name, paths=[path for path, _ in samples])


def _classes(folder: Path) -> tuple[list[str], list[str]]:
    """Class folders in label order, and the classes' names."""
    found = class_folders(folder / "train")
    if not found:
        raise FileNotFoundError(f"expected a folder of pictures for each class in {folder / 'train'}, got none")
    order, names = found, {}
    if (path := folder / "classes.json").exists():
        described = _described(path)
        order, names = described.get("classes", found), described.get("names", {})
        for name in names:
            check_name(f"class folder (in the names of {path})", name, order)
    unnamed = [name for name in order if name not in names]
    called = folder_class_names(unnamed, str(folder), f'name them in {path}: {{"names": {{FOLDER: NAME}}}}')
    names = {**dict(zip(unnamed, called, strict=True)), **names}
    return list(order), [names[name] for name in order]


def _described(path: Path) -> dict[str, Any]:
    """A `classes.json`. Raises ValueError where it is not as `ClassFolders` says."""
    try:
        described = parse_json(read_file(path))
    except ValueError as error:
        raise ValueError(f"expected JSON in {path}: {error}") from None
    if not isinstance(described, dict) or not described.keys() & {"classes", "names"}:
        got = f"the keys {sorted(described)}" if isinstance(described, dict) else type(described).__name__
        raise ValueError(f'expected {{"classes": [...]}} or {{"names": {{FOLDER: NAME}}}} in {path}, got {got}')
    order, names = described.get("classes", []), described.get("names", {})
    if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
        raise ValueError(f"expected a list of class folders as the classes of {path}, got {order!r}")
    if not isinstance(names, dict) or not all(map(_is_name, names.values())):
        raise ValueError(f"expected names that are no empty texts, by class folder, as the names of {path}, got {names!r}")
    return described


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name.strip()) and is_unicode(name)


def _is_whole(folder: Path) -> bool:
    """Whether a task's folder has both splits; warns where it has but one."""
    lacking = [split for split in ("train", "test") if not (folder / split).is_dir()]
    if len(lacking) == 1:
        warnings.warn(f"{folder} is left out of the stream: it has no folder {lacking[0]!r}", stacklevel=1)
    return not lacking
