"""Every strategy on the embedded world under one evaluator: the CLIP rows of the paper's Tables 1-2 in small.

    avalanche-gift run --benchmark mini --strategies all --seeds 0 1 2 --out runs/all
    python experiments/strategies/collect.py runs/all

The second command writes results.json and the table of README.md beside this file from the results of the first.
"""

import json
import sys
from pathlib import Path
from typing import Any

from avalanche_gift.evaluation import find_results, format_table
from avalanche_gift.files import write_aside

HERE = Path(__file__).parent
BEGIN, END = "<!-- collect.py writes from here -->", "<!-- to here -->"
KEPT = ("strategy", "seed", "metrics", "accuracy", "seconds", "peak_memory_bytes", "footprint")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("expected the folder of the runs: python experiments/strategies/collect.py runs/all")
    results = by_average(find_results(sys.argv[1]))
    head = {"benchmark": results[0]["benchmark"], "experiences": results[0]["experiences"], "versions": results[0]["versions"]}
    lines = ",\n".join(json.dumps({name: result[name] for name in KEPT}) for result in results)
    write_aside(HERE / "results.json", f'{{{json.dumps(head)[1:-1]}, "runs": [\n{lines}\n]}}\n'.encode())
    versions = ", ".join(f"{name} {version}" for name, version in head["versions"].items())
    readme = HERE / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    content = f"```text\n{format_table(results)}\n```\n\nVersions: {versions}."
    write_aside(readme, f"{before}{BEGIN}\n\n{content}\n\n{END}{rest.split(END)[1]}".encode())


def by_average(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seeds of a strategy together, the best mean Average first."""
    strategies = {result["strategy"] for result in results}
    means = {}
    for strategy in strategies:
        values = [result["metrics"]["average"] for result in results if result["strategy"] == strategy]
        means[strategy] = sum(values) / len(values)
    return sorted(results, key=lambda result: (-means[result["strategy"]], result["strategy"], result["seed"]))


if __name__ == "__main__":
    main()
