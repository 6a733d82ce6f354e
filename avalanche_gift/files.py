"""Files that are never seen half-written."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_aside(path: Path, content: bytes) -> None:
    """Writes `content` in the folder of `path`, flushes it to disk, then renames it: a reader sees the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
