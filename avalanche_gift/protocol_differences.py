"""Where the settings of a run differ from those of its benchmark's published protocol, computed from both."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from avalanche_gift.benchmarks.defaults import departures, paper_value
from avalanche_gift.benchmarks.protocols import (
    MTIL,
    Protocol,
    always_different,
    protocol_hyperparameters,
    protocol_of,
    protocol_options,
)
from avalanche_gift.config import RunConfig
from avalanche_gift.schedule import usual_warmup
from avalanche_gift.strategy_options import option_values

PUBLISHED_MODEL = "ViT-B-16:openai"
SYNTHETIC = {
    "images": "synthetic_images",
    "alpha": "alpha",
    "beta": "beta",
    "awc_weight": "awc_weight",
    "distillation": "distillation",
    "teacher": "teacher",
}
"""Hyperparameters of strategies that replay synthetic images, and their places in `RunConfig.synthetic`."""
REPLAYING = ("gift", "ewc-v")


def protocol_differences(config: RunConfig, given: Collection[str] = ()) -> list[str]:
    """In words, one a difference: `learning rate 0.1 (protocol: 7.1e-06)`; empty where the run is the protocol's.

    given: names of hyperparameters and options that the row of a table sets on purpose, which are no difference. Looked at are
    the model, batch, length, rate, warm-up, label smoothing, weight decay, loss weights, teachers, transforms, the classes of
    the loss, texts, and what differs whatever the settings (`protocols.ALWAYS`). A benchmark without a protocol is compared
    with nothing: ValueError.
    """
    protocol = protocol_of(config.benchmark)
    if protocol is None:
        raise ValueError(f"expected a benchmark with a published protocol, got {config.benchmark}")
    found = [*_of_run(config, protocol)]
    if config.strategy != "zero-shot":
        found += _of_hyperparameters(config, protocol, given)
        found += option_differences(config, given)
    return found + list(always_different(config.benchmark, config.strategy))


def option_differences(config: RunConfig, given: Collection[str] = ()) -> list[str]:
    """Those of the strategy's keyword arguments; from MTIL's, and its test transform, where a benchmark has no protocol."""
    values = option_values(config.strategy, config.options)
    of_run = (
        [] if protocol_of(config.benchmark) or config.test_transform == "test" else ["test_transform train (protocol: test)"]
    )
    benchmark = config.benchmark if protocol_of(config.benchmark) else "mtil"
    return of_run + [
        f"{name} {found} (protocol: {wanted})"
        for name, wanted in protocol_options(benchmark, config.strategy).items()
        if name not in given and (found := _option(config, name, values)) != wanted
    ]


def differences_of_runs(configs: Sequence[RunConfig], hyperparameters: Mapping[str, Any]) -> str:
    """In words, of runs on one benchmark by strategy; from MTIL's hyperparameters and options where it has no protocol.

    hyperparameters: those of the benchmark by the names of the command line.
    """
    benchmark = configs[0].benchmark
    published = protocol_of(benchmark) is not None
    differing = protocol_differences if published else option_differences
    trained = [config for config in configs if config.strategy != "zero-shot"]  # whose differences all others have too
    words = in_words({config.strategy: differing(config) for config in trained or configs})
    first = "" if published else departures(dict(hyperparameters), benchmark)
    return " ".join(filter(None, [first and f"{first}.", words]))


def in_words(differences: Mapping[str, Sequence[str]]) -> str:
    """Of several rows: what all have first, then what some have, by their names.

    >>> in_words({"LwF": ["a", "b"], "ZSCL": ["a"]})
    'All rows: a. LwF: b.'
    """
    each = list(dict.fromkeys(text for found in differences.values() for text in found))
    groups: dict[str, list[str]] = {}
    for text in each:
        rows = [row for row, found in differences.items() if text in found]
        groups.setdefault("All rows" if len(rows) == len(differences) else ", ".join(rows), []).append(text)
    parts = sorted(groups.items(), key=lambda group: group[0] != "All rows")
    return " ".join(f"{rows}: {'; '.join(texts)}." for rows, texts in parts)


def _of_run(config: RunConfig, protocol: Protocol) -> Iterator[str]:
    if config.model != PUBLISHED_MODEL:
        yield f"model {config.model} (protocol: {PUBLISHED_MODEL})"
    if config.class_incremental != (protocol is not MTIL):
        yield f"class_incremental {config.class_incremental} (protocol: {protocol is not MTIL})"
    for name, wanted in protocol.run.items():
        if (found := getattr(config, name)) != wanted:
            yield f"{name} {found} (protocol: {wanted})"
    for name in ("shots", "max_pictures", "numerics"):
        if value := getattr(config, name):
            yield f"{name} {value} (protocol: none)"


def _of_hyperparameters(config: RunConfig, protocol: Protocol, given: Collection[str]) -> Iterator[str]:
    wanted = protocol_hyperparameters(config.benchmark, config.strategy)
    found: dict[str, Any] = {
        "iterations": config.train_iterations,
        "epochs": config.train_epochs,
        "batch_size": config.train_mb_size,
        "lr": config.lr,
    }
    if config.strategy == "l2":
        found["l2_weight"] = config.l2_weight
    if config.strategy in REPLAYING:
        found |= {name: config.synthetic[key] for name, key in SYNTHETIC.items() if key in config.synthetic}
        found["l2_weight"], wanted["l2_weight"] = config.synthetic.get("l2_weight", 0.0), 0.0  # beside consolidation
    allowed = protocol.of_strategy.get(config.strategy, {})
    for name, value in found.items():
        choices = allowed.get(name)
        right = value in choices if isinstance(choices, tuple) else value == wanted[name]
        if not right and value is not None and name not in given:
            yield f"{name} {value} (protocol: {' or '.join(map(str, choices)) if choices else paper_value(wanted, name)})"


def _option(config: RunConfig, name: str, values: Mapping[str, Any]) -> Any:
    """The value in force of an option, as a protocol has it."""
    value = values.get(name)
    if name == "class_incremental_loss":
        return config.class_incremental_loss if config.chooses_loss else "seen"
    if name == "texts":
        own = config.benchmark in ("mini", "digits") and "pictures" not in config.options  # the embedded world's references
        return "captions" if own or isinstance(value, str | os.PathLike) else "class prompts"
    if name == "warmup_iterations" and value is None:
        length = config.train_iterations
        return usual_warmup(length) if isinstance(length, int) else "100, or a tenth of a shorter experience"
    if name == "label_smoothing" and value is None:  # MoE-Adapters
        return 0.0 if config.class_incremental else 0.2
    return value
