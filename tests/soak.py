"""Many short experiences in one process, and the memory that it holds after each.

    python tests/soak.py --experiences 200

Prints one JSON line: experiences, resident MB after the first stream, at the end, and the most in between, by which it rose.
The mini world has six tasks: a run is gone through again and again, each with another seed.
"""

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psutil

from avalanche_gift import run_loop
from avalanche_gift.config import RunConfig
from avalanche_gift.run import run

SMALL: dict[str, Any] = {"train_iterations": 2, "train_mb_size": 8, "source": "perfect"}
SYNTHETIC = {"synthetic_images": 8, "synthetic_mb_size": 8}


def resident() -> float:
    return psutil.Process().memory_info().rss / 1e6


def soak(experiences: int, folder: Path, strategy: str = "gift") -> list[float]:
    """Resident MB after each experience."""
    found: list[float] = []
    collect = run_loop.Garbage.collect

    def noted(garbage: run_loop.Garbage) -> None:
        collect(garbage)
        found.append(resident())

    run_loop.Garbage.collect = noted  # type: ignore[method-assign]
    try:
        while len(found) < experiences:
            seed = len(found)
            config = RunConfig(strategy, "mini", "mini", seed=seed, synthetic=SYNTHETIC, **SMALL)
            run(config, folder / str(seed), report=lambda _: None)
    finally:
        run_loop.Garbage.collect = collect  # type: ignore[method-assign]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiences", type=int, default=200)
    parser.add_argument("--strategy", default="gift")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        found = soak(arguments.experiences, Path(folder), arguments.strategy)
    first = max(found[:12])
    print(json.dumps({"experiences": len(found), "after_two_streams": first, "end": found[-1], "rise": max(found) - first}))
    print(" ".join(f"{each:.0f}" for each in found), file=sys.stderr)
    return 1 if max(found) - first > 100 else 0


if __name__ == "__main__":
    sys.exit(main())
