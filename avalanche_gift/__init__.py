"""GIFT (CVPR 2025) for continual learning of CLIP models in Avalanche.

Importing this package is cheap: its names are loaded when they are first used, because `import avalanche` takes seconds.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    **dict.fromkeys(
        (
            *("GIFT", "FineTune", "ZeroShot", "Joint", "L2", "EWC", "EWCV", "LwF", "LwFVR", "ICaRL", "WiSEFT", "ZSCL"),
            "MoEAdapters",
        ),
        "training",
    ),
    "CLIPClassifier": "models",
    "ClassTextsPlugin": "training.plugins",
    "MTIL": "benchmarks",
    "SplitCIFAR100CLIP": "benchmarks",
    "SplitTinyImageNetCLIP": "benchmarks",
    "ClassFolders": "benchmarks",
    "MiniWorld": "benchmarks",
    "AccuracyMatrix": "evaluation",
    "ClassIncrementalAccuracy": "evaluation",
    "DiffusersGenerator": "generation",
    "FolderGenerator": "generation",
}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
