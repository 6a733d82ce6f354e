"""Makes the pictures of a stream: which prompts and seeds, in batches, drawn again where one fails, only what is missing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from PIL import Image

from avalanche_gift.generation.protocol import check_lengths, picture_seed
from avalanche_gift.generation.store import NOT_COMPARED, Record, StoreError, TaskFolder, Writer
from avalanche_gift.prompts import PromptSampler, prompt_pool

ATTEMPTS = 5
BLACK = ("again", "drop")
RETRY_STEP = 2**40
"""Between the seeds of two attempts: far beyond the seeds of any picture's first."""


def retry_seed(seed: int, attempt: int) -> int:
    """The seed of a picture's attempt, from 1 on: `seed` first, then `seed + 2**40 (attempt - 1)`, within 63 bits.

    >>> retry_seed(419900000, 1), retry_seed(419900000, 2) - 419900000 == 2**40
    (419900000, True)
    """
    return (seed + RETRY_STEP * (attempt - 1)) % 2**63


@dataclass(frozen=True)
class Made:
    """A picture, the seed it came from, and how many draws it took. black: all of its pixels are 0."""

    picture: Image.Image
    seed: int
    attempts: int = 1
    black: bool = False


class GenerationError(RuntimeError):
    """A picture that did not come in any of its attempts."""


@dataclass(frozen=True)
class TaskPrompts:
    """What is drawn before one task: picture i has prompts[i] and seeds[i]. pool: the distinct prompts drawn from."""

    position: int
    name: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    pool: tuple[str, ...]


def plan_tasks(
    base_prompts: Sequence[str],
    tasks: Iterable[tuple[str, Sequence[str]]],
    *,
    images: int,
    seed: int = 42,
    drawn: int | None = None,
    skip: Collection[str | int] = (),
) -> list[TaskPrompts]:
    """The prompts and seeds of all tasks, as a strategy would draw them one task after the other.

    tasks: name and training prompts of each, in the order of the stream. images: pictures a task. drawn: prompts drawn a
    task, of which the first `images` are used (order I of MTIL: 10,000); `images` where None. skip: tasks, by name or
    position, whose classes never join the pool (Figure 7). Raises ValueError where fewer are drawn than used.
    """
    drawn = images if drawn is None else drawn
    if not 1 <= images <= drawn:
        raise ValueError(f"expected at least 1 picture a task, and as many prompts drawn, got {images} of {drawn}")
    stream = [(name, list(prompts)) for name, prompts in tasks]
    unknown = set(skip) - {name for name, _ in stream} - set(range(len(stream)))
    if unknown:
        raise ValueError(f"expected to skip some of {[name for name, _ in stream]}, got {sorted(map(str, unknown))}")
    sampler = PromptSampler(seed)
    learned: list[list[str]] = []
    plan = []
    for position, (name, own) in enumerate(stream):
        pool = prompt_pool(base_prompts, learned)
        prompts = sampler.draw(pool, drawn)[:images]
        seeds = tuple(picture_seed(position, index, seed) for index in range(images))
        plan.append(TaskPrompts(position, name, tuple(prompts), seeds, tuple(dict.fromkeys(pool))))
        if name not in skip and position not in skip:
            learned.append(own)
    return plan


def make_pictures(
    generator: Any, prompts: Sequence[str], seeds: Sequence[int], *, attempts: int = ATTEMPTS, black: str = "again"
) -> list[Made]:
    """One picture a prompt. Black ones (a safety checker's) and those that fail are drawn again with `retry_seed`.

    attempts: draws a picture, at most. black: `again`, or `drop` to take a black picture for an answer, marked as such. A
    batch that raises RuntimeError is drawn one by one, out of memory excepted. Raises GenerationError for a picture that
    no attempt brought, with the last reason, and ValueError for another number of pictures than prompts; what else a
    generator raises passes through.
    """
    check_lengths(prompts, seeds)
    if black not in BLACK or attempts < 1:
        raise ValueError(f"expected black as one of {BLACK} and at least 1 attempt, got {black!r} and {attempts}")
    made: dict[int, Made] = {}
    waiting, reason = list(range(len(prompts))), "?"
    for attempt in range(1, attempts + 1):
        asked = [retry_seed(seeds[row], attempt) for row in waiting]
        drawn = _drawn(generator, [prompts[row] for row in waiting], asked)
        again = []
        for row, seed, picture in zip(waiting, asked, drawn, strict=True):
            if not isinstance(picture, Image.Image):
                reason = str(picture)
                again.append(row)
            elif is_black(picture) and black == "again":
                reason = "the picture is black, which is how a safety checker withholds one"
                again.append(row)
            else:
                made[row] = Made(picture, seed, attempt, is_black(picture))
        waiting = again
        if not waiting:
            return [made[row] for row in range(len(prompts))]
    row = waiting[0]
    raise GenerationError(
        f"{len(waiting)} of {len(prompts)} pictures failed {attempts} times, the first for {prompts[row]!r}, seed "
        f"{seeds[row]}: {reason}; allow more attempts, or drop black pictures as the paper's code does"
    )


