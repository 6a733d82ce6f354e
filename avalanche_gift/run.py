"""One run: one strategy on one stream with one seed, evaluated before training and after each experience."""

import dataclasses
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.scenarios import CLScenario
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.logging import CSVLogger, TensorboardLogger, TextLogger
from avalanche.training.plugins import EvaluationPlugin

from avalanche_gift.benchmarks import ClassFolders, PrintedGlyphs, SplitDigits
from avalanche_gift.benchmarks.digits import LETTER_PROMPTS
from avalanche_gift.evaluation import AccuracyMatrix, continual_metrics, measure, read_results, write_results
from avalanche_gift.evaluation.results import ResultsError, software_versions
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.names import check_name
from avalanche_gift.training import GIFT, STRATEGIES, FineTune, ZeroShot
from avalanche_gift.training.plugins.progress import ProgressPlugin

BENCHMARKS = ("digits", "folders")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides the numbers of a run, as plain values; written into its results.

    model: `NAME`, `NAME:TAG` of open_clip, or a folder. data: the folder of the benchmark. source: of synthetic pictures.
    lr None: the stream's own rates, or 1e-5. Other fields as the strategies' arguments of the same name.
    """

    strategy: str
    benchmark: str
    model: str
    seed: int = 0
    data: str | None = None
    source: str | None = None
    tasks: tuple[str, ...] | None = None
    class_incremental: bool = False
    train_iterations: int = 1000
    train_mb_size: int = 64
    eval_mb_size: int = 256
    lr: float | None = None
    l2_weight: float = 1.0
    synthetic: dict[str, Any] = field(default_factory=dict)
    num_workers: int = 0
    device: str = "cpu"

    def settings(self) -> dict[str, Any]:
        """As JSON: sequences are lists."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(self).items()}


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
    with open_loggers(folder) as loggers:
        strategy = build(config, model, EvaluationPlugin(accuracy_metrics(experience=True), matrix, loggers=loggers))
        with measure(config.device) as used:
            train_and_evaluate(strategy, benchmark, config)
    accuracy = complete_rows(matrix, strategy, len(benchmark.train_stream))
    results: dict[str, Any] = {
        "schema_version": 1,
        "strategy": config.strategy,
        "seed": config.seed,
        "benchmark": config.benchmark,
        "experiences": [experience.task_name for experience in benchmark.train_stream],
        "config": config.settings(),
        "versions": software_versions(),
        "accuracy": accuracy,
        "metrics": continual_metrics(accuracy[1:]),
        "seconds": used.seconds,
        "peak_memory_bytes": used.peak_memory_bytes,
    }
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


def load_model(name: str) -> CLIPClassifier:
    """A folder with an open_clip config, else open_clip's `NAME` or `NAME:TAG`."""
    if Path(name).is_dir():
        return CLIPClassifier.from_folder(name)
    architecture, _, tag = name.partition(":")
    return CLIPClassifier.from_open_clip(architecture, tag or None)


def load_benchmark(config: RunConfig, model: CLIPClassifier) -> CLScenario:
    check_name("benchmark", config.benchmark, BENCHMARKS)
    common: dict[str, Any] = {
        "train_transform": model.train_transform,
        "eval_transform": model.eval_transform,
        "class_incremental": config.class_incremental,
    }
    if config.benchmark == "digits":
        return SplitDigits(seed=config.seed, **common)
    if config.data is None:
        raise ValueError("expected --data DIR with TASK/{train,test}/CLASS/* for the benchmark folders, got none")
    return ClassFolders(config.data, order=config.tasks, **common)


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
    own: dict[str, Any] = {}
    if kind is GIFT:
        own = {"synthetic": _source(config), **_synthetic_defaults(config), **config.synthetic}
    elif config.strategy == "l2":
        own = {"l2_weight": config.l2_weight}
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
        **own,
    )


def train_and_evaluate(strategy: FineTune, benchmark: CLScenario, config: RunConfig) -> None:
    """Before training, and after each experience, all test sets. What trains nothing is evaluated once."""
    options = {"num_workers": config.num_workers}
    strategy.eval(benchmark.test_stream, **options)
    for experience in benchmark.train_stream if not isinstance(strategy, ZeroShot) else ():
        strategy.train(experience, eval_streams=[], **options)
        strategy.eval(benchmark.test_stream, **options)


def complete_rows(matrix: AccuracyMatrix, strategy: FineTune, experiences: int) -> list[list[Any]]:
    """The rows before training and after each experience; zero-shot's are all the first."""
    rows = matrix.rows()
    return rows * (experiences + 1) if isinstance(strategy, ZeroShot) else rows


def _source(config: RunConfig) -> Any:
    if config.source is not None:
        return config.source
    if config.benchmark == "digits":
        return PrintedGlyphs()
    raise ValueError("expected --source DIR, pictures with prompts or a diffusers pipeline, for the strategy gift; got none")


def _synthetic_defaults(config: RunConfig) -> dict[str, Any]:
    return {"base_prompts": LETTER_PROMPTS} if config.benchmark == "digits" and config.source is None else {}
