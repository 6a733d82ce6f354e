"""SIGTERM and SIGINT: a checkpoint first, then the end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):
    """A signal ended the run; what it had done is kept."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Interruption:
    """Notes a signal while `deferred`, and raises Interrupted at once otherwise, or at the second signal."""

    def __init__(self) -> None:
        self.deferred = False
        self.signal: int | None = None

    def notice(self, number: int, frame: FrameType | None = None) -> None:
        """A handler for `signal.signal`."""
        if not self.deferred or self.signal is not None:
            raise Interrupted(number)
        self.signal = number


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handles SIGTERM and SIGINT for a block, in the main thread."""
    interruption = Interruption()
    before = {number: signal.signal(number, interruption.notice) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
