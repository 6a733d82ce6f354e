"""Drawing the two pools of training pictures once, by two processes, into .npy and JSON files."""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avalanche_gift.benchmarks.mini import draw_canonical, draw_pretraining
from avalanche_gift.files import write_aside
from mini_pretraining.loop import Progress

CHUNK = 1000


class Pool(NamedTuple):
    """pictures: uint8 [N, 32, 32, 3]. texts: N captions or prompts. concepts: int64 [N], empty for the canonical pool."""

    pictures: np.ndarray
    texts: list[str]
    concepts: np.ndarray


def wide(start: int, count: int, seed: int) -> Pool:
    return Pool(*draw_pretraining(start, count, seed=seed))


def canonical(start: int, count: int, seed: int) -> Pool:
    return Pool(*draw_canonical(start, count, seed=seed), np.empty(0, dtype=np.int64))


def _chunk(task: tuple[Callable[[int, int, int], Pool], int, int, int]) -> Pool:
    draw, start, count, seed = task
    return draw(start, count, seed)


def pool(draw: Callable[[int, int, int], Pool], count: int, *, seed: int, folder: Path) -> Pool:
    """Pictures 0 .. count - 1, drawn or, where a run before this one drew them, read."""
    base = folder / f"{draw.__name__}-{seed}-{count}"
    pictures, texts = base.with_suffix(".npy"), base.with_suffix(".json")
    if not (pictures.is_file() and texts.is_file()):
        _draw(draw, count, seed, pictures, texts)
    stored: dict[str, Any] = json.loads(texts.read_text(encoding="utf-8"))
    return Pool(np.load(pictures, allow_pickle=False), stored["texts"], np.array(stored["concepts"], dtype=np.int64))


def _draw(draw: Callable[[int, int, int], Pool], count: int, seed: int, pictures: Path, texts: Path) -> None:
    tasks = [(draw, start, min(CHUNK, count - start), seed) for start in range(0, count, CHUNK)]
    pictures.parent.mkdir(parents=True, exist_ok=True)
    aside = pictures.with_suffix(".partial")
    stored = np.lib.format.open_memmap(aside, mode="w+", dtype=np.uint8, shape=(count, 32, 32, 3))
    captions: list[str] = []
    concepts: list[int] = []
    progress = Progress(f"drawing {draw.__name__} pictures", count, every=20 * CHUNK)
    with multiprocessing.get_context("spawn").Pool(min(2, os.cpu_count() or 1)) as workers:
        for number, drawn in enumerate(workers.imap(_chunk, tasks)):
            stored[number * CHUNK : number * CHUNK + len(drawn.pictures)] = drawn.pictures
            captions += drawn.texts
            concepts += drawn.concepts.tolist()
            progress.at(len(captions))
    stored.flush()
    del stored
    os.replace(aside, pictures)
    write_aside(texts, json.dumps({"texts": captions, "concepts": concepts}).encode())


def digest(drawn: Pool) -> str:
    """SHA-256 of the pictures' bytes."""
    return hashlib.sha256(drawn.pictures.tobytes()).hexdigest()
