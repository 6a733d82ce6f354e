"""What a source of pictures must offer, and which seed each picture gets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from PIL import Image

PICTURES_PER_EXPERIENCE = 100_000
SEEDS_PER_RUN = 10_000_000


@runtime_checkable
class Generator(Protocol):
    """Makes a picture for any prompt (or for any prompt it knows)."""

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """One picture a prompt, one seed a picture; picture i depends on prompts[i] and seeds[i] only.

        Raises ValueError where prompts and seeds differ in length.
        """
        ...


@runtime_checkable
class PairSource(Protocol):
    """Holds pictures that exist already, each with its prompt."""

    def pairs(self, count: int, *, seed: int, exclude: Collection[str] = ()) -> tuple[list[Image.Image], list[str]]:
        """At most `count` pictures and their prompts, the same for the same seed; no prompt is in `exclude`."""
        ...


def picture_seed(experience_index: int, picture_index: int, seed: int = 42) -> int:
    """The seed of one synthetic picture, as in the paper's code: picture + 100,000 (experience - 1) + 10,000,000 seed.

    >>> picture_seed(0, 0), picture_seed(1, 0)
    (419900000, 420000000)

    Seed 0 would begin below zero, which not every generator takes: it wraps to the top of 63 bits. Raises ValueError for
    a negative argument, and for a picture_index of 100,000 or more, where the seeds of two experiences would meet.
    """
    if min(experience_index, picture_index, seed) < 0:
        raise ValueError(
            "expected experience_index, picture_index and seed of 0 or more, "
            f"came {experience_index}, {picture_index} and {seed}"
        )
    if picture_index >= PICTURES_PER_EXPERIENCE:
        raise ValueError(
            f"expected a picture_index below {PICTURES_PER_EXPERIENCE}, came {picture_index}: "
            "its seed would be one of the next experience; use another seed for more pictures"
        )
    return (picture_index + PICTURES_PER_EXPERIENCE * (experience_index - 1) + SEEDS_PER_RUN * seed) % 2**63


def check_lengths(prompts: Sequence[str], seeds: Sequence[int]) -> None:
    """Raises ValueError where a prompt lacks a seed or a seed a prompt."""
    if len(prompts) != len(seeds):
        raise ValueError(f"expected one seed a prompt, came {len(prompts)} prompts and {len(seeds)} seeds")
