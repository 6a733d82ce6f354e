"""Kills the embedded main job at random moments, starts it again, and compares its end with that of an uninterrupted run.

    python tests/kill_test.py --times 50

Prints one JSON line: kills, how many of the starts went on from a checkpoint, the most training iterations that a kill
cost, rounds (runs that came to their end), and differences in results (times and memory aside) and weights, which must be 0.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from avalanche_gift.cli import main as avalanche_gift
from avalanche_gift.training.checkpoint_files import Checkpoints
from avalanche_gift.training.plugins.checkpoints import CheckpointPlugin

TASKS, ITERATIONS, EVERY = ("shapes", "letters", "icons"), 20, 5
CONTEXT = multiprocessing.get_context("fork")  # everything is imported once


def command(out: Path, strategy: str) -> list[str]:
    return [
        *("run", "--benchmark", "mini", "--tasks", *TASKS, "--strategies", strategy, "--out", str(out), "--save-model"),
        *("--iterations", str(ITERATIONS), "--images", "16", "--batch-size", "8", "--checkpoint-every", str(EVERY)),
    ]


def child(out: Path, strategy: str, place: Any) -> None:
    """The main job, silent; `place` follows the iterations it has done."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    began = CheckpointPlugin.before_training_iteration

    def noted(plugin: CheckpointPlugin, strategy: Any, **kwargs: Any) -> None:
        place.value = strategy.clock.train_exp_counter * ITERATIONS + strategy.clock.train_exp_iterations
        began(plugin, strategy, **kwargs)

    CheckpointPlugin.before_training_iteration = noted
    os._exit(avalanche_gift(command(out, strategy)))


def start(out: Path, strategy: str) -> tuple[Any, Any]:
    place = CONTEXT.Value(ctypes.c_long, 0)
    process = CONTEXT.Process(target=child, args=(out, strategy, place))
    process.start()
    return process, place


def outcome(out: Path, strategy: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results without times and memory, and weights."""
    folder = out / strategy / "seed-0"
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for name in ("seconds", "peak_memory_bytes", "sha256"):
        del results[name]
    return results, load_file(folder / "model.safetensors")


def differences(wanted: Any, found: Any) -> int:
    results = sum(wanted[0].get(key) != found[0].get(key) for key in wanted[0].keys() | found[0].keys())
    weights = wanted[1].keys() ^ found[1].keys()
    return results + len(weights) + sum(not wanted[1][key].equal(found[1][key]) for key in wanted[1].keys() & found[1].keys())


def kill_repeatedly(strategy: str, times: int, folder: Path, seed: int) -> dict[str, int]:
    moments = random.Random(seed)
    began = time.perf_counter()
    process, _ = start(folder / "whole", strategy)
    process.join()
    length = time.perf_counter() - began
    wanted = outcome(folder / "whole", strategy)
    counts = {"kills": 0, "resumes": 0, "most_lost_iterations": 0, "rounds": 0, "differences": 0}
    out = folder / "killed"
    while counts["kills"] < times or counts["rounds"] == 0:
        checkpoints = Checkpoints(out / strategy / "seed-0" / "checkpoints")
        counts["resumes"] += checkpoints.newest() is not None
        process, place = start(out, strategy)
        process.join(moments.uniform(0, length) if counts["kills"] < times else None)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            counts["kills"] += 1
            if place.value and (newest := checkpoints.newest()):
                lost = place.value - newest[0] * ITERATIONS - newest[1]
                counts["most_lost_iterations"] = max(counts["most_lost_iterations"], lost)
            continue
        counts["rounds"] += 1
        counts["differences"] += differences(wanted, outcome(out, strategy))
        shutil.rmtree(out)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--strategy", default="gift")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = kill_repeatedly(arguments.strategy, arguments.times, Path(folder), arguments.seed)
    print(json.dumps({"strategy": arguments.strategy, "checkpoint_every": EVERY, **counts}))
    return 1 if counts["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
