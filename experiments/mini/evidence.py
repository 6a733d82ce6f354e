"""What the embedded world shows: forgetting, and how much of it each part of GIFT prevents.

Not a table of the paper, but its Table 3 in small, with what the paper does not vary: the weight of consolidation, the number
and the source of the replay pictures, and the pre-trained model.

    python experiments/mini/evidence.py --jobs 2

About an hour on two CPU cores; finished runs are kept in --work and not run again. Writes evidence.json beside this file, from
which tables.py makes the README. Expected: gift > l2 > finetune on Average and Last, on every seed.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NO_AWC = {"awc_weight": 0.0}


@dataclass(frozen=True)
class Variant:
    """A row of the evidence: a strategy, and what departs from the mini world's defaults."""

    name: str
    strategy: str
    given: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    l2_weight: float | None = None
    """Of gift's own plain l2 term, beside distillation and alignment."""


VARIANTS = [
    Variant("zero-shot", "zero-shot"),
    Variant("finetune", "finetune"),
    *[Variant(f"l2, weight {weight:g}", "l2", {"l2_weight": weight}) for weight in (0.1, 0.3, 1.0)],
    Variant("gift without weight term", "gift", NO_AWC),
    *[Variant(f"gift, AWC {weight:g}", "gift", {"awc_weight": weight}) for weight in (0.1, 0.3, 1.0)],
    *[Variant(f"gift, plain l2 {weight:g}", "gift", NO_AWC, l2_weight=weight) for weight in (0.1, 1.0)],
    *[Variant(f"gift, {images} pictures", "gift", {"images": images}) for images in (50, 800)],
    Variant("gift, 50 pictures, plain l2", "gift", {"images": 50, **NO_AWC}, l2_weight=0.1),
    Variant("gift, perfect pictures", "gift", source="perfect"),
    Variant("gift, lr 1e-3", "gift", {"lr": 1e-3}),
    Variant("gift, lr 1e-3, plain l2", "gift", {"lr": 1e-3, **NO_AWC}, l2_weight=0.1),
]


def run_one(variant: Variant, pair: str, seed: int, folder: str) -> dict[str, Any]:
    """One run, in a process of its own with one thread."""
    import warnings

    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    from avalanche_gift.benchmarks.defaults import hyperparameters
    from avalanche_gift.run import RunConfig, run

    settings = hyperparameters("mini", variant.given)
    synthetic = {"synthetic_images": settings["images"], "synthetic_mb_size": settings["batch_size"]}
    synthetic |= {name: settings[name] for name in ("alpha", "beta", "awc_weight", "distillation", "teacher")}
    if variant.l2_weight is not None:
        synthetic["l2_weight"] = variant.l2_weight
    config = RunConfig(
        strategy=variant.strategy,
        benchmark="mini",
        model=pair,
        seed=seed,
        source=variant.source or (None if pair == "mini" else pair),
        train_iterations=settings["iterations"],
        train_mb_size=settings["batch_size"],
        lr=settings["lr"],
        l2_weight=settings["l2_weight"],
        synthetic=synthetic,
    )
    return run(config, Path(folder), report=lambda _: None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--pairs", nargs="+", default=["mini"], help="mini, or folders made by experiments/pretrain_mini.py")
    parser.add_argument("--only", nargs="+", help="names of variants")
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "evidence.json")
    args = parser.parse_args()
    variants = [variant for variant in VARIANTS if args.only is None or variant.name in args.only]
    jobs = [(variant, pair, seed) for seed in args.seeds for pair in args.pairs for variant in variants]
    records = []
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        running = {
            pool.submit(
                run_one, *job, str(args.work / Path(job[1]).name / job[0].name.replace(" ", "_") / f"seed-{job[2]}")
            ): job
            for job in jobs
        }
        for done, future in enumerate(as_completed(running), 1):
            variant, pair, seed = running[future]
            results = future.result()
            records.append(_record(variant.name, Path(pair).name, seed, results))
            print(f"{done}/{len(jobs)} {pair} seed {seed} {variant.name}: {_rounded(results['metrics'])}", flush=True)
    _write(args.out, records)


def _record(name: str, pair: str, seed: int, results: dict[str, Any]) -> dict[str, Any]:
    accuracy = [[round(value, 2) for value in row] for row in results["accuracy"]]
    return {"variant": name, "pair": pair, "seed": seed, "metrics": _rounded(results["metrics"]), "accuracy": accuracy}


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in metrics.items()}


def _write(path: Path, records: list[dict[str, Any]]) -> None:
    from avalanche_gift.evaluation import software_versions
    from avalanche_gift.files import write_aside

    order = [variant.name for variant in VARIANTS]
    records.sort(key=lambda record: (record["pair"], order.index(record["variant"]), record["seed"]))
    lines = ",\n".join(json.dumps(record) for record in records)
    head = json.dumps({"command": "python experiments/mini/evidence.py", "versions": software_versions()})[1:-1]
    write_aside(path, f'{{{head}, "runs": [\n{lines}\n]}}\n'.encode())


if __name__ == "__main__":
    main()
