"""Accuracy matrix, Transfer / Average / Last / Forgetting, curves of training, and the report.

Names are imported on first use: of these only the metrics need Avalanche, which takes seconds to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accuracy_matrix import AccuracyMatrix
    from .class_incremental import ClassIncrementalAccuracy
    from .footprints import footprint
    from .memory import measure
    from .metrics import at_once_metrics, average, continual_metrics, forgetting, last, transfer
    from .pooled import class_incremental_metrics, pooled_accuracies
    from .results import ResultsError, find_results, find_runs, read_results, software_versions, write_results
    from .summary import draw_summary, in_words
    from .table import format_accuracy, format_table
    from .training_curves import DistanceFromPrevious, LearningRate, SyntheticPictures

__all__ = [
    "AccuracyMatrix",
    "ClassIncrementalAccuracy",
    "DistanceFromPrevious",
    "LearningRate",
    "ResultsError",
    "SyntheticPictures",
    "at_once_metrics",
    "average",
    "class_incremental_metrics",
    "continual_metrics",
    "draw_summary",
    "find_results",
    "find_runs",
    "footprint",
    "forgetting",
    "format_accuracy",
    "format_table",
    "in_words",
    "last",
    "measure",
    "pooled_accuracies",
    "read_results",
    "software_versions",
    "transfer",
    "write_results",
]

_MODULES = {
    "accuracy_matrix": ("AccuracyMatrix",),
    "class_incremental": ("ClassIncrementalAccuracy",),
    "footprints": ("footprint",),
    "memory": ("measure",),
    "metrics": ("at_once_metrics", "average", "continual_metrics", "forgetting", "last", "transfer"),
    "pooled": ("class_incremental_metrics", "pooled_accuracies"),
    "results": ("ResultsError", "find_results", "find_runs", "read_results", "software_versions", "write_results"),
    "summary": ("draw_summary", "in_words"),
    "table": ("format_accuracy", "format_table"),
    "training_curves": ("DistanceFromPrevious", "LearningRate", "SyntheticPictures"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
