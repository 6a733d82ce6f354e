"""Whether a data set is there, and whether all of it: by counts and file lists, without opening pictures."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avalanche_gift.benchmarks.datasets import DamagedDataset, missing_files, read_dataset, strays_of
from avalanche_gift.benchmarks.pictures import Pictures
from avalanche_gift.benchmarks.sources import SOURCES, check_sizes
from avalanche_gift.names import check_name


@dataclass(frozen=True)
class Status:
    """state: present, missing or damaged; detail: why, where it is not present. train, test: pictures, as far as known."""

    name: str
    state: str
    size: int = 0
    train: int | None = None
    test: int | None = None
    detail: str = ""


def check_dataset(name: str, root: str | Path) -> Status:
    """Looks at a data set below `root`: its files, its counts against the protocol's, empty and missing picture files.

    >>> check_dataset("MNIST", "/nowhere").state
    'missing'
    """
    source = SOURCES[check_name("data set", name, SOURCES)]
    root = Path(root).expanduser()
    sizes = _file_sizes(root / source.folder)
    size = sum(sizes.values())
    lacking = missing_files(source, root)
    if not sizes:
        return Status(name, "missing", detail=", ".join(lacking) or str(root / source.folder))
    if lacking:
        return Status(name, "damaged", size, detail=f"lacks {', '.join(lacking)}")
    try:
        train, test = read_dataset(name, root)
    except (DamagedDataset, OSError) as error:
        return Status(name, "damaged", size, detail=str(error))
    try:
        check_sizes(name, len({*train.targets, *test.targets}), len(train), len(test), strays_of(train, test))
        _check_files((train, test), sizes)
    except ValueError as error:
        return Status(name, "damaged", size, len(train), len(test), str(error))
    return Status(name, "present", size, len(train), len(test))


def _check_files(parts: Sequence[Pictures], sizes: dict[str, int]) -> None:
    paths = [path for part in parts for path in part.paths()]
    if bad := [path for path in paths if not sizes.get(path)]:
        raise ValueError(f"{len(bad)} of {len(paths)} pictures are missing or empty: {', '.join(bad[:3])}")


def _file_sizes(folder: Path) -> dict[str, int]:
    """Every file below a folder with its bytes."""
    sizes: dict[str, int] = {}
    folders = [str(folder)] if folder.is_dir() else []
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    sizes[entry.path] = entry.stat().st_size
    return sizes
