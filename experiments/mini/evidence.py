"""What the embedded world shows: forgetting, and how much of it each part of GIFT prevents.

Not a table of the paper, but its Table 3 in small, with what the paper does not vary: the weight of consolidation, the number
and the source of the replay pictures, and the pre-trained model.

    python experiments/mini/evidence.py --jobs 2 --pairs mini runs/pairs/seed-0

The second pair is of an earlier pre-training with another seed (README.md says where it comes from). Finished runs are kept in
--work and not run again. Writes evidence.json beside this file, from which tables.py makes the README; what it holds of pairs
that are not named stays. Expected: gift > l2 >
finetune on Average and Last, on every seed.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NO_AWC = {"awc_weight": 0.0}


ALL_SEEDS, SOME_SEEDS = (0, 1, 2, 3, 4), (0, 1, 2)


@dataclass(frozen=True)
class Variant:
    """A row of the evidence: a strategy, and what departs from the mini world's defaults."""

    name: str
    strategy: str
    given: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    l2_weight: float | None = None
    """Of gift's own plain l2 term, beside distillation and alignment."""
    seeds: tuple[int, ...] = ALL_SEEDS
    every_pair: bool = False
    """Run on every pre-trained pair, not on the first alone."""


def plain_l2(name: str, weight: float, **given: Any) -> Variant:
    """Gift with a plain l2 term in place of adaptive consolidation, for the question what the adaptive one gains."""
    return Variant(f"gift, {name}", "gift", {**given, **NO_AWC}, l2_weight=weight, seeds=SOME_SEEDS)


VARIANTS = [
    Variant("zero-shot", "zero-shot", every_pair=True),
    Variant("finetune", "finetune", every_pair=True),
    Variant("l2, weight 0.1", "l2", {"l2_weight": 0.1}, every_pair=True),
    Variant("gift without weight term", "gift", NO_AWC, every_pair=True),
    Variant("gift, AWC 0.1", "gift", {"awc_weight": 0.1}, every_pair=True),
    *[Variant(f"l2, weight {weight:g}", "l2", {"l2_weight": weight}) for weight in (0.3, 1.0)],
    *[Variant(f"gift, AWC {weight:g}", "gift", {"awc_weight": weight}) for weight in (0.3, 1.0)],
    *[Variant(f"gift, {images} pictures", "gift", {"images": images}) for images in (50, 800)],
    Variant("gift, perfect pictures", "gift", source="perfect"),
    plain_l2("plain l2 0.1", 0.1),
    plain_l2("plain l2 1", 1.0),
    plain_l2("50 pictures, plain l2", 0.1, images=50),
    Variant("gift, lr 1e-3", "gift", {"lr": 1e-3}, seeds=SOME_SEEDS),
    plain_l2("lr 1e-3, plain l2", 0.1, lr=1e-3),
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
    parser.add_argument("--seeds", nargs="+", type=int, help="instead of each variant's own")
    parser.add_argument("--pairs", nargs="+", default=["mini"], help="mini, or folders made by experiments/pretrain_mini.py")
    parser.add_argument("--only", nargs="+", help="names of variants")
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "evidence.json")
    args = parser.parse_args()
    variants = [variant for variant in VARIANTS if args.only is None or variant.name in args.only]
    jobs = [
        (variant, pair, seed)
        for variant in variants
        for pair in (args.pairs if variant.every_pair else args.pairs[:1])
        for seed in args.seeds or variant.seeds
    ]
    records = _of_other_pairs(args.out, {Path(pair).name for pair in args.pairs})
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


def _of_other_pairs(path: Path, pairs: set[str]) -> list[dict[str, Any]]:
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
    return [run for run in runs if run["pair"] not in pairs]


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
    head = json.dumps({"command": " ".join(["python", *sys.argv]), "versions": software_versions()})[1:-1]
    write_aside(path, f'{{{head}, "runs": [\n{lines}\n]}}\n'.encode())


if __name__ == "__main__":
    main()
