"""What the command line says of an error, in one line, and the exit code that goes with it."""

import errno
import os
import re
from collections.abc import Iterator

from avalanche_gift.names import printable

BAD_INPUT, FAILURE = 2, 1

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_IN_A_WORKER = re.compile(r"^Caught \w+ in DataLoader worker process", re.MULTILINE)
"""PyTorch hands an error over from another process as text, its traceback included."""


def explain(error: Exception, less_memory: str = "") -> tuple[str, int]:
    """The line, and 2 where other input would help or 1 for what failed on the way.

    less_memory: options that need less of it, named where memory ran out.
    """
    message = printable(_in_one_line(error))
    if isinstance(error, MemoryError) or "out of memory" in message.lower():
        return f"{message or 'out of memory'}; try {less_memory or 'a smaller input'}", FAILURE
    full = next((cause for cause in _causes(error) if isinstance(cause, OSError) and cause.errno in _DISK), None)
    if full is error:
        place = f"for {full.filename!r}" if full.filename else "to write"
        return (
            f"expected room on the disk {place}, got {full.strerror!r}; what was finished before is kept: make room, and the "
            "same command goes on from there",
            FAILURE,
        )
    if full is not None or isinstance(error, ArithmeticError | RuntimeError):
        return message, FAILURE
    if isinstance(error, ValueError | OSError):
        return message, BAD_INPUT
    return f"{type(error).__name__}: {message}, which was not expected; --debug shows where", FAILURE


def _in_one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        # Of a file written aside and renamed, the second name is the one that was asked for.
        place = os.fsdecode(error.filename if error.filename2 is None else error.filename2)
        return f"expected a place that can be read or written, got {error.strerror!r} for {place!r}; give another, or free it"
    message = str(error)
    if found := _IN_A_WORKER.search(message):
        message = message[found.start() :].rstrip().splitlines()[-1].partition(": ")[2]
    return " ".join(message.split())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__
