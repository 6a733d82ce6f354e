"""Generators and stores that several tests of generation start from."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from avalanche_gift.generation.making import fill_task, meta_of, plan_tasks

BASE = [f"a photo of a thing {number}." for number in range(20)]
TASKS = [("pets", ["a photo of a cat.", "a photo of a dog."]), ("food", ["a photo of a pie."]), ("cars", ["a photo of a van."])]


class Noise:
    """8 x 8 pixels of noise that prompt and seed decide; notes what it was asked, and does as told for some seeds."""

    def __init__(self, black=(), broken=(), raising=()):
        self.black, self.broken, self.raising = set(black), set(broken), set(raising)
        self.calls = []

    def generate(self, prompts, seeds):
        self.calls.append(list(seeds))
        if self.raising & set(seeds):
            raise RuntimeError("the sampler diverged")
        return [self._one(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _one(self, prompt, seed):
        if seed in self.broken:
            return None
        start = int.from_bytes(hashlib.sha256(f"{prompt} {seed}".encode()).digest()[:8], "big")
        pixels = np.random.default_rng(start).integers(1, 255, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(pixels * (seed not in self.black))


def planned(images=6, **options):
    return plan_tasks(BASE, TASKS, images=images, **options)


def fill(store, generator, plan, *, shard=(1, 1), suffix="png", black="again", drawn=None, seed=42, **options):
    """All tasks of a plan; returns how many pictures were made."""
    made = 0
    for task in plan:
        meta = meta_of(generator, task, seed=seed, suffix=suffix, drawn=drawn, black=black)
        made += fill_task(store.task(task.position), generator, task, meta=meta, shard=shard, black=black, **options)
    return made


def contents(root):
    """Everything that a store holds: file by file its bytes, the manifests included."""
    files = (path for path in Path(root).rglob("*") if path.is_file() and path.name != ".merge.lock")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
