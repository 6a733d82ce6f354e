"""One run: one strategy on one stream with one seed, evaluated before training and after each experience."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.scenarios import CLScenario
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.logging import CSVLogger, TensorboardLogger, TextLogger
from avalanche.training.plugins import EvaluationPlugin

from avalanche_gift.by_name import load_benchmark, load_model
from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import (
    AccuracyMatrix,
    ClassIncrementalAccuracy,
    continual_metrics,
    footprint,
    measure,
    read_results,
    write_results,
)
from avalanche_gift.evaluation.results import ResultsError, software_versions
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.names import check_name
from avalanche_gift.strategy_arguments import own_arguments
from avalanche_gift.training import STRATEGIES, FineTune, ZeroShot
from avalanche_gift.training.plugins.progress import ProgressPlugin


def run(config: RunConfig, folder: Path, report: Callable[[str], None] = print) -> dict[str, Any]:
    """Trains and evaluates; writes TensorBoard events, CSV, a text log and, at the end, `results.json` into `folder`.

    A folder whose results have this configuration is not run again. Raises ValueError where they have another one.
    """
    done = finished(config, folder)
    if done is not None:
        report(f"{config.strategy}, seed {config.seed}: done before, see {folder / 'results.json'}")
        return done
    seed_everything(config.seed)
    model = load_model(config.model)
    benchmark = load_benchmark(config, model)
    folder.mkdir(parents=True, exist_ok=True)
    matrix = AccuracyMatrix()
    pooled = [ClassIncrementalAccuracy()] if config.class_incremental else []
    with open_loggers(folder) as loggers:
        strategy = build(config, model, EvaluationPlugin(accuracy_metrics(experience=True), matrix, *pooled, loggers=loggers))
        with measure(config.device) as used:
            train_and_evaluate(strategy, benchmark, config)
    experiences = [experience.task_name for experience in benchmark.train_stream]
    accuracy: list[Any] = matrix.rows()
    if len(accuracy) == 1:  # zero-shot: the same throughout
        accuracy = accuracy * (len(experiences) + 1)
    results: dict[str, Any] = {
        "schema_version": 1,
        "strategy": config.strategy,
        "seed": config.seed,
        "benchmark": config.benchmark,
        "experiences": experiences,
        "config": config.settings(),
        "versions": software_versions(),
        "accuracy": accuracy,
        "metrics": continual_metrics(accuracy[1:]),
        "seconds": used.seconds,
        "peak_memory_bytes": used.peak_memory_bytes,
        "footprint": footprint(strategy),
    }
    if pooled:
        found = pooled[0].result()
        results["class_incremental"] = {name: found[name] for name in ("average", "last")}
        report(
            f"{config.strategy}, seed {config.seed}, among all classes seen: Average {found['average']:.2f}, "
            f"Last {found['last']:.2f}"
        )
    write_results(folder / "results.json", results)
    return results


def finished(config: RunConfig, folder: Path) -> dict[str, Any] | None:
    """The results that are there already; None where there are none yet."""
    path = folder / "results.json"
    if not path.exists():
        return None
    results = read_results(path)
    wanted, found = config.settings(), results["config"]
    differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if differing:
        raise ResultsError(
            f"expected {path} to be of this configuration, but {differing} differ"
            f" ({', '.join(f'{key}: there {found.get(key)!r}, asked {wanted.get(key)!r}' for key in differing)}); use another "
            "--out, or remove that folder"
        )
    return results


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def open_loggers(folder: Path) -> Iterator[list[Any]]:
    """Avalanche's TensorBoard, CSV and text loggers, writing into `folder` until the block ends."""
    tensorboard, csv = TensorboardLogger(str(folder / "tensorboard")), CSVLogger(str(folder / "csv"))
    try:
        with open(folder / "log.txt", "w", encoding="utf-8") as log:
            yield [tensorboard, csv, TextLogger(log)]
    finally:
        tensorboard.writer.close()
        csv.close()


def build(config: RunConfig, model: CLIPClassifier, evaluator: EvaluationPlugin) -> FineTune:
    """The strategy that a configuration names, with its own arguments."""
    kind = STRATEGIES[check_name("strategy", config.strategy, STRATEGIES)]
    return kind(
        model=model,
        train_iterations=config.train_iterations,
        train_mb_size=config.train_mb_size,
        eval_mb_size=config.eval_mb_size,
        lr=config.lr,
        seed=config.seed,
        class_incremental=config.class_incremental,
        device=config.device,
        plugins=[] if kind is ZeroShot else [ProgressPlugin(config.strategy)],
        evaluator=evaluator,
        **own_arguments(config),
    )


def train_and_evaluate(strategy: FineTune, benchmark: CLScenario, config: RunConfig) -> None:
    """Before training, and after each experience, all test sets; once where neither weights nor classes ever change."""
    options = {"num_workers": config.num_workers}
    strategy.eval(benchmark.test_stream, **options)
    if isinstance(strategy, ZeroShot) and not config.class_incremental:
        return
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[], **options)
        strategy.eval(benchmark.test_stream, **options)
