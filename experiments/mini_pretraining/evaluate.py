"""What the model card says: measured on the files as they are shipped."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from avalanche_gift.benchmarks.mini import TASKS, TEMPLATES, canonical_picture, draw_task
from avalanche_gift.benchmarks.mini.concepts import COLOURED, CONCEPTS, KINDS, SHAPE_COLOURS, all_classes
from avalanche_gift.benchmarks.mini.painting import RGB
from avalanche_gift.generation import DiffusersGenerator
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.prompts import fill
from mini_pretraining.clip import NAMES, accuracy, labels
from mini_pretraining.drawing import Pool

EACH = 3
Draw = Callable[[Sequence[str], Sequence[int]], np.ndarray]


def measured(model: CLIPClassifier, generator: DiffusersGenerator, unseen: Pool, seed: int) -> dict[str, Any]:
    """All numbers of the card, in per cent but for the seconds."""

    def generated(prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        return np.stack([np.asarray(picture) for picture in generator.generate(prompts, seeds)])

    def canonical(prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        return np.stack([canonical_picture(prompt, one) for prompt, one in zip(prompts, seeds, strict=True)])

    began = time.perf_counter()
    ours = agreement(model, generated, seed)
    seconds = time.perf_counter() - began
    perfect = agreement(model, canonical, seed)
    return {
        "unseen_accuracy": accuracy(model, unseen),
        "unseen_pictures": len(unseen.pictures),
        "agreement": ours,
        "agreement_canonical": perfect,
        "agreement_ratio": ours["all"] / perfect["all"],
        "right_colour": right_colour(generated, seed),
        "right_colour_canonical": right_colour(canonical, seed),
        "zero_shot": zero_shot(model, seed),
        "seconds_for_200_pictures": 200 * seconds / (EACH * len(NAMES)),
    }


def agreement(model: CLIPClassifier, draw: Draw, seed: int) -> dict[str, float]:
    """Per cent of `EACH` pictures of each of the 139 concepts that the CLIP labels with their own; of all, and by kind."""
    wanted = np.repeat(np.arange(len(NAMES)), EACH)
    pictures = draw([fill(TEMPLATES[0], NAMES[number]) for number in wanted], _seeds(len(wanted), seed))
    right = labels(model, pictures, NAMES) == wanted
    kinds = {kind: 100 * float(right[np.isin(wanted, numbers)].mean()) for kind, numbers in KINDS.items()}
    return {"all": 100 * float(right.mean()), **kinds}


def right_colour(draw: Draw, seed: int) -> float:
    """Per cent of `EACH` pictures of each of the 80 coloured shapes whose middle is nearest to the colour asked for."""
    names = [name for name in COLOURED for _ in range(EACH)]
    pictures = draw([fill(TEMPLATES[0], name) for name in names], _seeds(len(names), seed + 1))
    middle = pictures[:, 14:18, 14:18].reshape(len(names), -1, 3).mean(axis=1)
    colours = np.array([RGB[name] for name in SHAPE_COLOURS], dtype=float)
    nearest = np.square(middle[:, None] - colours).sum(axis=2).argmin(axis=1)
    return 100 * float(np.mean([SHAPE_COLOURS[row] == name.split()[0] for row, name in zip(nearest, names, strict=True)]))


def zero_shot(model: CLIPClassifier, seed: int) -> dict[str, float]:
    """Per cent right on each task's test set, and the mean."""
    scores = {}
    for name, class_names in TASKS.items():
        pictures, targets = draw_task(name, "test", seed, 300)[:2]
        scores[name] = 100 * float((labels(model, np.asarray(pictures), class_names) == np.asarray(targets)).mean())
    return {**scores, "mean": float(np.mean(list(scores.values())))}


def _seeds(count: int, seed: int) -> list[int]:
    return [1_000_000 * (seed + 1) + number for number in range(count)]


def write_sheet(generator: DiffusersGenerator, path: Path, seed: int) -> None:
    """One generated picture of each of the 219 classes in their order, 20 a row, twice as large, as PNG."""
    names = all_classes()
    pictures = generator.generate([fill(TEMPLATES[0], name) for name in names], _seeds(len(names), seed + 2))
    columns, side = 20, 66
    sheet = Image.new("RGB", (columns * side + 2, -(-len(names) // columns) * side + 2), "white")
    for number, picture in enumerate(pictures):
        at = (number % columns * side + 2, number // columns * side + 2)
        sheet.paste(picture.resize((64, 64), Image.Resampling.NEAREST), at)
    aside = path.with_name(f".{path.name}")
    sheet.save(aside, format="PNG", optimize=True)
    aside.replace(path)


def concepts_below(model: CLIPClassifier, unseen: Pool, share: float = 0.4) -> dict[str, float]:
    """The concepts that the CLIP gets right least often on unseen pictures, in per cent."""
    right = labels(model, unseen.pictures, NAMES) == unseen.concepts
    scores = {concept.phrase: 100 * float(right[unseen.concepts == row].mean()) for row, concept in enumerate(CONCEPTS)
              if (unseen.concepts == row).any()}  # fmt: skip
    return {name: score for name, score in sorted(scores.items(), key=lambda item: item[1]) if score < 100 * share}
