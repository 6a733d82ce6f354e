"""Kills `avalanche-gift generate` at random moments, goes on, and compares the store with one made in one go.

    python tests/kill_generation.py --images 64 --kills 5            # a process, 3 of torchrun, 3 shards; a JSON line each

Of torchrun, by turns the launcher with all its processes dies, or one of the processes only.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from avalanche_gift.files import sha256_of

GENERATE = ("-m", "avalanche_gift.cli", "generate")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3")
WAYS = ("process", "torchrun", "shards")


def sums(root: Path) -> dict[str, str]:
    """The sha256 of every picture."""
    return {path.relative_to(root).as_posix(): sha256_of(path) for path in sorted(root.glob("task-*/*.png"))}


def run(command: Sequence[str]) -> None:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def kill_at(command: Sequence[str], root: Path, wanted: int, pause: float, one_worker: bool = False) -> int:
    """Starts it, kills it once there are `wanted` pictures and `pause` seconds went by; how many there are then."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(pictures(root)) < wanted and process.poll() is None:
        time.sleep(0.01)
    time.sleep(pause)
    if process.poll() is not None:
        raise RuntimeError(f"{command} ended by itself with {process.returncode} before it was killed")
    workers = children(process.pid)  # torchrun's are in sessions of their own and would outlive it
    if one_worker and workers:
        os.kill(random.choice(workers), signal.SIGKILL)
    else:
        for pid in (process.pid, *workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()
    return len(pictures(root))


def pictures(root: Path) -> list[Path]:
    return list(root.glob("task-*/*.png"))


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def killed_and_resumed(
    root: Path, commands: Sequence[Sequence[str]], total: int, kills: int, chance: random.Random, pause: float
) -> list[int]:
    """How many pictures there were at each kill. `commands` take turns in being killed; in the end each runs to its own end."""
    found = []
    for number in range(kills):
        wanted = len(pictures(root)) + chance.randint(0, total // len(commands) // (kills + 1))
        command = commands[number % len(commands)]
        one_worker = "torch.distributed.run" in command and number % 2 == 1
        found.append(kill_at(command, root, wanted, chance.uniform(0, pause), one_worker))
    for command in commands:
        run(command)
    return found


def compare(
    way: str, options: Sequence[str], folder: Path, whole: dict[str, str], kills: int, *, seed: int = 0, pause: float = 0.2
) -> dict[str, object]:
    """One way; `same` says whether the store is that of one process in one go, picture by picture. pause: at most, seconds."""
    root = folder / way
    command = [*GENERATE, *options, "--out", str(root)]
    commands = {
        "process": [command],
        "torchrun": [[*TORCHRUN, *command]],
        "shards": [[*command, "--shard", f"{number}/3"] for number in (1, 2, 3)],
    }[way]
    began = time.perf_counter()
    found = killed_and_resumed(root, commands, len(whole), kills, random.Random(seed), pause)
    seconds = round(time.perf_counter() - began)
    return {"way": way, "pictures": len(whole), "there_at_each_kill": found, "same": sums(root) == whole, "seconds": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64, metavar="N", help="a task")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    options = ["--benchmark", "mini", "--images", str(arguments.images), "--batch-size", "8"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([*GENERATE, *options, "--out", str(folder / "whole")])
        whole = sums(folder / "whole")
        results = []
        for way in arguments.ways:
            results.append(compare(way, options, folder, whole, arguments.kills, seed=arguments.seed))
            print(json.dumps(results[-1]), flush=True)
    return 0 if all(result["same"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
