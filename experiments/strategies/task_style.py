"""GIFT with replay pictures of learned classes in the style of their task: why are the EWCs ahead of it on Last here?

    python experiments/strategies/task_style.py

The embedded generator draws every class in the style of its pre-training, never in a task's, while EWC measures its Fisher
information on the task's own pictures. Here a learned class is drawn by the drawing code of its task, with another seed, as a
generator that knows the style would; the broad vocabulary stays as the drawing code has it. Seeds 0, 1 and 2, about a minute
each; writes task_style.json. Expected: above both EWCs on Average and Last.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from avalanche.training.plugins import EvaluationPlugin
from PIL import Image

from avalanche_gift import AccuracyMatrix
from avalanche_gift.benchmarks.defaults import hyperparameters
from avalanche_gift.benchmarks.mini import TASKS, MiniWorld, canonical_picture, draw_task
from avalanche_gift.benchmarks.mini.concepts import TEMPLATE, base_prompts
from avalanche_gift.evaluation import continual_metrics
from avalanche_gift.files import write_aside
from avalanche_gift.models.mini import mini_clip
from avalanche_gift.prompts import training_prompts
from avalanche_gift.run import seed_everything
from avalanche_gift.training import GIFT

HERE = Path(__file__).parent
PICTURES, SEED = 800, 777
"""Drawn of each task, by a seed that no stream here has."""


class TaskStyle:
    """Each call is for the next experience: the tasks before it are learned."""

    def __init__(self) -> None:
        self._learned: dict[str, np.ndarray] = {}
        self._left = list(TASKS.items())
        self._current: list[tuple[str, tuple[str, ...]]] = []

    def generate(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        for name, classes in self._current:
            pictures, targets = (np.asarray(part) for part in draw_task(name, "train", SEED, PICTURES)[:2])
            for label, prompt in enumerate(training_prompts(classes, [TEMPLATE])):
                self._learned[prompt] = pictures[targets == label]
        self._current = [self._left.pop(0)]
        return [self._picture(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _picture(self, prompt: str, seed: int) -> Image.Image:
        drawn = self._learned.get(prompt)
        return Image.fromarray(np.asarray(canonical_picture(prompt, seed) if drawn is None else drawn[seed % len(drawn)]))


def run(seed: int) -> dict[str, Any]:
    seed_everything(seed)
    model, settings, matrix = mini_clip(), hyperparameters("mini", {}), AccuracyMatrix()
    stream = MiniWorld(seed=seed, train_transform=model.train_transform, eval_transform=model.eval_transform)
    strategy = GIFT(
        model,
        synthetic=TaskStyle(),
        base_prompts=base_prompts(),
        synthetic_images=settings["images"],
        synthetic_mb_size=settings["batch_size"],
        train_mb_size=settings["batch_size"],
        train_iterations=settings["iterations"],
        awc_weight=settings["awc_weight"],
        seed=seed,
        eval_mb_size=256,
        evaluator=EvaluationPlugin(matrix, loggers=[]),
    )
    strategy.eval(stream.test_stream)
    for experience in stream.train_stream:
        strategy.train(experience, eval_streams=[])
        strategy.eval(stream.test_stream)
    return {"seed": seed, "metrics": continual_metrics(matrix.rows()[1:]), "accuracy": matrix.rows()}


def main() -> None:
    torch.set_num_threads(1)
    runs = [run(seed) for seed in (0, 1, 2)]
    lines = ",\n".join(json.dumps(each) for each in runs)
    write_aside(HERE / "task_style.json", f'{{"runs": [\n{lines}\n]}}\n'.encode())
    for name in ("transfer", "average", "last", "forgetting"):
        values = [each["metrics"][name] for each in runs]
        print(f"{name}: {np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}")


if __name__ == "__main__":
    main()
