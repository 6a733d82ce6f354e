"""The running mean of the weights along an experience, which is what remains after it."""

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from avalanche_gift.consolidation import snapshot, trainable_parameters


class WeightEnsemblePlugin(SupervisedPlugin):
    """ZSCL's weight ensemble: the mean of the weights as the experience begins and after calls 0, every, 2 every, ... <= N.

    Training goes on from its own weights; as the experience ends the mean takes their place, so that it is evaluated and
    starts the next experience. The reference makes N + 1 calls of the optimiser, numbered 0 to N, the last at learning rate
    zero. A schedule of N calls ends with the weights that call N would leave, so that these are a snapshot too where N is a
    multiple of `every`. Which of the two it is says the strategy (`FineTune(reference_schedule=...)`); N calls elsewhere.
    Buffers, such as the statistics of a batch norm, stay those that training ended with.
    """

    supports_distributed = True

    def __init__(self, every: int = 100):
        super().__init__()
        if every < 1:
            raise ValueError(f"expected at least one iteration from one snapshot to the next, got every={every}")
        self.every = every
        self._mean: dict[str, Tensor] = {}
        self._snapshots = self._iterations = 0

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._mean = snapshot(trainable_parameters(strategy.model))
        self._snapshots, self._iterations = 1, 0

    def after_update(self, strategy: Any, **kwargs: Any) -> None:
        if self._iterations % self.every == 0:
            self._take(strategy)
        self._iterations += 1

    @torch.no_grad()
    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        if self._iterations % self.every == 0 and not _makes_call_n(strategy):
            self._take(strategy)
        for name, parameter in trainable_parameters(strategy.model):
            parameter.copy_(self._mean[name])
        self._mean = {}

    def state_dict(self) -> dict[str, Any]:
        """The mean so far."""
        return {"mean": self._mean, "snapshots": self._snapshots, "iterations": self._iterations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self._mean = {name: tensor.to(self._mean.get(name, tensor), copy=True) for name, tensor in state["mean"].items()}
        self._snapshots, self._iterations = state["snapshots"], state["iterations"]

    @torch.no_grad()
    def _take(self, strategy: Any) -> None:
        self._snapshots += 1
        for name, parameter in trainable_parameters(strategy.model):
            self._mean[name].lerp_(parameter, 1 / self._snapshots)


def _makes_call_n(strategy: Any) -> bool:
    """Whether the strategy makes the reference's N + 1 calls an experience; a number of calls alone does not say it."""
    return bool(getattr(strategy, "reference_schedule", False))
