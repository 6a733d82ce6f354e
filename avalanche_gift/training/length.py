"""How many optimiser calls an experience gets: a number, one number an experience, or epochs of its own images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ITERATIONS = 1000
"""The paper's on MTIL, and what counts where nothing is given."""


@dataclass(frozen=True)
class TrainingLength:
    """The length of each experience, in iterations (optimiser calls).

    iterations: one number for all, or one an experience, in the order in which they are trained; 1,000 where neither this nor
    epochs is given. epochs: passes over the experience's own images, `epochs * ceil(images / batch size)` iterations, whatever
    a replay plugin adds to its batches.
    Raises ValueError for both, or for less than one of either.

    >>> TrainingLength(epochs=1).of(position=0, images=1000, batch_size=64)
    16
    """

    iterations: int | Sequence[int] | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.iterations is not None and self.epochs is not None:
            raise ValueError(f"expected iterations or epochs, got both: {self.iterations} and {self.epochs}; leave one out")
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"expected at least one training epoch an experience, got {self.epochs}")
        if self.iterations is None and self.epochs is None:
            object.__setattr__(self, "iterations", ITERATIONS)
        given = self.iterations
        if isinstance(given, Sequence):
            object.__setattr__(self, "iterations", tuple(given))
        numbers = [] if given is None else list(given) if isinstance(given, Sequence) else [given]
        if self.epochs is None and (not numbers or min(numbers) < 1):
            raise ValueError(f"expected at least one training iteration an experience, got {given}")

    def of(self, position: int, *, images: int, batch_size: int) -> int:
        """Iterations of the `position`-th experience to be trained. ValueError where a list of them is too short."""
        if self.epochs is not None:
            return self.epochs * -(-images // batch_size)
        if not isinstance(self.iterations, Sequence):
            assert self.iterations is not None
            return self.iterations
        if position >= len(self.iterations):
            raise ValueError(
                f"expected iterations for each experience, got {len(self.iterations)} numbers and now experience {position}"
            )
        return self.iterations[position]

    def of_experience(self, strategy: Any) -> int:
        """Iterations of the experience that a strategy trains now."""
        return self.of(
            strategy.clock.train_exp_counter,
            images=len(strategy.experience.dataset) if self.epochs is not None else 0,
            batch_size=strategy.train_mb_size,
        )
