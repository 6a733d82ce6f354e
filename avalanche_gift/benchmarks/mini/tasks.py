"""The six tasks of the mini world and their stream; five are drawn, digits are scikit-learn's handwritten ones."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from avalanche.benchmarks.scenarios import CLScenario
from PIL import Image

from avalanche_gift.benchmarks.mini import seeds as sets
from avalanche_gift.benchmarks.mini.canonical import canonical_picture
from avalanche_gift.benchmarks.mini.concepts import TASKS, TEMPLATE
from avalanche_gift.benchmarks.mini.painting import SIDE
from avalanche_gift.benchmarks.mini.task_styles import styled
from avalanche_gift.benchmarks.pictures import ArrayPictures
from avalanche_gift.benchmarks.stream import Task, clip_benchmark, in_order
from avalanche_gift.names import check_name

COUNTS = {"train": 400, "test": 300}
"""Pictures of a task's splits."""

LEARNING_RATE = 5e-4
"""The base rate of every task."""

_MOST_DIGITS = {"train": 1000, "test": 740}
"""Every digit has at least 174 pictures: its first 100, shuffled, are for training, its last 74 for testing."""


def MiniWorld(
    seed: int = 0,
    *,
    train_transform: Callable[[Any], Any],
    eval_transform: Callable[[Any], Any],
    class_incremental: bool = False,
    order: Sequence[str] | None = None,
) -> CLScenario:
    """The stream shapes, textures, digits, land, letters, icons, or the tasks in `order`: 400 pictures each, 300 for testing.

    seed: decides the pictures. Raises ValueError for a seed that is no whole number from 0 on, or an unknown task.
    """
    sets.checked_seed(seed)
    tasks = [
        Task(
            name=name,
            train=ArrayPictures(*draw_task(name, "train", seed)),
            test=ArrayPictures(*draw_task(name, "test", seed)),
            class_names=TASKS[name],
            templates=(TEMPLATE,),
            learning_rate=LEARNING_RATE,
        )
        for name in in_order(tuple(TASKS), order)
    ]
    return clip_benchmark(
        tasks, train_transform=train_transform, eval_transform=eval_transform, class_incremental=class_incremental
    )


def draw_task(name: str, split: str, seed: int = 0, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` pictures (400 or 300 where None) of a task's split, "train" or "test".

    Returns pictures uint8 [count, 32, 32, 3] and labels int64 [count], which go round through the classes and so are balanced.
    Raises ValueError for an unknown task or split, a seed that is no whole number, or more digits than there are.
    """
    check_name("task", name, tuple(TASKS))
    check_name("split", split, tuple(COUNTS))
    seed, count = sets.checked_seed(seed), COUNTS[split] if count is None else count
    sets.checked_range(0, count, seed)
    labels = np.arange(count, dtype=np.int64) % len(TASKS[name])
    if name == "digits":
        return _digits(split, seed, labels), labels
    set_id = sets.TASK + 2 * tuple(TASKS).index(name) + (split == "test")
    pictures = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)
    for row, label in enumerate(labels):
        pictures[row] = styled(name, TASKS[name][label], sets.random_of(seed, set_id, row))
    return pictures, labels


class PerfectGenerator:
    """Draws the class of a prompt itself, as the tiny text-to-image model saw it in training: its upper bound."""

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """One 32 x 32 picture a prompt. ValueError for a prompt that is none of the mini world's 219."""
        return [Image.fromarray(canonical_picture(prompt, seed)) for prompt, seed in zip(prompts, seeds, strict=True)]


def _digits(split: str, seed: int, labels: np.ndarray) -> np.ndarray:
    if len(labels) > _MOST_DIGITS[split]:
        raise ValueError(f"expected at most {_MOST_DIGITS[split]} {split} digits, got {len(labels)}")
    pictures, targets = _handwritten()
    rows = []
    for label in range(10):
        mixed = sets.random_of(seed, sets.DIGITS, label).permutation(np.flatnonzero(targets == label))
        rows.append(mixed if split == "train" else mixed[::-1])
    grey = pictures[[int(rows[label][place // 10]) for place, label in enumerate(labels)]]
    return np.repeat(grey[:, :, :, None], 3, axis=3)


@cache
def _handwritten() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 digits made 32 x 32 by bicubic interpolation, bytes, and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    small = (data.images * (255 / 16)).round().astype(np.uint8)
    large = [np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for picture in small]
    return np.stack(large), data.target
