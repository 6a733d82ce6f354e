"""SIGTERM and SIGINT: a checkpoint first, then the end."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
AGAIN = 5.0
"""Seconds after which Interrupted is raised once more, where something has swallowed it."""


class Interrupted(BaseException):
    """A signal ended the run; what it had done is kept.

    Not an Exception, as KeyboardInterrupt is none: whoever handles errors, here or in another package, must not handle this.
    """

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number, self.exit_code = number, 128 + number

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int]]:
        return type(self), (self.number,)


class Interruption:
    """Notes a signal while `deferred`, and raises Interrupted at once otherwise, or at the second signal.

    deferred: setting it to False raises Interrupted if a signal was noted in the meantime. noted: the first signal.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._deferred = False
        self.noted: int | None = None
        self.process = os.getpid()

    @property
    def deferred(self) -> bool:
        return self._deferred

    @deferred.setter
    def deferred(self, value: bool) -> None:
        self._deferred = value
        if not value and self.noted is not None:
            self._raise(self.noted)

    def notice(self, number: int, frame: FrameType | None = None) -> None:
        """A handler for `signal.signal`."""
        if os.getpid() != self.process:
            _end_forked(number)
            return
        if not self._deferred or self.noted is not None:
            self._raise(number)
        self.signal = self.noted = number

    def remind(self, number: int, frame: FrameType | None = None) -> None:
        """A handler for the timer: raises once more what was raised before."""
        if self.noted is not None and os.getpid() == self.process:
            self._raise(self.noted)

    def _raise(self, number: int) -> None:
        self.noted = self.noted or number
        if signal.getsignal(signal.SIGALRM) == self.remind:
            # A bare `except` or a destructor may swallow it, wherever it happens to be raised.
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        raise Interrupted(self.noted)


def _end_forked(number: int) -> None:
    """In a process forked from this one, such as a data loader's worker: Ctrl-C reaches it too, but its parent ends it once it
    is needed no more; another signal ends it as if there were no handler."""
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


_current: Interruption | None = None


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handles SIGTERM and SIGINT for a block, in the main thread. Within another such block it is that block's.

    Raises Interrupted also for an error that a signal turned into on its way.
    """
    global _current
    if _current is not None and _current.process != os.getpid():
        _current = None  # of the process that this one was forked from
    if _current is not None or threading.current_thread() is not threading.main_thread():
        yield _current or Interruption()
        return
    interruption = Interruption()
    handlers = {**dict.fromkeys(SIGNALS, interruption.notice), signal.SIGALRM: interruption.remind}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    _current = interruption
    try:
        yield interruption
    except Exception as error:
        if interruption.noted is None:
            raise
        # Python itself makes a RuntimeError of whatever is raised in __set_name__, which imports call all the time.
        raise Interrupted(interruption.noted) from error
    finally:
        _current = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
