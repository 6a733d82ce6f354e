"""The embedded mini world: 139 drawn concepts to pre-train on, and six tasks in styles that pre-training never shows."""

from importlib import import_module
from typing import Any

_MODULES = {
    "MiniWorld": "tasks",
    "PerfectGenerator": "tasks",
    "draw_task": "tasks",
    "draw_pretraining": "pretraining",
    "draw_canonical": "canonical",
    "canonical_picture": "canonical",
    "TASKS": "concepts",
    "TEMPLATES": "concepts",
    "VOCABULARY": "concepts",
    "all_prompts": "concepts",
    "base_prompts": "concepts",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
