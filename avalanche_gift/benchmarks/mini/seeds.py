"""Where the mini world's random numbers come from: picture i of set s under a seed has a generator of its own."""

import numpy as np

PRETRAINING, CANONICAL, PROMPTED, DIGITS, TASK = 1, 2, 3, 4, 10
"""Numbers of the sets; task t's split s is TASK + 2 t + s."""


def checked_seed(seed: int) -> int:
    """The seed as an int. Raises ValueError where it is none, or negative."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"expected a whole number from 0 on as seed, got {seed!r}")
    return int(seed)


def checked_range(start: int, count: int, seed: int) -> None:
    """Raises ValueError for a negative start or count, or a seed that is no whole number."""
    checked_seed(seed)
    if start < 0 or count < 0:
        raise ValueError(f"expected start and count from 0 on, got {start} and {count}")


def random_of(seed: int, set_id: int, number: int) -> np.random.Generator:
    """The generator of one picture."""
    return np.random.default_rng([seed, set_id, number])
