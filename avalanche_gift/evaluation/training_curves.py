"""What is worth watching in training beside losses and accuracies, as Avalanche metrics."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import torch
from avalanche.evaluation import PluginMetric
from avalanche.evaluation.metric_results import MetricValue
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from avalanche_gift.consolidation import snapshot, trainable_parameters

__all__ = ["DistanceFromPrevious", "LearningRate", "SyntheticPictures"]

PHASE = "train_phase/train_stream"
ACROSS, PIXELS = 8, 128
"""Pictures in a line, and pixels of a side at most: an evaluator keeps every figure."""


class _Watching(PluginMetric[Any]):
    """A metric that keeps nothing to be asked for: what it sees is published at once."""

    def result(self) -> None:
        return None

    def reset(self) -> None:
        return None

    def _value(self, strategy: Any, name: str, value: Any) -> MetricValue:
        return MetricValue(self, name, value, strategy.clock.train_iterations)


class LearningRate(_Watching):
    """`LearningRate/train_phase/train_stream`, of unit 1: of each update, of the optimiser's first group of parameters."""

    def before_update(self, strategy: Any) -> MetricValue:
        return self._value(strategy, f"LearningRate/{PHASE}", float(strategy.optimizer.param_groups[0]["lr"]))


class DistanceFromPrevious(_Watching):
    """`DistanceFromPrevious/train_phase/train_stream`: the l2 norm of theta - theta_prev, over the trained parameters, in their
    units.

    After every `every` updates of an experience, and as it ends, with what a strategy then does to the weights (WiSE-FT, weight
    ensemble). theta_prev, the weights as the experience begins, is kept in the memory of the CPU and visits the device tensor
    by tensor.
    """

    def __init__(self, every: int = 20):
        super().__init__()
        if every < 1:
            raise ValueError(f"expected at least one update from one measurement to the next, got every={every}")
        self.every = every
        self._theta_prev: dict[str, Tensor] = {}

    def before_training_exp(self, strategy: Any) -> None:
        self._theta_prev = snapshot((name, tensor.cpu()) for name, tensor in trainable_parameters(strategy.model))

    def before_update(self, strategy: Any) -> MetricValue | None:
        done = strategy.clock.train_exp_iterations
        return self._measure(strategy) if done and done % self.every == 0 else None

    def after_training_exp(self, strategy: Any) -> MetricValue:
        value = self._measure(strategy)
        self._theta_prev = {}
        return value

    @torch.no_grad()
    def _measure(self, strategy: Any) -> MetricValue:
        squares = sum(
            float((parameter - self._theta_prev[name].to(parameter.device)).square().sum())
            for name, parameter in trainable_parameters(strategy.model)
            if name in self._theta_prev
        )
        return self._value(strategy, f"DistanceFromPrevious/{PHASE}", squares**0.5)


class SyntheticPictures(_Watching):
    """`SyntheticPictures/train_phase/train_stream/Exp000`, ...: a Figure of the first pictures of each experience and their
    prompts, from `strategy.synthetic_sample`, where `SyntheticReplayPlugin` lays them."""

    def before_update(self, strategy: Any) -> MetricValue | None:
        sample = getattr(strategy, "synthetic_sample", None)
        if not sample or strategy.clock.train_exp_iterations:
            return None
        name = f"SyntheticPictures/{PHASE}/Exp{strategy.experience.current_experience:03d}"
        return self._value(strategy, name, picture_grid(sample))


def picture_grid(pictures: Sequence[tuple[Image.Image, str]], across: int = ACROSS) -> Figure:
    """Pictures under their prompts, which are wrapped and never cut."""
    across = min(across, len(pictures))
    down = -(-len(pictures) // across)
    captions = ["\n".join(textwrap.wrap(prompt, 22)) for _, prompt in pictures]
    lines = max(caption.count("\n") + 1 for caption in captions)
    figure = Figure(figsize=(1.3 * across, (1.25 + 0.13 * lines) * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (picture, _), caption in zip(grid, pictures, captions, strict=False):
        small = picture.convert("RGB")
        small.thumbnail((PIXELS, PIXELS))
        axes.imshow(small, interpolation="nearest" if max(small.size) <= 64 else None)
        axes.set_title(caption, fontsize=6)
    return figure
