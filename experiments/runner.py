"""Runs what tables and figures need, each run once, and finds their results again by configuration."""

import os
import signal
import threading
import warnings
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import ModuleType
from typing import Any

from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import read_results
from avalanche_gift.interruption import Interrupted, interruptible
from avalanche_gift.names import check_name
from experiments.plan import NotPossible, Row, World, run_name

NAMES = (*(f"table{n}" for n in range(1, 13)), *(f"figure{n}" for n in range(3, 10)))


@dataclass(frozen=True)
class Entry:
    """A row with one seed: the folders and configurations of its runs, or why it has none."""

    row: Row
    seed: int
    runs: dict[str, RunConfig] = field(default_factory=dict)
    missing: str = ""


def load(name: str) -> ModuleType:
    """The file of a table or figure: ROWS, WORLDS; VIEW of a table, `panels` of a figure of lines, `draw` of another."""
    return import_module(f"experiments.{check_name('experiment', name, NAMES)}")


def entries(name: str, world: World, seeds: Sequence[int]) -> list[Entry]:
    """Rows of a table times seeds, once where a world has one run for several; none where the table is not of this world."""
    module = load(name)
    found: list[Entry] = []
    for row in module.ROWS if world.name in module.WORLDS else ():
        for seed in seeds:
            try:
                entry = Entry(row, seed, {run_name(config): config for config in row.configs(world, seed)})
            except NotPossible as error:
                entry = Entry(row, seed, missing=str(error))
            if not entry.runs or not any(row.label == other.row.label and entry.runs == other.runs for other in found):
                found.append(entry)
    return found


def all_runs(names: Sequence[str], world: World, seeds: Sequence[int]) -> dict[str, RunConfig]:
    """Every run that the experiments need, once, by its folder."""
    return {name: config for each in names for entry in entries(each, world, seeds) for name, config in entry.runs.items()}


def kept_models(names: Sequence[str], world: World, seeds: Sequence[int]) -> set[str]:
    """The runs whose weights at the end an experiment needs."""
    found = (entry for name in names for entry in entries(name, world, seeds) if entry.row.first_task)
    return {run for entry in found for run in entry.runs}


def shard(runs: dict[str, RunConfig], part: str) -> dict[str, RunConfig]:
    """Part i of n, from 1: every n-th run. "1/1" is all of them. ValueError for anything else."""
    number, _, count = part.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"expected --shard I/N with 1 <= I <= N, got {part!r}")
    return dict(list(runs.items())[int(number) - 1 :: int(count)])


def run_one(config: RunConfig, folder: Path, threads: int, save_model: bool) -> None:
    """A run, in a process of its own."""
    warnings.simplefilter("ignore")
    import torch

    from avalanche_gift.run import run

    if threads:
        torch.set_num_threads(threads)
    with interruptible() as interruption:
        try:
            run(config, folder, report=lambda _: None, interruption=interruption, save_model=save_model)
        except Interrupted as interrupted:
            if _is_orphan():  # else the next run would begin
                os._exit(interrupted.exit_code)
            raise


def _is_orphan() -> bool:
    parent = parent_process()
    return parent is not None and not parent.is_alive()


def _end_with_parent() -> None:
    """A pool that is killed leaves its workers running: they notice, and end with a checkpoint."""

    def watch() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def execute(runs: dict[str, RunConfig], folder: Path, jobs: int, keep: Collection[str] = ()) -> dict[str, str]:
    """Runs what is not done; what went wrong, by run. Those cut off go on; those in `keep` leave their weights."""
    failures: dict[str, str] = {}
    waiting = {name: config for name, config in runs.items() if not (folder / name / "results.json").is_file()}
    print(f"{len(runs)} runs, {len(runs) - len(waiting)} of them done before", flush=True)
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else 0
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        running = {pool.submit(run_one, config, folder / name, threads, name in keep): name for name, config in waiting.items()}
        try:
            for done, future in enumerate(as_completed(running), 1):
                name = running[future]
                try:
                    future.result()
                except (ValueError, TypeError, OSError, ArithmeticError, RuntimeError) as error:
                    failures[name] = str(error)
                print(f"{done}/{len(waiting)} {name}{': ' + failures[name] if name in failures else ''}", flush=True)
        except BaseException:  # a signal: the runs that wait must not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


@dataclass(frozen=True)
class Collected:
    """Of an experiment: rows with their results, and in words what it needs and what was not run."""

    found: list[tuple[Entry, list[Any]]]
    needs: list[str]
    not_run: list[str]


def collect(name: str, world: World, seeds: Sequence[int], folder: Path) -> Collected:
    """What the runs in a folder left of an experiment."""
    collected = Collected([], [], [])
    for entry in entries(name, world, seeds):
        title = f"{entry.row.label}, seed {entry.seed}"
        if entry.missing:
            collected.needs.append(f"{title}: needs {entry.missing}")
        elif all((folder / run / "results.json").is_file() for run in entry.runs):
            collected.found.append((entry, [read_results(folder / run / "results.json") for run in entry.runs]))
        else:
            collected.not_run.append(f"{title}: not run")
    return collected
