"""Where synthetic pictures come from and where they are kept: diffusion pipelines, folders, stores, policies."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avalanche_gift.generation.diffusers_generator import DiffusersGenerator
    from avalanche_gift.generation.folders import FolderGenerator
    from avalanche_gift.generation.making import GenerationError, fill_task, make_pictures, meta_of, plan_tasks, retry_seed
    from avalanche_gift.generation.mini import mini_generator
    from avalanche_gift.generation.policies import Ahead, PerTask, RegenerateEvery, as_policy
    from avalanche_gift.generation.protocol import Generator, PairSource, picture_seed
    from avalanche_gift.generation.sources import as_source
    from avalanche_gift.generation.store import StoreError, SyntheticStore, TaskFolder

__all__ = [
    "Ahead",
    "DiffusersGenerator",
    "FolderGenerator",
    "GenerationError",
    "Generator",
    "PairSource",
    "PerTask",
    "RegenerateEvery",
    "StoreError",
    "SyntheticStore",
    "TaskFolder",
    "as_policy",
    "as_source",
    "fill_task",
    "make_pictures",
    "meta_of",
    "mini_generator",
    "picture_seed",
    "plan_tasks",
    "retry_seed",
]

_MODULES = {
    "Ahead": "policies",
    "DiffusersGenerator": "diffusers_generator",
    "FolderGenerator": "folders",
    "GenerationError": "making",
    "Generator": "protocol",
    "PairSource": "protocol",
    "PerTask": "policies",
    "RegenerateEvery": "policies",
    "StoreError": "store",
    "SyntheticStore": "store",
    "TaskFolder": "store",
    "as_policy": "policies",
    "as_source": "sources",
    "fill_task": "making",
    "make_pictures": "making",
    "meta_of": "making",
    "mini_generator": "mini",
    "picture_seed": "protocol",
    "plan_tasks": "making",
    "retry_seed": "making",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