def _drawn(generator: Any, prompts: list[str], seeds: list[int]) -> list[Any]:
    """A picture, or the reason why there is none, for each prompt."""
    try:
        answer = generator.generate(prompts, seeds)
        pictures = list(answer) if isinstance(answer, Iterable) else []
    except RuntimeError as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        if len(prompts) == 1:
            return [f"{type(error).__name__}: {error}"]
        return [_drawn(generator, [prompt], [seed])[0] for prompt, seed in zip(prompts, seeds, strict=True)]
    if len(pictures) != len(prompts):  # a mistake of the generator's, which no other seed mends
        got = len(pictures) if isinstance(answer, Iterable) else type(answer).__name__
        raise ValueError(
            f"expected a list of one picture for each of {len(prompts)} prompts, got {got} from {type(generator).__name__}"
        )
    return [picture if _whole(picture) else f"no readable picture, but {type(picture).__name__}" for picture in pictures]


def _whole(picture: Any) -> bool:
    if not isinstance(picture, Image.Image) or 0 in picture.size:
        return False
    try:
        picture.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def is_black(picture: Image.Image) -> bool:
    """Whether all pixels are 0."""
    return picture.convert("RGB").getbbox() is None


def describe(generator: Any) -> dict[str, Any]:
    """What decides a generator's pictures beside prompt and seed: its own `describe()`, or the name of its class."""
    own = getattr(generator, "describe", None)
    return dict(own()) if callable(own) else {"generator": type(generator).__name__}


def meta_of(generator: Any, task: TaskPrompts, *, seed: int, suffix: str, drawn: int | None, black: str) -> dict[str, Any]:
    """The `meta.json` of a task's folder. `drawn` None: as many prompts as pictures, which then are part of the settings."""
    settings = {"task": task.name, "position": task.position, "seed": seed, "format": suffix, "black": black}
    return {**settings, "prompts_drawn": drawn or len(task.prompts), **describe(generator), NOT_COMPARED[0]: _versions()}


def _versions() -> dict[str, str]:
    found = {}
    for name in ("avalanche-gift", "diffusers", "torch", "transformers", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def missing_indices(folder: TaskFolder, task: TaskPrompts, shard: tuple[int, int] = (1, 1)) -> list[int]:
    """The indices of the shard without an intact picture. StoreError where a recorded one has another prompt or seed."""
    records = folder.records()
    for index, (prompt, seed) in enumerate(zip(task.prompts, task.seeds, strict=True)):
        record = records.get(index)
        if record is not None:
            _check_record(folder, record, prompt, seed)
    number, of = shard
    own = range(number - 1, len(task.prompts), of)
    return [index for index in own if index not in records or not folder.intact(records[index])]


def _check_record(folder: TaskFolder, record: Record, prompt: str, seed: int) -> None:
    asked = {"prompt": prompt, "seed": retry_seed(seed, record.attempts)}
    for field, value in asked.items():
        if getattr(record, field) != value:
            raise StoreError(
                f"picture {record.index} in '{folder.root}' has another {field} ({getattr(record, field)!r}, asked {value!r}); "
                "ask for the same tasks, skipped tasks, base prompts and seed, or use another folder"
            )


def fill_task(
    folder: TaskFolder,
    generator: Any,
    task: TaskPrompts,
    *,
    meta: Mapping[str, Any],
    batch_size: int = 32,
    shard: tuple[int, int] = (1, 1),
    attempts: int = ATTEMPTS,
    black: str = "again",
    on_batch: Callable[[list[Record], float], None] | None = None,
) -> int:
    """Makes what is missing of a task in this shard; returns how many pictures. Killed anywhere, it costs a batch at most.

    on_batch: called after each batch with its records and its seconds. Raises StoreError where the folder is of other
    settings or can't be written, GenerationError for a picture that fails every attempt; pictures made until then stay.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch size of 1 or more, got {batch_size}")
    folder.open(meta)
    missing = missing_indices(folder, task, shard)
    if missing:
        with folder.writer(shard=shard, suffix=meta["format"]) as writer:
            there = folder.records()  # another process may have had the part until now
            missing = [index for index in missing if index not in there or not folder.intact(there[index])]
            for start in range(0, len(missing), batch_size):
                began = time.perf_counter()
                batch = missing[start : start + batch_size]
                records = _fill_batch(writer, generator, task, batch, attempts, black)
                if on_batch is not None:
                    on_batch(records, time.perf_counter() - began)
    if is_complete(folder, task):
        folder.merge()
    return len(missing)


def is_complete(folder: TaskFolder, task: TaskPrompts) -> bool:
    """Whether every picture of the task is recorded, by whichever process."""
    return folder.records().keys() >= set(range(len(task.prompts)))


def _fill_batch(writer: Writer, generator: Any, task: TaskPrompts, batch: list[int], attempts: int, black: str) -> list[Record]:
    prompts, seeds = [task.prompts[index] for index in batch], [task.seeds[index] for index in batch]
    made = make_pictures(generator, prompts, seeds, attempts=attempts, black=black)
    return writer.add(
        [
            (index, prompt, one.seed, one.picture, one.attempts, "black" if one.black else None)
            for index, prompt, one in zip(batch, prompts, made, strict=True)
        ]
    )


def shard_of_process(given: str | None = None) -> tuple[int, int]:
    """(number from 1 on, of how many): `given` as "2/8", else what torchrun or accelerate tells by RANK and WORLD_SIZE.

    >>> shard_of_process("2/8")
    (2, 8)
    """
    if given is None:
        return int(os.environ.get("RANK", 0)) + 1, int(os.environ.get("WORLD_SIZE", 1))
    number, _, of = given.partition("/")
    whole = number.isdecimal() and of.isdecimal() and max(len(number), len(of)) < 8
    if not (whole and 1 <= int(number) <= int(of)):
        raise ValueError(f"expected --shard K/N with K from 1 to N, such as 2/8, got {given!r}")
    return int(number), int(of)
