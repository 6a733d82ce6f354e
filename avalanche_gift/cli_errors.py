"""What the command line says of an error, in one line, and the exit code that goes with it."""

import errno
from collections.abc import Iterator

BAD_INPUT, FAILURE = 2, 1

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def explain(error: Exception, less_memory: str = "") -> tuple[str, int]:
    """The line, and 2 where other input would help or 1 for what failed on the way.

    less_memory: options that need less of it, named where memory ran out.
    """
    message = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "out of memory" in message.lower():
        return f"{message or 'out of memory'}; try {less_memory or 'a smaller input'}", FAILURE
    full = next((cause for cause in _causes(error) if isinstance(cause, OSError) and cause.errno in _DISK), None)
    if full is error:
        return f"{message}; what was finished before is kept: make room, and the same command goes on from there", FAILURE
    if full is not None or isinstance(error, ArithmeticError | RuntimeError):
        return message, FAILURE
    if isinstance(error, ValueError | TypeError | OSError):
        return message, BAD_INPUT
    return f"{type(error).__name__}: {message}, which was not expected; --debug shows where", FAILURE


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__
