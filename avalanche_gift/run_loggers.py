"""Avalanche's loggers in a run's folder, which go on after a resume without doubled lines or steps."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from avalanche.logging import BaseLogger, CSVLogger, TensorboardLogger, TextLogger

SCALARS = "csv/scalars.csv"
TEXTS = ("log.txt", SCALARS, "csv/training_results.csv", "csv/eval_results.csv")
EVENTS = "tensorboard/events.*"


class ScalarsLogger(BaseLogger):
    """Every number that TensorBoard gets, as CSV with the columns iteration, name, value; Avalanche's own leaves most out."""

    def __init__(self, file: IO[str]):
        super().__init__()
        self._rows = csv.writer(file, lineterminator="\n")

    def log_single_metric(self, name: str, value: Any, x_plot: int) -> None:
        if isinstance(value, int | float):
            self._rows.writerow((x_plot, name, value))


@contextmanager
def open_loggers(
    folder: Path, sizes: Mapping[str, int] | None = None, about: Mapping[str, Any] | None = None
) -> Iterator[list[Any]]:
    """TensorBoard, CSV and text loggers, writing into `folder` until the block ends.

    sizes: of the files at the checkpoint that the run goes on from, as `log_sizes` gave them; what was written after it is cut
    off. None: begin anew. about: the configuration, which a new log begins with.
    """
    kept = {name: _head(folder / name, size) for name, size in (sizes or {}).items() if name in TEXTS}
    for path in folder.glob(EVENTS):
        if size := (sizes or {}).get(_name(path, folder)):
            os.truncate(path, size)
        else:
            path.unlink()
    with ExitStack() as stack:
        tables, tensorboard = CSVLogger(str(folder / "csv")), TensorboardLogger(str(folder / "tensorboard"))
        stack.callback(tables.close)
        stack.callback(tensorboard.writer.close)
        # Line by line, since a checkpoint asks how long they are.
        log, scalars = (stack.enter_context(open(folder / n, "w", encoding="utf-8", buffering=1)) for n in ("log.txt", SCALARS))
        print("iteration,name,value", file=scalars)
        for name, file in zip(TEXTS, (log, scalars, tables.training_file, tables.eval_file), strict=True):
            if name in kept:
                file.seek(0)
                file.truncate()
                file.write(kept[name])
                file.flush()
        if sizes is None and about is not None:
            rows = list(_flat(about))
            log.writelines(f"{name}: {value}\n" for name, value in rows)
            table = "\n".join(["| | |", "|---|---|", *(f"| {name} | `{value}` |" for name, value in rows)])
            tensorboard.writer.add_text("Configuration", table, 0)
        yield [tensorboard, tables, ScalarsLogger(scalars), TextLogger(log)]


def log_sizes(folder: Path, loggers: Sequence[Any] = ()) -> dict[str, int]:
    """Bytes of the log files so far, once the loggers have written what they hold."""
    for logger in loggers:
        if isinstance(logger, TensorboardLogger):
            logger.writer.flush()
    files = [folder / name for name in TEXTS if (folder / name).is_file()]
    return {_name(path, folder): path.stat().st_size for path in [*files, *folder.glob(EVENTS)]}


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _head(path: Path, size: int) -> str:
    """What the loggers had written by then; nothing where someone has removed the file."""
    return path.read_bytes()[:size].decode("utf-8", errors="replace") if path.is_file() else ""


def _flat(about: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by dotted name."""
    for name, value in about.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
