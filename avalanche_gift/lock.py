"""One process at a time in a folder."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOCK = "lock.json"


class LockedError(ValueError):
    """Another process works in the folder, or seems to."""


@contextmanager
def locked(folder: Path, *, take_over: bool = False) -> Iterator[None]:
    """Holds `folder / lock.json` (host, pid, time) for the length of a block.

    The lock of a process of this host that is gone is taken over. Raises LockedError, which names host, pid and age, for
    that of a living one, or of another host unless `take_over`.
    """
    path = folder / LOCK
    folder.mkdir(parents=True, exist_ok=True)
    mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()})
    while not _create(path, mine):
        holder = _read(path)
        if holder is not None and not take_over and not _is_gone(holder):
            raise LockedError(
                f"expected {folder} to be used by one process, but process {holder['pid']} on {holder['host']} has it since "
                f"{(time.time() - holder['since']) / 60:.0f} minutes; wait for it, use another --out, or give --take-over if "
                "that process is gone"
            )
        path.unlink(missing_ok=True)
        take_over = False
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path, content: str) -> bool:
    """False where it is there already. Linked into place, so that no one reads half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(content, encoding="utf-8")
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        aside.unlink()
    return True


def _read(path: Path) -> dict[str, Any] | None:
    """None where it is gone by now, or no lock of ours."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return {"host": str(holder["host"]), "pid": int(holder["pid"]), "since": float(holder["since"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_gone(holder: dict[str, Any]) -> bool:
    """Of this host and dead; this very process holds nothing yet, so its number belongs to one before it."""
    if holder["host"] != socket.gethostname():
        return False
    if holder["pid"] == os.getpid():
        return True
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
