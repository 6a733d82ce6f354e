"""What a folder with a diffusers pipeline may hold, checked before diffusers opens anything in it."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from avalanche_gift.plain_configs import (
    UNSAFE_CLASSES,
    NotPlain,
    check_config,
    check_config_files,
    check_links,
    read_config,
    refusal,
)

INDEX = "model_index.json"
OWN_PIPELINE, OWN_PARTS = "MiniPipeline", ["avalanche_gift.generation.mini_pipeline", "MiniDenoiser"]
CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
NO_SAFETENSORS = ("Onnx", "Flax", "FlashPack")
"""Beginnings of classes whose weights are in files of other kinds."""


def check_pipeline_folder(folder: Path, *, remote: bool = False) -> None:
    """Raises NotPlain, a ValueError, for whatever could run code or lead out of the folder, by its key or its file.

    Args:
        folder: of a pipeline as `save_pretrained` writes it; with all its parts, each in a folder of its own.
        remote: whether it came from the hub by name, so that its model card may name another repository there.
    """
    check_links(folder, deep=True)
    check_index(read_config(folder / INDEX), where=str(folder / INDEX))
    for part in sorted(path for path in folder.rglob("*") if path.is_dir()):
        # diffusers would import a module of a part's folder in place of the library that the index names
        if code := sorted(part.glob("*.py")):
            raise NotPlain(f"expected no code in the parts of a pipeline, got {code[0]}; remove that file")
        if (part / INDEX).is_file():
            check_index(read_config(part / INDEX), where=str(part / INDEX))
    for each in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        check_config_files(each)
    if not remote and (others := connected(folder)):
        raise NotPlain(
            f"expected a whole pipeline in {folder}, got the repository {others[0]!r} in its README.md, which diffusers would "
            "load too; load the pipeline with diffusers and hand over the object"
        )


def connected(folder: Path) -> list[str]:
    """The repositories that a model card has diffusers load with a pipeline: the `prior` of its heading."""
    card = folder / "README.md"
    if not card.is_file():
        return []
    from huggingface_hub import ModelCard

    try:
        found = getattr(ModelCard.load(card).data, "prior", None) or []
    except ValueError:  # as diffusers, which reads it in this way, would say itself
        return []
    return [str(each) for each in (found if isinstance(found, list) else [found])]


def check_index(index: dict[str, Any], *, where: str) -> None:
    """Raises NotPlain unless an index names classes of diffusers and transformers only.

    Args:
        index: the content of a model_index.json.
        where: what the message names, usually the path.
    """
    own = index.get("_class_name")
    if own is not None and not (isinstance(own, str) and CLASS.fullmatch(own)):
        raise refusal(where, "_class_name", own)
    for key, value in index.items():
        if isinstance(value, list) and len(value) == 2 and value != [None, None] and not key.startswith("_"):
            if not (_is_known(*value) or (own == OWN_PIPELINE and value == OWN_PARTS)):
                raise refusal(where, key, value)
            if not CLASS.fullmatch(key):  # the name of the part's folder
                raise refusal(where, key, value)
        else:
            check_config({key: value}, where=where)


def _is_known(library: Any, name: Any) -> bool:
    """Whether a part is of a class that diffusers takes from itself or from transformers."""
    if not (isinstance(library, str) and isinstance(name, str) and CLASS.fullmatch(name)):
        return all(isinstance(each, int | float) for each in (library, name))  # two numbers are no part
    if name.startswith(NO_SAFETENSORS):
        return False
    if library == "diffusers":
        return True
    if library == "transformers":
        return not name.startswith(UNSAFE_CLASSES)
    return bool(CLASS.fullmatch(library)) and _is_module_of_diffusers(library)


def _is_module_of_diffusers(library: str) -> bool:
    """Whether diffusers looks a class up in its own module of that name; any other it would import from anywhere."""
    from diffusers import pipelines

    return find_spec(f"diffusers.pipelines.{library}") is not None and hasattr(pipelines, library)
