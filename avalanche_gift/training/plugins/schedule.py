"""Experiences counted in iterations, and the learning rate as a function of the iteration."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from avalanche.core import SupervisedPlugin

from avalanche_gift.schedule import usual_warmup, warmup_cosine
from avalanche_gift.stream_classes import find_classes
from avalanche_gift.training.length import TrainingLength
from avalanche_gift.training.seeded_draws import SeededTorch
from avalanche_gift.training.seeds import combined_seed


class IterationsPlugin(SupervisedPlugin):
    """Makes one epoch of any strategy `iterations` long, going round the data as often as that takes.

    iterations: one number, or one an experience, in the order of training. epochs: in their place, passes over the
    experience's own images (`TrainingLength`). extra: calls after those, as the reference makes one.

    Batch k of an experience, its order and its augmentation are a function of (seed, experience, k) alone: nested
    evaluations, other plugins and earlier experiences leave it as it is. Works with loaders that plugins put in place
    before the epoch (`ReplayPlugin`). seed None draws from torch's global generator, as Avalanche does.
    """

    supports_distributed = True

    def __init__(
        self,
        iterations: int | Sequence[int] | None = None,
        *,
        epochs: int | None = None,
        extra: int = 0,
        seed: int | None = 42,
    ):
        super().__init__()
        if extra < 0:
            raise ValueError(f"expected no extra iterations or some, got {extra}")
        self.length = TrainingLength(iterations, epochs)
        self.extra, self.seed = extra, seed

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        loader = strategy.dataloader
        loader = loader.loader if isinstance(loader, CyclingLoader) else loader
        seed = None if self.seed is None else combined_seed(self.seed, strategy.clock.train_exp_counter)
        strategy.dataloader = CyclingLoader(loader, self.length.of_experience(strategy) + self.extra, seed=seed)


class CyclingLoader:
    """`length` batches of a loader, begun again whenever it is used up.

    start: the first batch wanted; those of its pass before it are read and dropped, so that it is what it would have been.
    """

    def __init__(self, loader: Iterable[Any], length: int, *, seed: int | None = None):
        self.loader, self.length, self.seed = loader, length, seed
        self.start = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        batches: Iterator[Any] = iter(())
        begin = self.start - self.start % max(len(self.loader), 1) if self.start else 0  # type: ignore[arg-type]
        for k in range(begin, self.length):
            with SeededTorch(self.seed, k):
                batch = next(batches, None)
                if batch is None:
                    batches = iter(self.loader)
                    batch = next(batches, None)
            if batch is None:
                raise ValueError("expected at least one batch of training data, got an empty experience")
            if k >= self.start:
                yield batch


class WarmupCosinePlugin(SupervisedPlugin):
    """Sets the learning rate of each step: warm-up and cosine, begun anew in every experience.

    lr: one number; one a training experience, in their order; by the name of its task, `default_lr` for other tasks; or
    None for the rate that the data carries where the stream has one and `default_lr` elsewhere.
    iterations, epochs: as `IterationsPlugin`. warmup: iterations of rising rate; None for 100, or a tenth of a shorter
    experience. Both as `schedule.warmup_cosine` has them. Holds no state.
    """

    supports_distributed = True

    def __init__(
        self,
        lr: float | Sequence[float] | Mapping[str, float] | None = None,
        *,
        iterations: int | Sequence[int] | None = None,
        epochs: int | None = None,
        warmup: int | None = 100,
        default_lr: float = 1e-5,
    ):
        super().__init__()
        if isinstance(lr, Mapping):
            rates = [default_lr, *lr.values()]
        else:
            rates = [default_lr] if lr is None else [lr] if isinstance(lr, int | float) else list(lr)
        if not rates or not all(rate >= 0 for rate in rates):
            raise ValueError(f"expected learning rates >= 0, got {rates}")
        self.length = TrainingLength(iterations, epochs)
        warmup_cosine(0, base_lr=0.0, iterations=1, warmup=warmup or 0)
        self.lr, self.warmup, self.default_lr = lr, warmup, default_lr

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Before the step, whose plugins may look at the rate: MIRPlugin tries an update with it."""
        iterations = self.length.of_experience(strategy)
        rate = warmup_cosine(
            strategy.clock.train_exp_iterations,
            base_lr=self.base_lr(strategy.experience, strategy.clock.train_exp_counter),
            iterations=iterations,
            warmup=usual_warmup(iterations) if self.warmup is None else self.warmup,
        )
        for group in strategy.optimizer.param_groups:
            group["lr"] = rate

    def base_lr(self, experience: Any, position: int) -> float:
        """The base rate of an experience, the `position`-th to be trained."""
        found = find_classes(experience)
        task = None if found is None else found.tasks[0]
        if self.lr is None:
            own = getattr(experience, "learning_rate", None)  # splits of a stream lose it, their data does not
            own = task.learning_rate if own is None and task is not None else own
            return self.default_lr if own is None else own
        if isinstance(self.lr, int | float):
            return self.lr
        if isinstance(self.lr, Mapping):
            return self.lr.get((task and task.task_name) or "", self.default_lr)
        if position >= len(self.lr):
            raise ValueError(f"expected a learning rate for each experience, got {len(self.lr)} and now experience {position}")
        return self.lr[position]
