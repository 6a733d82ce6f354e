"""One run: one strategy on one stream with one seed, evaluated before training and after each experience."""

import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.scenarios import CLScenario
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from safetensors.torch import save

from avalanche_gift import distributed
from avalanche_gift.by_name import load_benchmark, load_model
from avalanche_gift.checkpoint import RunState
from avalanche_gift.config import RunConfig, differences
from avalanche_gift.evaluation import (
    AccuracyMatrix,
    ClassIncrementalAccuracy,
    at_once_metrics,
    continual_metrics,
    footprint,
    measure,
    read_results,
    write_results,
)
from avalanche_gift.evaluation.memory import Measurement
from avalanche_gift.evaluation.results import ResultsError, software_versions
from avalanche_gift.evaluation.training_curves import DistanceFromPrevious, LearningRate, SyntheticPictures
from avalanche_gift.files import write_aside
from avalanche_gift.interruption import Interruption
from avalanche_gift.lock import locked
from avalanche_gift.models import CLIPClassifier, set_numerics
from avalanche_gift.names import check_name
from avalanche_gift.run_loggers import open_loggers
from avalanche_gift.run_loop import train_and_evaluate
from avalanche_gift.strategy_arguments import own_arguments
from avalanche_gift.training import AVALANCHE_STRATEGIES, STRATEGIES, FineTune, Joint
from avalanche_gift.training.length import TrainingLength
from avalanche_gift.training.plugins import SyntheticReplayPlugin
from avalanche_gift.training.plugins.checkpoints import CheckpointPlugin
from avalanche_gift.training.plugins.gradient_cosine import GradientCosinePlugin
from avalanche_gift.training.plugins.progress import ProgressPlugin


def run(
    config: RunConfig,
    folder: str | os.PathLike[str],
    report: Callable[[str], None] = print,
    *,
    checkpoint_every: int = 200,
    save_model: bool = False,
    take_over: bool = False,
    interruption: Interruption | None = None,
) -> dict[str, Any]:
    """Trains and evaluates; writes TensorBoard events, CSV, a text log and, at the end, `results.json` into `folder`.

    A folder whose results have this configuration is not run again. One whose run was cut off goes on from its last
    checkpoint: at the start of every experience, and each `checkpoint_every` iterations. On CPU the results are then, bit
    for bit, those of an uninterrupted run. save_model: also writes the CLIP's weights at the end, `model.safetensors`.

    Raises ValueError where the folder is of another configuration or other data, and LockedError (a ValueError) where
    another process works in it; `take_over`: see `lock.locked`.

    Started by `torchrun` or `accelerate launch`, the processes share the work (`avalanche_gift.distributed`), each on a GPU of
    its own where the device is cuda, and the first writes. Raises ValueError for a strategy that is not proven on several.
    """
    folder = Path(folder)
    distributed.start(config.device)
    done = finished(config, folder)
    if done is not None:
        report(f"{config.strategy}, seed {config.seed}: done before, see {folder / 'results.json'}")
        return done
    writes = distributed.is_first()
    lock: AbstractContextManager[None] = nullcontext()
    with locked(folder, take_over=take_over) if writes else lock:
        distributed.wait()
        model, results, state = _run(config, folder, report, checkpoint_every, interruption or Interruption())
        if save_model and writes:
            tensors = {name: tensor.contiguous() for name, tensor in model.clip.state_dict().items()}
            write_aside(folder / "model.safetensors", save(tensors))
        if writes:
            write_results(folder / "results.json", results)
            state.checkpoints.clear()
        distributed.wait()
    return results


def _run(
    config: RunConfig, folder: Path, report: Callable[[str], None], checkpoint_every: int, interruption: Interruption
) -> tuple[CLIPClassifier, dict[str, Any], RunState]:
    """The model at the end, the results, and what was kept on the way."""
    if distributed.size() > 1 and config.strategy in AVALANCHE_STRATEGIES:
        raise ValueError(f"expected one process for {config.strategy}, which is not proven on several")
    if config.shard_optimizer:
        distributed.check_several("shard_optimizer")
    if config.numerics.get("precision") == "fp16" and config.strategy in AVALANCHE_STRATEGIES:
        raise ValueError(f"expected --precision float32 or bf16 for {config.strategy}, whose losses are not scaled; got fp16")
    interruption.deferred = False  # a run before may have failed in the middle of training
    seed_everything(config.seed)
    model = load_model(config.model)
    set_numerics(model, **config.numerics)
    benchmark = load_benchmark(config, model)
    state = RunState(config, benchmark, folder)
    found = state.found(report)
    unchanging = config.strategy == "zero-shot" and not config.class_incremental
    ends = _ends_of_experiences(config, benchmark)
    matrix = AccuracyMatrix(unchanging_at=ends if unchanging else None)
    pooled = ClassIncrementalAccuracy()
    sizes = None if found is None else found["run"]["logs"]
    about = {**config.settings(), "versions": software_versions()}
    logs: AbstractContextManager[list[Any]] = nullcontext([])
    with open_loggers(folder, sizes, about) if distributed.is_first() else logs as loggers:
        watched = [LearningRate(), DistanceFromPrevious(), SyntheticPictures()]
        metrics = [accuracy_metrics(experience=True), matrix, pooled, *watched]
        # What was measured before stays with the loggers: kept here, every figure of a run would stay in memory.
        evaluator = EvaluationPlugin(*metrics, loggers=loggers, collect_all=False)
        strategy, benchmark = build_for(benchmark, config, model, evaluator)
        _watch_gradients(strategy)
        plugin = None
        if goes_on_within(config.strategy):
            plugin = CheckpointPlugin(state.checkpoints, every=checkpoint_every, interruption=interruption, state_of=state.of)
            strategy.plugins.insert(strategy.plugins.index(evaluator), plugin)
        with measure(config.device) as used:
            train_and_evaluate(strategy, benchmark, config, state, plugin)
    used.seconds = state.seconds
    results = _results(config, benchmark, strategy, matrix, used)
    if among_all := pooled.result():
        results["class_incremental"] = {name: among_all[name] for name in ("average", "last")}
        report(
            f"{config.strategy}, seed {config.seed}, among all classes seen: Average {among_all['average']:.2f}, "
            f"Last {among_all['last']:.2f}"
        )
    return model, results, state


