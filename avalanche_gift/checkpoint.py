"""What is saved of a run, and how a run goes on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avalanche.benchmarks.scenarios import CLScenario

from avalanche_gift.config import RunConfig, differences
from avalanche_gift.evaluation.results import software_versions
from avalanche_gift.run_loggers import log_sizes
from avalanche_gift.training.checkpoint_files import CheckpointError, Checkpoints
from avalanche_gift.training.state import strategy_state

RUN = {"configuration": dict, "data": dict, "versions": dict, "seconds": float, "logs": dict}
"""What a run adds to a checkpoint."""


class RunState:
    """What a run adds to the state of its strategy: configuration, data, versions, seconds and the sizes of its logs."""

    def __init__(self, config: RunConfig, benchmark: CLScenario, folder: Path):
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self._config, self._data, self._folder = config.settings(), fingerprint(benchmark), folder
        self._began, self._seconds_before = time.perf_counter(), 0.0

    @property
    def seconds(self) -> float:
        """Of this process and of those before it up to their checkpoints."""
        return self._seconds_before + time.perf_counter() - self._began

    def found(self, report: Callable[[str], None]) -> dict[str, Any] | None:
        """The newest checkpoint; None where there is none. CheckpointError where it is of another run."""
        place = self.checkpoints.newest()
        if place is None:
            return None
        state = self.checkpoints.read(*place)
        run = _own_part(state, self.checkpoints.folder)
        for what, ours in (("configuration", self._config), ("data", self._data)):
            if different := differences(found=run[what], wanted=ours):
                raise CheckpointError(
                    f"expected {self.checkpoints.folder} to be of this {what}, but {different}; use another --out, or remove "
                    "that folder"
                )
        if different := differences(found=run["versions"], wanted=software_versions()):
            report(f"going on from a checkpoint of other versions, so that results may differ in the last digits: {different}")
        self._seconds_before = run["seconds"]
        return state

    def of(self, strategy: Any) -> dict[str, Any]:
        """The strategy's state and ours."""
        run = {
            "configuration": self._config,
            "data": self._data,
            "versions": software_versions(),
            "seconds": self.seconds,
            "logs": log_sizes(self._folder, strategy.evaluator.loggers),
        }
        return {**strategy_state(strategy), "run": run}


def _own_part(state: Any, folder: Path) -> dict[str, Any]:
    run = state.get("run") if isinstance(state, dict) else None
    if not isinstance(run, dict) or any(not isinstance(run.get(key), kind) for key, kind in RUN.items()):
        raise CheckpointError(f"expected checkpoints with {', '.join(RUN)} in {folder}, got others; remove that folder")
    return run


def fingerprint(benchmark: CLScenario) -> dict[str, list[Any]]:
    """By experience: number of classes, training and test pictures, and the first and last class."""
    pairs = zip(benchmark.train_stream, benchmark.test_stream, strict=True)
    return {
        train.task_name: [
            len(train.class_names),
            len(train.dataset),
            len(test.dataset),
            train.class_names[0],
            train.class_names[-1],
        ]
        for train, test in pairs
    }
