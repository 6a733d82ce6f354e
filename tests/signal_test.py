"""Sends SIGTERM or SIGINT to the main job at random moments, imports and evaluation included, and looks how it ends.

    python tests/signal_test.py --times 30

Prints one JSON line: signals sent, the most seconds that an end took, and what ended otherwise than by 130 or 143 (as a
shell counts them), each with its moment in seconds.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WITHIN = 30.0
"""Seconds an end may take: an iteration and a checkpoint on a slow machine."""


def command(out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "avalanche_gift", "run", "--benchmark", "mini", "--tasks", "shapes", "letters"),
        *("--strategies", "zero-shot", "finetune", "gift", "--iterations", "8", "--images", "8", "--batch-size", "4"),
        *("--out", str(out)),
    ]


def start(out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], number: int, moment: float) -> dict[str, Any]:
    """What came of a signal: code as a shell has it, seconds until the end, last line."""
    time.sleep(moment)
    if process.poll() is not None:
        return {"signal": number, "moment": moment, "code": None, "seconds": 0.0, "line": "was at its end"}
    process.send_signal(number)
    began = time.perf_counter()
    try:
        _, errors = process.communicate(timeout=WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return {
        "signal": number,
        "moment": moment,
        "code": code,
        "seconds": time.perf_counter() - began,
        "line": (errors.strip().splitlines() or [""])[-1],
    }


def signal_repeatedly(times: int, folder: Path, seed: int) -> list[dict[str, Any]]:
    moments = random.Random(seed)
    began = time.perf_counter()
    if start(folder / "whole").wait():
        raise RuntimeError("expected the main job to run, it failed")
    length = time.perf_counter() - began
    ends: list[dict[str, Any]] = []
    while len(ends) < times:
        number = (signal.SIGTERM, signal.SIGINT)[len(ends) % 2]
        end = ended(start(folder / str(len(ends))), number, moments.uniform(0, 0.9 * length))
        print(end, file=sys.stderr, flush=True)
        if end["code"] is not None:
            ends.append(end)
    return ends


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ends = signal_repeatedly(arguments.times, Path(folder), arguments.seed)
    strange = [end for end in ends if end["code"] != 128 + end["signal"]]
    print(json.dumps({"signals": len(ends), "most_seconds": max(end["seconds"] for end in ends), "strange": strange}))
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
