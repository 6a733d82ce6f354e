"""When the synthetic pictures of a task are made: ahead of all training, as each task begins, or anew during a task.

A strategy takes any of them, like a plain generator, as its one `synthetic` argument.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

from PIL import Image

from avalanche_gift.generation.making import ATTEMPTS, describe, make_pictures
from avalanche_gift.generation.sources import as_source
from avalanche_gift.generation.store import StoreError, SyntheticStore


class Ahead:
    """All tasks' pictures were made before training (`avalanche-gift generate`), as the paper's code does it.

    store: the store or its folder. A strategy's position in its stream says which task's folder it gets; which prompts
    these hold, skipped tasks included, was decided as they were made. Raises StoreError where the folder holds no store.

        GIFT(model=model, synthetic=Ahead("pictures"))
    """

    def __init__(self, store: SyntheticStore | str | os.PathLike[str]) -> None:
        self.store = store if isinstance(store, SyntheticStore) else SyntheticStore(store)
        if not self.store.positions():
            raise StoreError(f"expected a store of synthetic pictures in '{self.store.root}', found no task-*/meta.json")

    def pairs_of(self, position: int, count: int, name: str | None = None) -> tuple[list[Image.Image], list[str]]:
        """The first `count` pictures of the task at `position`, and their prompts; dropped ones are left out.

        name: of the task, where its experience has one. Raises StoreError where the pictures are of another.
        """
        folder = self.store.task(position)
        made_for = (folder.meta() or {}).get("task")
        if None not in (name, made_for) and name != made_for:
            raise StoreError(
                f"expected pictures of the task {name!r} in '{folder.root}', found those of {made_for!r}; make a store with "
                "the same tasks in the same order"
            )
        return folder.pairs(count)

    def pairs(self, count: int, *, seed: int, exclude: Collection[str] = ()) -> tuple[list[Image.Image], list[str]]:
        """Pictures of any task, to look at: a `PairSource`."""
        return self.store.pairs(count, seed=seed, exclude=exclude)


class PerTask:
    """Pictures are made when a task begins and thrown away after it, as the paper's text says.

    generator: anything that `as_source` takes and that makes pictures. attempts: draws of a black or failed picture.
    skip: tasks, by name or position, whose classes never join the pool of prompts (Figure 7).

        GIFT(model=model, synthetic=PerTask(generator, skip=["MNIST"]))
    """

    every: int | None = None
    """Iterations after which new pictures take the place of the old; None: never during a task."""

    def __init__(self, generator: Any, *, attempts: int = ATTEMPTS, skip: Collection[str | int] = ()) -> None:
        source = as_source(generator)
        if not callable(getattr(source, "generate", None)):
            raise TypeError(f"expected a generator of pictures, came {type(source).__name__}, which has no generate")
        if isinstance(skip, str):
            raise TypeError(f"expected a list of tasks to skip, came the one string {skip!r}")
        self.generator, self.attempts, self.skip = source, attempts, frozenset(skip)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """One picture a prompt, black and failed ones drawn again (`making.retry_seed`). Raises GenerationError."""
        return [made.picture for made in make_pictures(self.generator, prompts, seeds, attempts=self.attempts)]

    def describe(self) -> dict[str, Any]:
        return describe(self.generator)


class RegenerateEvery(PerTask):
    """Fresh prompts and pictures every `iterations` steps of a task; for generators that take less time than a few steps.

    The first of a task are those that `PerTask` makes. The teacher stays the model as the task began: a copy of it is kept.

        GIFT(model=model, synthetic=RegenerateEvery(100, generator))
    """

    def __init__(self, iterations: int, generator: Any, *, attempts: int = ATTEMPTS, skip: Collection[str | int] = ()) -> None:
        super().__init__(generator, attempts=attempts, skip=skip)
        if iterations < 1:
            raise ValueError(f"expected fresh pictures every 1 or more iterations, came {iterations}")
        self.every = iterations


def as_policy(source: Any) -> Any:
    """What a strategy is given, as a policy: `PerTask` for a plain generator; what holds pictures already stays as it is."""
    source = as_source(source)
    holds_pictures = any(callable(getattr(source, name, None)) for name in ("pairs", "pairs_of"))
    return source if holds_pictures or isinstance(source, PerTask) else PerTask(source)
