"""Loggers in a run's folder, which go on after a resume without doubled lines or steps."""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from avalanche.logging import BaseLogger, TensorboardLogger, TextLogger
from matplotlib.figure import Figure

from avalanche_gift.evaluation.units import UNITS, unit_of
from avalanche_gift.files import NotAFile, read_file

LOG, SCALARS = "log.txt", "csv/scalars.csv"
TEXTS = (LOG, SCALARS)
FORMER = ("csv/training_results.csv", "csv/eval_results.csv")
"""Of Avalanche's CSVLogger, which earlier releases used: columns of zeros for what was not measured."""
EVENTS = "tensorboard/events.*"
COLUMNS = ("iteration", "name", "value", "unit")
UNIT_TABLE = [("name", "unit", "what it is"), *((start, unit, what) for start, (unit, what) in UNITS.items())]


class ScalarsLogger(BaseLogger):
    """Every number that TensorBoard gets, as CSV with the columns iteration, name, value, unit."""

    def __init__(self, file: IO[str]):
        super().__init__()
        self._rows = csv.writer(file, lineterminator="\n")

    def log_single_metric(self, name: str, value: Any, x_plot: int) -> None:
        if isinstance(value, int | float):
            self._rows.writerow((x_plot, name, value, unit_of(name)))


class RunLog(TextLogger):
    """Avalanche's text log with units, with six significant digits (a learning rate of 1e-5 is none of 0.0000), and without
    figures, of which text could only say that they are there."""

    def __init__(self, file: IO[str]):
        super().__init__(file)
        self.metric_vals: dict[str, tuple[str, int, Any]] = {}

    def print_current_metrics(self) -> None:
        for name, _, value in sorted(self.metric_vals.values(), key=lambda metric: metric[0]):
            if not isinstance(value, Figure):
                text = f"{value:.6g}" if isinstance(value, float) else self._val_to_str(value)
                unit = unit_of(name)
                print(f"\t{name} = {text}{f' {unit}' if unit not in ('', '1') else ''}", file=self.file)

    def after_training_exp(self, strategy: Any, metric_values: Any, **kwargs: Any) -> None:
        # Avalanche would hold these back until the first evaluation, and print them as if they were of it.
        super().after_training_exp(strategy, metric_values, **kwargs)
        self.print_current_metrics()
        self.metric_vals = {}


@contextmanager
def open_loggers(
    folder: Path, sizes: Mapping[str, int] | None = None, about: Mapping[str, Any] | None = None
) -> Iterator[list[Any]]:
    """TensorBoard, CSV and text loggers, writing into `folder` until the block ends.

    sizes: of the files at the checkpoint that the run goes on from, as `log_sizes` gave them; what was written after it is cut
    off. None: begin anew. about: the configuration, which a new log begins with.
    """
    _refuse_others(folder)
    kept = {name: _head(folder / name, size) for name, size in (sizes or {}).items() if name in TEXTS}
    for path in folder.glob(EVENTS):
        if size := (sizes or {}).get(_name(path, folder)):
            os.truncate(path, size)
        else:
            path.unlink()
    for name in FORMER:
        (folder / name).unlink(missing_ok=True)
    (folder / SCALARS).parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        tensorboard = TensorboardLogger(str(folder / "tensorboard"))
        stack.callback(tensorboard.writer.close)
        # Line by line, since a checkpoint asks how long they are.
        log, scalars = (stack.enter_context(open(folder / name, "w", encoding="utf-8", buffering=1)) for name in TEXTS)
        scalars.write(_with_units(kept.get(SCALARS, "")))
        log.write(kept.get(LOG, ""))
        if sizes is None and about is not None:
            rows = list(_flat(about))
            log.writelines(f"{name}: {value}\n" for name, value in rows)
            log.writelines(f"unit of {name}: {unit}, {what}\n" for name, unit, what in UNIT_TABLE[1:])
            tensorboard.writer.add_text("Configuration", _table([("", ""), *((n, f"`{value}`") for n, value in rows)]), 0)
        if sizes is None:
            tensorboard.writer.add_text("Units", _table(UNIT_TABLE), 0)
        yield [tensorboard, ScalarsLogger(scalars), RunLog(log)]


def _refuse_others(folder: Path) -> None:
    """Raises NotAFile for a link, which would be followed to write over its target, and for a named pipe and the like."""
    for path in (folder / "csv", folder / "tensorboard"):
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise NotADirectoryError(
                f"expected a folder of this run's own at {path}, got a link or something else; remove it, or use another --out"
            )
    for path in (*(folder / name for name in (*TEXTS, *FORMER)), *folder.glob(EVENTS)):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise NotAFile(path)


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
    return read_file(path)[:size].decode("utf-8", errors="replace") if path.is_file() else ""


def _with_units(scalars: str) -> str:
    """The head of scalars.csv, with the column of units that files of earlier releases don't have."""
    header, *rows = csv.reader(io.StringIO(scalars)) if scalars else [COLUMNS]
    if tuple(header) == COLUMNS:
        return scalars or f"{','.join(COLUMNS)}\n"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *((*row[:3], unit_of(row[1])) for row in rows if len(row) >= 3)])
    return text.getvalue()


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown, the first row as heading."""
    lines = [f"| {' | '.join(row)} |".replace("|  ", "| ") for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _flat(about: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by dotted name."""
    for name, value in about.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
