"""Whether the task and the synthetic pictures pull the same way: the cosine between their gradients."""

from functools import partial
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metric_results import MetricValue
from torch import Tensor

from avalanche_gift.consolidation import trainable_parameters
from avalanche_gift.distributed import size


class GradientCosinePlugin(SupervisedPlugin):
    """Publishes `GradientCosine/train_phase/train_stream`: between the gradient of the task's loss and that of the synthetic
    losses (distillation and alignment), over all trained parameters; 0 where one of them vanishes or overflows.

    List it right after `SyntheticReplayPlugin`, whose gradient then stands alone in `.grad`. Measured at iterations 0, `every`,
    2 `every`, ... of an experience: there it keeps a copy of the synthetic gradient, as large as the trained weights, from the
    forward to the backward pass. It only reads gradients, so that the weights are the same bit by bit without it. Silent among
    several processes, of which none sees the task's whole gradient alone.
    """

    supports_distributed = False

    def __init__(self, every: int = 20):
        super().__init__()
        if every < 1:
            raise ValueError(f"expected at least one iteration from one measurement to the next, got every={every}")
        self.every = every
        self._synthetic: dict[str, Tensor | None] = {}
        self._sums: list[Tensor] = []
        self._handles: list[Any] = []

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        if strategy.clock.train_exp_iterations % self.every == 0 and size() == 1:
            parameters = trainable_parameters(strategy.model)
            self._synthetic = {name: None if p.grad is None else p.grad.clone() for name, p in parameters}

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        self._sums = []
        self._handles = [
            parameter.register_hook(partial(self._meet, self._synthetic[name]))
            for name, parameter in trainable_parameters(strategy.model)
            if name in self._synthetic
        ]

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        for handle in self._handles:
            handle.remove()
        if self._sums:
            product, task = torch.stack(self._sums).sum(0).tolist()
            synthetic = sum(float(_dot(own, own)) for own in self._synthetic.values() if own is not None)
            cosine = product / (task * synthetic) ** 0.5 if 0 < task * synthetic < torch.inf else 0.0
            value = MetricValue(self, "GradientCosine/train_phase/train_stream", cosine, strategy.clock.train_iterations)
            strategy.evaluator.publish_metric_value(value)
        self._synthetic, self._sums, self._handles = {}, [], []

    def _meet(self, synthetic: Tensor | None, task: Tensor) -> None:
        """Called by autograd with the task's gradient of one parameter, before that is added to `.grad`."""
        product = task.new_zeros((), dtype=torch.float64) if synthetic is None else _dot(synthetic, task)
        self._sums.append(torch.stack([product, _dot(task, task)]))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.flatten(), b.flatten()).double()
