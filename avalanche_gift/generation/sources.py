"""Turns what a user hands over into a source of pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from avalanche_gift.generation.diffusers_generator import DiffusersGenerator
from avalanche_gift.generation.folders import FolderGenerator
from avalanche_gift.generation.protocol import Generator, PairSource


def as_source(source: Any, *, exif_orientation: bool = True) -> Generator | PairSource:
    """A folder, a diffusers pipeline, or an object with `generate` or `pairs`, as a source of pictures.

    A folder with a model_index.json is loaded as a pipeline, a store of `avalanche-gift generate` is `Ahead`, any other one
    read as pictures; an object that has one of the two methods comes back as it is. Raises FileNotFoundError where there is
    no such folder, TypeError for the rest. exif_orientation: of a folder of pictures, as `FolderGenerator`.
    """
    if isinstance(source, str | os.PathLike):
        return _from_folder(Path(source), exif_orientation)
    if not isinstance(source, type):
        if callable(getattr(source, "generate", None)) or callable(getattr(source, "pairs", None)):
            return source
        if callable(source) and hasattr(source, "scheduler") and hasattr(source, "components"):
            return DiffusersGenerator(source)
    came = f"the class {source.__name__} itself" if isinstance(source, type) else type(source).__name__
    raise TypeError(
        "expected a folder of pictures or of a diffusers pipeline, a diffusers pipeline, or an object with "
        f"generate(prompts, seeds) or pairs(count, seed=..., exclude=...), came {came}"
    )


def _from_folder(folder: Path, exif_orientation: bool) -> Generator | PairSource:
    if not folder.exists():
        raise FileNotFoundError(
            f"there is no folder '{folder}'; for a pipeline of the Hugging Face hub pass DiffusersGenerator('{folder}')"
        )
    if any(folder.glob("task-*/meta.json")):
        from avalanche_gift.generation.policies import Ahead

        return Ahead(folder)
    if (folder / "model_index.json").is_file():
        return DiffusersGenerator(folder)
    return FolderGenerator(folder, exif_orientation=exif_orientation)
