"""Streams for CLIP: Avalanche benchmarks whose experiences carry class names and templates.

Names are imported on first use, because Avalanche and torchvision take seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .class_incremental import SplitCIFAR100CLIP, SplitTinyImageNetCLIP
    from .digits import PrintedGlyphs, SplitDigits
    from .folders import ClassFolders
    from .mini.tasks import MiniWorld, PerfectGenerator
    from .mtil import MTIL
    from .stream import Task, clip_benchmark

__all__ = [
    "MTIL",
    "ClassFolders",
    "MiniWorld",
    "PerfectGenerator",
    "PrintedGlyphs",
    "SplitCIFAR100CLIP",
    "SplitDigits",
    "SplitTinyImageNetCLIP",
    "Task",
    "clip_benchmark",
]

_MODULES = {
    "class_incremental": ("SplitCIFAR100CLIP", "SplitTinyImageNetCLIP"),
    "digits": ("PrintedGlyphs", "SplitDigits"),
    "folders": ("ClassFolders",),
    "mini.tasks": ("MiniWorld", "PerfectGenerator"),
    "mtil": ("MTIL",),
    "stream": ("Task", "clip_benchmark"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
