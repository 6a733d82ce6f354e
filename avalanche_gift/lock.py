"""One process at a time in a folder."""

import contextlib
import errno
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avalanche_gift.files import NotAFile, parse_json
from avalanche_gift.names import printable

LOCK = "lock.json"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_MOST = 4096
"""Bytes of a lock that are read."""


class LockedError(ValueError):
    """Another process works in the folder, or seems to."""


@dataclass(frozen=True)
class _Holder:
    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        minutes = max(0.0, time.time() - self.since) / 60  # the clock may have been set back
        return f"process {self.pid} on {printable(self.host)} has it since {minutes:.0f} minutes"


@contextmanager
def locked(folder: Path, *, take_over: bool = False) -> Iterator[None]:
    """Holds `folder / lock.json` (host, pid, time) for the length of a block.

    The file is locked by the operating system, which frees it when its holder ends, however that comes about: what another
    process left there, and whose number it names, does not matter. The lock of another host, of which this system knows
    nothing, is taken over only if `take_over`.

    Raises LockedError, which names host, pid and age, if another process holds it or seems to, and NotAFile (an OSError) if
    something else than a file is there, such as a symbolic link.
    """
    path = folder / LOCK
    folder.mkdir(parents=True, exist_ok=True)
    handle = _acquire(path, take_over)
    _held.add(handle)
    try:
        yield
    finally:
        if handle in _held:  # else this is a forked process, which has closed it
            _held.discard(handle)
            if _is_there(path, handle):  # and not that of a process that took over
                path.unlink(missing_ok=True)
            os.close(handle)


def _acquire(path: Path, take_over: bool) -> int:
    """The locked file, which says who holds it."""
    while True:
        handle = _open(path)
        try:
            supported, free = _lock(handle)
            if not _is_there(path, handle):  # its holder removed it between opening and locking: the next one counts
                os.close(handle)
                continue
            holder = _read(handle)
            elsewhere = holder is not None and holder.host != socket.gethostname()
            if not free and not (elsewhere and take_over):
                raise _refusal(path, holder, "wait for it, or use another --out")
            if not take_over and holder is not None and (elsewhere or (not supported and _is_alive(holder.pid))):
                way = "wait for it, use another --out, or give --take-over if that process is gone"
                raise _refusal(path, holder, way)
            if not free:  # of a host that is gone, whose lock a file server still keeps
                path.unlink(missing_ok=True)
                os.close(handle)
                continue
            mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()})
            os.ftruncate(handle, 0)
            os.pwrite(handle, mine.encode(), 0)
            return handle
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(handle)
            raise


def _refusal(path: Path, holder: _Holder | None, way: str) -> LockedError:
    who = "another process has it" if holder is None else str(holder)
    return LockedError(f"expected {path.parent} to be used by one process, but {who}; {way}")


def _open(path: Path) -> int:
    """Without following a link, and without waiting where it is a named pipe."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise NotAFile(path) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotAFile(path)
    return handle


def _lock(handle: int) -> tuple[bool, bool]:
    """Whether the file system has locks, and whether this one was free, and is ours now."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True, False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False, True
    return True, True


def _is_there(path: Path, handle: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _read(handle: int) -> _Holder | None:
    """None for a new file, and for what is no lock of ours."""
    try:
        found = parse_json(os.pread(handle, _MOST, 0))
        holder = _Holder(str(found["host"]), int(found["pid"]), float(found["since"]))
    except (ArithmeticError, ValueError, KeyError, TypeError):
        return None
    return holder if len(holder.host) <= 255 and 0 < holder.pid < 2**31 and abs(holder.since) < 1e12 else None


def _is_alive(pid: int) -> bool:
    """Asked only where the file system has no locks; a number may be that of another process by now."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


_held: set[int] = set()


def _forget() -> None:
    """In a forked process, such as a data loader's worker, which would keep the lock beyond the end of its holder."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
