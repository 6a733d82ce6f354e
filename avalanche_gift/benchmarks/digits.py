"""scikit-learn's handwritten digits as five two-class tasks, and a generator that writes digits and letters in print.

Small enough for a laptop and always at hand: what `make demo` runs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from avalanche.benchmarks.scenarios import CLScenario
from PIL import Image, ImageDraw, ImageFont

from avalanche_gift.benchmarks.pictures import ArrayPictures
from avalanche_gift.benchmarks.stream import Task, clip_benchmark

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATE = "a photo of the number {c}."
LETTER_PROMPTS = tuple(f"a photo of the letter {letter}." for letter in "abcdefghijklmnopqrstuvwxyz")
"""The base vocabulary of `PrintedGlyphs`: no class of the stream is in it."""


def SplitDigits(
    *,
    train_transform: Callable[[Any], Any],
    eval_transform: Callable[[Any], Any],
    class_incremental: bool = False,
    seed: int = 0,
) -> CLScenario:
    """1,797 pictures of 8 x 8, two digits a task, a third of each task for testing; `seed` decides which."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pictures = (data.images * (255 / 16)).round().astype(np.uint8)
    random = np.random.default_rng(seed)
    tasks = []
    for first in range(0, 10, 2):
        rows = random.permutation(np.flatnonzero(data.target // 2 == first // 2))
        tests, trains = np.split(rows, [len(rows) // 3])
        tasks.append(
            Task(
                name=f"{DIGITS[first]}-{DIGITS[first + 1]}",
                train=ArrayPictures(pictures[trains], data.target[trains] - first),
                test=ArrayPictures(pictures[tests], data.target[tests] - first),
                class_names=DIGITS[first : first + 2],
                templates=(TEMPLATE,),
            )
        )
    return clip_benchmark(
        tasks, train_transform=train_transform, eval_transform=eval_transform, class_incremental=class_incremental
    )


class PrintedGlyphs:
    """Draws the digit or letter that ends a prompt, in PIL's own font, moved, turned and sized at random by its seed."""

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """One 64 x 64 picture a prompt, white on black. ValueError for a prompt that ends in neither digit nor letter."""
        return [self._draw(self._glyph(prompt), seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    @staticmethod
    def _glyph(prompt: str) -> str:
        word = prompt.rstrip(".").split(" ")[-1]
        glyph = str(DIGITS.index(word)) if word in DIGITS else word
        if len(glyph) != 1:
            raise ValueError(f"expected a prompt that ends in a letter or in one of {DIGITS}, got {prompt!r}")
        return glyph

    @staticmethod
    def _draw(glyph: str, seed: int) -> Image.Image:
        random = np.random.default_rng(seed)
        picture = Image.new("L", (64, 64))
        centre = tuple(32 + random.uniform(-4, 4, size=2))
        font = ImageFont.load_default(float(random.uniform(44, 60)))
        ImageDraw.Draw(picture).text(centre, glyph, fill=255, font=font, anchor="mm")
        return picture.rotate(random.uniform(-12, 12), resample=Image.Resampling.BICUBIC).convert("RGB")