def _ends_of_experiences(config: RunConfig, benchmark: CLScenario) -> list[int]:
    """Training iterations after each experience, of strategies that train. ValueError for fewer numbers than experiences."""
    length = TrainingLength(config.train_iterations, config.train_epochs)
    sizes = [len(experience.dataset) for experience in benchmark.train_stream]
    return list(accumulate(length.of(k, images=n, batch_size=config.train_mb_size) for k, n in enumerate(sizes)))


def _watch_gradients(strategy: Any) -> None:
    """Lists `GradientCosinePlugin` where it belongs, in a strategy that replays synthetic pairs in one process: of several,
    each sees only its share of a gradient while that is computed."""
    kinds = [type(plugin) for plugin in strategy.plugins]
    if SyntheticReplayPlugin in kinds and distributed.size() == 1:
        strategy.plugins.insert(kinds.index(SyntheticReplayPlugin) + 1, GradientCosinePlugin())


def _results(
    config: RunConfig, benchmark: CLScenario, strategy: Any, matrix: AccuracyMatrix, used: Measurement
) -> dict[str, Any]:
    experiences = [experience.task_name for experience in benchmark.train_stream]
    accuracy: list[Any] = matrix.rows()
    in_order = list(range(len(experiences)))
    order = matrix.training_order or in_order
    if at_once := isinstance(strategy, Joint):  # one training, which stands for them all
        accuracy[1:] = [accuracy[-1]] * len(experiences)
    return {
        "schema_version": 1,
        "strategy": config.strategy,
        "seed": config.seed,
        "benchmark": config.benchmark,
        "experiences": experiences,
        "config": config.settings(),
        "versions": software_versions(),
        "accuracy": accuracy,
        **({"trained_at_once": True} if at_once else {}),
        **({} if order == in_order else {"training_order": order}),
        "metrics": at_once_metrics(accuracy[1:]) if at_once else continual_metrics(accuracy[1:], order),
        "seconds": used.seconds,
        "peak_memory_bytes": used.peak_memory_bytes,
        "footprint": footprint(strategy),
    }


def goes_on_within(strategy: str) -> bool:
    """Whether a run of it goes on within an experience. Avalanche's own strategies go on from its start, zero-shot anew."""
    return strategy not in AVALANCHE_STRATEGIES and strategy != "zero-shot"


def finished(config: RunConfig, folder: Path) -> dict[str, Any] | None:
    """The results that are there already; None where there are none yet."""
    path = folder / "results.json"
    if not path.exists():
        return None
    results = read_results(path)
    if different := differences(found=results["config"], wanted=config.settings()):
        raise ResultsError(
            f"expected {path} to be of this configuration, but {different}; use another --out, or remove that folder"
        )
    return results


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def build_for(
    benchmark: CLScenario, config: RunConfig, model: CLIPClassifier, evaluator: EvaluationPlugin
) -> tuple[SupervisedTemplate, CLScenario]:
    """The strategy that a configuration names, and the stream in the form that it needs."""
    if config.strategy in AVALANCHE_STRATEGIES:
        return STRATEGIES[config.strategy](model, benchmark, **_arguments(config, evaluator))
    return build(config, model, evaluator), benchmark


def build(config: RunConfig, model: CLIPClassifier, evaluator: EvaluationPlugin) -> FineTune:
    """One of this package's strategies, with its own arguments."""
    kind = STRATEGIES[check_name("strategy", config.strategy, STRATEGIES)]
    return kind(model=model, **_arguments(config, evaluator))


def _arguments(config: RunConfig, evaluator: EvaluationPlugin) -> dict[str, Any]:
    return {
        "train_iterations": config.train_iterations,
        "train_epochs": config.train_epochs,
        "train_mb_size": config.train_mb_size,
        "eval_mb_size": config.eval_mb_size,
        "lr": config.lr,
        "seed": config.seed,
        "class_incremental": config.class_incremental,
        **({"class_incremental_loss": config.class_incremental_loss} if config.chooses_loss else {}),
        **({"shard_optimizer": True} if config.shard_optimizer else {}),
        "device": distributed.own_device(config.device),
        "plugins": [] if config.strategy == "zero-shot" else [ProgressPlugin(config.strategy)],
        "evaluator": evaluator,
        **own_arguments(config),
    }
