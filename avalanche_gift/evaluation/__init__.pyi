"""Public names and their homes: read by type checkers, and by lazy_loader on first use."""

from .accuracy_matrix import AccuracyMatrix as AccuracyMatrix
from .class_incremental import ClassIncrementalAccuracy as ClassIncrementalAccuracy
from .footprints import footprint as footprint
from .memory import measure as measure
from .metrics import (
    at_once_metrics as at_once_metrics,
    average as average,
    continual_metrics as continual_metrics,
    forgetting as forgetting,
    last as last,
    transfer as transfer,
)
from .pooled import class_incremental_metrics as class_incremental_metrics, pooled_accuracies as pooled_accuracies
from .results import (
    ResultsError as ResultsError,
    find_results as find_results,
    find_runs as find_runs,
    read_results as read_results,
    software_versions as software_versions,
    training_order as training_order,
    write_results as write_results,
)
from .summary import draw_summary as draw_summary, in_words as in_words
from .table import format_accuracy as format_accuracy, format_table as format_table
from .training_curves import (
    DistanceFromPrevious as DistanceFromPrevious,
    LearningRate as LearningRate,
    SyntheticPictures as SyntheticPictures,
)
