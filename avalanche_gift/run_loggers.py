"""Avalanche's loggers in a run's folder, which go on after a resume without doubled lines or steps."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avalanche.logging import CSVLogger, TensorboardLogger, TextLogger
from torch.utils.tensorboard import SummaryWriter

TEXTS = ("log.txt", "csv/training_results.csv", "csv/eval_results.csv")


@contextmanager
def open_loggers(folder: Path, sizes: Mapping[str, int] | None = None, step: int = 0) -> Iterator[list[Any]]:
    """TensorBoard, CSV and text loggers, writing into `folder` until the block ends.

    sizes: of the text files at the checkpoint that the run goes on from, as `log_sizes` gave them; what was written after
    it is cut off. step: the training iterations it had; TensorBoard hides events from there on. None: begin anew.
    """
    kept = {name: _head(folder / name, size) for name, size in (sizes or {}).items() if name in TEXTS}
    csv, tensorboard = CSVLogger(str(folder / "csv")), TensorboardLogger(str(folder / "tensorboard"))
    if sizes is not None:
        tensorboard.writer.close()
        tensorboard.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
    try:
        with open(folder / "log.txt", "w", encoding="utf-8") as log:
            for name, file in zip(TEXTS, (log, csv.training_file, csv.eval_file), strict=True):
                if name in kept:
                    file.seek(0)
                    file.truncate()
                    file.write(kept[name])
                    file.flush()
            yield [tensorboard, csv, TextLogger(log)]
    finally:
        tensorboard.writer.close()
        csv.close()


def log_sizes(folder: Path) -> dict[str, int]:
    """Bytes of the text files so far."""
    return {name: (folder / name).stat().st_size for name in TEXTS if (folder / name).is_file()}


def _head(path: Path, size: int) -> str:
    """What the loggers had written by then; nothing where someone has removed the file."""
    return path.read_bytes()[:size].decode("utf-8", errors="replace") if path.is_file() else ""
