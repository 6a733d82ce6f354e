"""Curves of a run's training, read from its TensorBoard events."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

POINTS = 150
"""Of a curve at most: more can't be told apart in a small chart."""

Curve = tuple[list[float], list[float]]
"""Iterations and values."""


OTHERS = {
    "LearningRate": "learning rate",
    "DistanceFromPrevious": "distance from theta_prev",
    "GradientCosine": "gradient cosine",
}
"""Curves that are no losses, by their names in the events."""


def loss_curves(folder: Path) -> dict[str, Curve]:
    """`LossTerm/NAME/...` of `folder/tensorboard` by name, and `OTHERS`; empty where nothing was logged or can be read."""
    if not list((folder / "tensorboard").glob("events.*")):
        return {}
    # Here, because it takes half a second that a page without events need not wait.
    from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={SCALARS: 0, IMAGES: 1})
    events.Reload()
    curves: dict[str, Curve] = {}
    for tag in events.Tags()["scalars"]:
        kind, _, rest = tag.partition("/")
        if name := rest.partition("/")[0] if kind == "LossTerm" else OTHERS.get(kind):
            scalars = events.Scalars(tag)
            curves[name] = thinned([s.step for s in scalars], [s.value for s in scalars])
    return curves


def thinned(steps: list[int], values: list[float], points: int = POINTS) -> Curve:
    """Means of neighbours, so that at most `points` remain.

    >>> thinned([0, 1, 2, 3, 4], [1.0, 3.0, 5.0, 7.0, 9.0], points=3)
    ([0.5, 2.5, 4.0], [2.0, 6.0, 9.0])
    """
    width = -(-len(steps) // points) or 1
    starts = range(0, len(steps), width)
    return [fmean(steps[i : i + width]) for i in starts], [fmean(values[i : i + width]) for i in starts]
