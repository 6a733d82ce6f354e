"""Makes the tables of this folder's README from evidence.json: `python experiments/mini/tables.py`."""

import json
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from avalanche_gift.files import write_aside

HERE = Path(__file__).parent
BEGIN, END = "<!-- tables.py writes from here -->", "<!-- to here -->"
METRICS = ("transfer", "average", "last", "forgetting")


def table(runs: list[dict[str, Any]]) -> str:
    """Mean ± sample standard deviation over seeds, a line a variant; and the mean of the diagonal (as learned)."""
    lines = ["| variant | seeds | Transfer | Average | Last | Forgetting | as learned |", "|---|---|---|---|---|---|---|"]
    for name, group in groupby(runs, key=lambda run: run["variant"]):
        same = list(group)
        cells = [_mean_std([run["metrics"][metric] for run in same]) for metric in METRICS]
        cells.append(_mean_std([fmean(run["accuracy"][i + 1][i] for i in range(len(run["accuracy"][0]))) for run in same]))
        lines.append(f"| {name} | {', '.join(str(run['seed']) for run in same)} | {' | '.join(cells)} |")
    return "\n".join(lines)


PAIRED = [
    ("gift, AWC 0.1", "gift without weight term"),
    ("gift, AWC 0.1", "l2, weight 0.1"),
    ("gift, AWC 0.1", "gift, plain l2 0.1"),
    ("gift, AWC 1", "gift, plain l2 1"),
    ("gift, 50 pictures", "gift, 50 pictures, plain l2"),
    ("gift, lr 1e-3", "gift, lr 1e-3, plain l2"),
    ("gift, AWC 0.1", "gift, perfect pictures"),
]
"""Which variant less which other, seed by seed."""


def paired(runs: list[dict[str, Any]]) -> str:
    """Mean difference ± sample standard deviation over the seeds that both have, and on how many it is above 0."""
    lines = ["| variant | less | seeds | Transfer | Average | Last |", "|---|---|---|---|---|---|"]
    for one, other in PAIRED:
        a, b = ({run["seed"]: run["metrics"] for run in runs if run["variant"] == name} for name in (one, other))
        seeds = sorted(a.keys() & b.keys())
        cells = []
        for metric in METRICS[:3]:
            gains = [a[seed][metric] - b[seed][metric] for seed in seeds]
            cells.append(f"{_mean_std(gains)} ({sum(gain > 0 for gain in gains)} of {len(gains)})")
        lines.append(f"| {one} | {other} | {', '.join(map(str, seeds))} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean_std(values: list[float]) -> str:
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{spread}"


def main() -> None:
    evidence = json.loads((HERE / "evidence.json").read_text(encoding="utf-8"))
    parts = []
    for pair, group in groupby(evidence["runs"], key=lambda run: run["pair"]):
        runs = list(group)
        parts += [f"Pre-trained pair `{pair}`:", table(runs)]
        if pair == "mini":
            parts += ["Seed by seed, on how many seeds the difference is above 0 in brackets:", paired(runs)]
    readme = HERE / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    versions = ", ".join(f"{name} {version}" for name, version in evidence["versions"].items())
    content = "\n\n".join([*parts, f"Versions: {versions}."])
    write_aside(readme, f"{before}{BEGIN}\n\n{content}\n\n{END}{after}".encode())


if __name__ == "__main__":
    main()
