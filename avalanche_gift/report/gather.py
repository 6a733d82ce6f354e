"""Finished runs, gathered for the page: streams of rows; a row is one strategy with one configuration, over its seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from avalanche_gift.evaluation.results import training_order

NAMED_ELSEWHERE = ("strategy", "seed", "benchmark")
"""Fields of a configuration that have columns of their own."""


@dataclass(frozen=True)
class Run:
    """A folder and the results it holds, as `read_results` returned them."""

    folder: Path
    result: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return self.result["seed"]

    @cached_property
    def fields(self) -> dict[str, str]:
        """Configuration and versions as text, by dotted name."""
        config = {key: value for key, value in self.result["config"].items() if key not in NAMED_ELSEWHERE}
        return {**flat(config), **{f"version of {name}": version for name, version in self.result["versions"].items()}}


@dataclass(eq=False)
class Row:
    """settings: what sets it apart from most of the strategy's rows on this stream, as "lr 0.1, beta 0"; mostly nothing."""

    strategy: str
    runs: list[Run]
    settings: str = ""

    @property
    def label(self) -> str:
        return f"{self.strategy}, {self.settings}" if self.settings else self.strategy

    @property
    def trained_at_once(self) -> bool:
        """Whether all experiences were trained together, so that nothing could be forgotten: a bound, no competitor."""
        return bool(self.runs[0].result.get("trained_at_once"))

    @cached_property
    def by_seed(self) -> dict[int, Run]:
        return {run.seed: run for run in self.runs}

    def accuracy(self) -> list[list[float]]:
        """The accuracy matrix, mean over the runs; the first row was measured before training."""
        matrices = zip(*(run.result["accuracy"] for run in self.runs), strict=True)
        return [[sum(cells) / len(cells) for cells in zip(*rows, strict=True)] for rows in matrices]


@dataclass(eq=False)
class Stream:
    """Rows that may be compared: one benchmark, the same experiences trained in one order, and one way of classifying.

    order: the experience of each training, by its place in `experiences`.
    """

    benchmark: str
    experiences: Sequence[str]
    class_incremental: bool
    order: Sequence[int]
    rows: list[Row] = field(default_factory=list)
    label: str = ""

    @property
    def runs(self) -> list[Run]:
        return [run for row in self.rows for run in row.runs]


def gather(found: Iterable[tuple[Path, Mapping[str, Any]]]) -> list[Stream]:
    """Streams and their rows in the order of first appearance, with labels. found: (folder, results)."""
    streams: dict[str, Stream] = {}
    rows: dict[str, Row] = {}
    for folder, result in found:
        config = {key: value for key, value in result["config"].items() if key != "seed"}
        protocol = [result["benchmark"], result["experiences"], bool(config.get("class_incremental")), training_order(result)]
        stream = streams.setdefault(json.dumps(protocol), Stream(*protocol))
        key = json.dumps([protocol, result["strategy"], config], sort_keys=True)
        if key not in rows:
            rows[key] = Row(result["strategy"], [])
            stream.rows.append(rows[key])
        rows[key].runs.append(Run(folder, result))
    _label_streams(list(streams.values()))
    for stream in streams.values():
        _label_rows(stream.rows)
    return list(streams.values())


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as text by dotted name.

    >>> flat({"lr": None, "tasks": ["a", "b"], "synthetic": {"alpha": 1.0}})
    {'lr': '-', 'tasks': 'a, b', 'synthetic.alpha': '1'}
    """
    found: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = _text(value)
    return found


def varying(runs: Sequence[Run]) -> list[str]:
    """Names of the fields that are not the same in all runs, in order of appearance."""
    names = dict.fromkeys(name for run in runs for name in run.fields)
    return [name for name in names if len({run.fields.get(name) for run in runs}) > 1]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"  # 3e-05, not 3.0000000000000004e-05
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)


def _label_streams(streams: Sequence[Stream]) -> None:
    """The benchmark; with its first and last task, the protocol and a number, as far as needed to tell streams apart."""
    for stream in streams:
        stream.label = stream.benchmark
    for detail in (
        lambda stream: f": {stream.experiences[stream.order[0]]} to {stream.experiences[stream.order[-1]]}",
        lambda stream: ", class-incremental" if stream.class_incremental else "",
        lambda stream: f" ({streams.index(stream) + 1})",
    ):
        labels = [stream.label for stream in streams]
        for stream in streams:
            if labels.count(stream.label) > 1:
                stream.label += detail(stream)


def _label_rows(rows: Sequence[Row]) -> None:
    """Of several configurations of a strategy, what sets each apart: its values that most of them do not have."""
    for strategy in {row.strategy: None for row in rows}:
        siblings = [row for row in rows if row.strategy == strategy]
        names = [name for name in varying([row.runs[0] for row in siblings]) if not name.startswith("version of ")]
        values = {name: [row.runs[0].fields.get(name, "-") for row in siblings] for name in names}
        for place, row in enumerate(siblings):
            apart = [(name, found[place]) for name, found in values.items() if 2 * found.count(found[place]) <= len(siblings)]
            row.settings = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in apart)
