"""Brings every loss term to Avalanche's loggers, and stops at the first term or weight that is not a number."""

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metric_results import MetricValue


class NonFiniteLossError(ArithmeticError):
    """A loss term was NaN or infinite; the weights are those before the step."""


class NonFiniteWeightsError(ArithmeticError):
    """A weight became NaN or infinite, although the losses before it were finite."""


def check_weights(strategy: Any) -> None:
    """Raises NonFiniteWeightsError that names the first such parameter and the iteration."""
    for name, parameter in strategy.model.named_parameters():
        if not parameter.is_meta and not parameter.isfinite().all():
            raise NonFiniteWeightsError(
                f"expected finite weights, got NaN or infinity in {name} after iteration "
                f"{strategy.clock.train_exp_iterations - 1} of experience {strategy.clock.train_exp_counter}; the last "
                "checkpoint is from before; lower the learning rate or look at this experience's pictures"
            )


class LossTermsPlugin(SupervisedPlugin):
    """Publishes `strategy.loss_terms` as `LossTerm/NAME/train_phase/train_stream`, once an iteration, as floats in nats, each
    with its weight in the loss.

    Plugins of this package note their terms there (`training.loss_terms.record_term`). One transfer from the device a step.
    List it last. Raises NonFiniteLossError before the optimiser moves a weight, and NonFiniteWeightsError after an experience.
    """

    supports_distributed = True

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        strategy.loss_terms = {}

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        names = [*strategy.loss_terms, "total"]
        values = [*strategy.loss_terms.values(), strategy.loss.detach().sum()]
        numbers = torch.stack([value.reshape(()).to(torch.float64) for value in values]).tolist()
        self._check(strategy, dict(zip(names, numbers, strict=True)))
        for name, number in zip(names, numbers, strict=True):
            key = f"LossTerm/{name}/train_phase/train_stream"
            strategy.evaluator.publish_metric_value(MetricValue(self, key, number, strategy.clock.train_iterations))

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        check_weights(strategy)

    @staticmethod
    def _check(strategy: Any, terms: dict[str, float]) -> None:
        for name, number in terms.items():
            if not torch.isfinite(torch.tensor(number)):
                raise NonFiniteLossError(
                    f"expected finite losses, got {name} = {number} at iteration {strategy.clock.train_exp_iterations} of "
                    f"experience {strategy.clock.train_exp_counter} (all terms: {terms}); the weights are those before this "
                    "step; lower the learning rate or look at this experience's pictures"
                )
