"""Where synthetic pictures come from: diffusion pipelines, folders, or any class with `generate(prompts, seeds)`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avalanche_gift.generation.diffusers_generator import DiffusersGenerator
    from avalanche_gift.generation.folders import FolderGenerator
    from avalanche_gift.generation.mini import mini_generator
    from avalanche_gift.generation.protocol import Generator, PairSource, picture_seed
    from avalanche_gift.generation.sources import as_source

__all__ = ["DiffusersGenerator", "FolderGenerator", "Generator", "PairSource", "as_source", "mini_generator", "picture_seed"]

_MODULES = {
    "DiffusersGenerator": "diffusers_generator",
    "FolderGenerator": "folders",
    "Generator": "protocol",
    "PairSource": "protocol",
    "as_source": "sources",
    "mini_generator": "mini",
    "picture_seed": "protocol",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
