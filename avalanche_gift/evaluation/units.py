"""Units of the numbers that runs log: Avalanche's accuracies are fractions, ours are percent."""

from __future__ import annotations

__all__ = ["UNITS", "unit_of"]

UNITS = {
    "Top1_Acc_": ("fraction", "right answers by images, from 0 to 1; in `Top1_Acc_Stream` every image has the same weight"),
    "Loss_": ("nats", "criterion, mean over images"),
    "LossTerm": ("nats", "a summand of the loss, with its weight; `total` is their sum"),
    "LearningRate": ("1", "of the optimizer's first group of parameters"),
    "DistanceFromPrevious": ("1", "l2 norm of theta - theta_prev"),
    "GradientCosine": ("1", "from -1 to 1"),
    "ZeroShot": ("percent", "mean over experiences before training"),
    "Transfer": ("percent", "on experiences before their first training"),
    "Average": ("percent", "mean over experiences and times"),
    "Last": ("percent", "mean over experiences after the latest training; every experience has the same weight"),
    "Forgetting": ("percentage points", "change since an experience was last trained; negative means forgotten"),
    "CILAccuracy": ("percent", "of the test images of the classes seen; every image has the same weight"),
    "CILAverage": ("percent", "mean of CILAccuracy over the steps"),
    "CILLast": ("percent", "the latest CILAccuracy"),
}
"""By the beginning of a name: unit, and what it is. Numbers without a unit have 1."""


def unit_of(name: str) -> str:
    """The unit of a logged number; empty for names that are not ours or not known here.

    >>> unit_of("Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp000"), unit_of("Last/eval_phase/test_stream"), unit_of("Mine")
    ('fraction', 'percent', '')
    """
    kind = name.partition("/")[0]
    return next((unit for start, (unit, _) in UNITS.items() if kind == start or _begins(kind, start)), "")


def _begins(kind: str, start: str) -> bool:
    """Of Avalanche's metrics there is one for batches, one for epochs, one for streams, ..."""
    return start.endswith("_") and kind.startswith(start)
