"""Trains one task's routers and the experts that are still free, then freezes those it used most."""

from typing import Any

from avalanche.core import SupervisedPlugin

from avalanche_gift.models.moe_adapters import Adapters
from avalanche_gift.stream_classes import StreamClasses, classes_of
from avalanche_gift.training.seeds import combined_seed


class MoEAdaptersPlugin(SupervisedPlugin):
    """The routine of MoE-Adapters for a model with adapters (`attach_adapters(model)` first, then the optimiser).

    Each training experience gets a router of its own, and its gradient reaches that router and the experts that are not
    frozen. After it the `freeze` experts of every block that had most gates above zero are frozen, those frozen before
    counted among them. one_router: all experiences share the router of the first.

    In evaluation the router of the latest experience is used; list a `TaskSelectionPlugin` behind this plugin to choose one
    by the pictures. oracle: by the experience instead, as if its task were known; without adapters if it was not trained, or is
    of another stream. Raises ValueError for training on another stream than the first.
    seed: noise and dropout of step k are a function of (seed, experience, k).
    """

    supports_distributed = False

    def __init__(self, *, freeze: int = 2, one_router: bool = False, oracle: bool = False, seed: int = 42):
        super().__init__()
        if freeze < 0:
            raise ValueError(f"expected a number of experts to freeze >= 0, got {freeze}")
        if one_router and oracle:
            raise ValueError("expected one_router or oracle, got both: one router leaves nothing to choose")
        self.freeze, self.one_router, self.oracle, self.seed = freeze, one_router, oracle, seed
        self._parameters_at_test = 0
        self._stream: StreamClasses | None = None

    def before_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Before Avalanche brings the model's parameters into the optimiser."""
        adapters, task = adapters_of(strategy), self._task(strategy)
        adapters.add_task(task)
        adapters.train_only(task)
        self._parameters_at_test = adapters.count_at_test()

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        adapters_of(strategy).use(self._task(strategy))
        if len(strategy.optimizer.param_groups) == 1:
            # Avalanche appends new routers; in the model's order a checkpoint's optimiser fits whichever were there before.
            strategy.optimizer.param_groups[0]["params"] = list(strategy.model.parameters())

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        adapters = adapters_of(strategy)
        adapters.use(self._task(strategy))
        adapters.seed(combined_seed(self.seed, strategy.clock.train_exp_counter, strategy.clock.train_exp_iterations))

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        adapters = adapters_of(strategy)
        adapters.use(self._task(strategy))
        adapters.freeze_most_used(self.freeze)

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        adapters = adapters_of(strategy)
        found = classes_of(strategy.experience)
        own = found.numbers[0] if self._stream in (None, found.stream) else None
        task = own if self.oracle else max(adapters.tasks, default=None)
        adapters.use(task if task in adapters.tasks else None)

    def footprint(self) -> dict[str, int]:
        return {"extra_parameters": self._parameters_at_test}

    def _task(self, strategy: Any) -> int:
        """The number of the task in its stream, which its router goes by."""
        adapters, found = adapters_of(strategy), classes_of(strategy.experience)
        self._stream = self._stream or found.stream
        if found.stream != self._stream:
            raise ValueError(
                f"expected experiences of the stream that the routers belong to ({self._stream}), got one of ({found.stream}); "
                "train another stream with another model"
            )
        return adapters.tasks[0] if self.one_router and adapters.tasks else found.numbers[0]


def adapters_of(strategy: Any) -> Adapters:
    """The adapters of the strategy's model. ValueError where it has none."""
    adapters = getattr(strategy.model, "adapters", None)
    if not isinstance(adapters, Adapters):
        raise ValueError(
            f"expected a model with adapters, got {type(strategy.model).__name__} without: call "
            "models.moe_adapters.attach_adapters(model) before making the optimiser"
        )
    return adapters
