"""The lines of a store: what a record says, how a manifest is read, and how one process at a time appends to it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from avalanche_gift.files import parse_json


class StoreError(ValueError):
    """A store that is not what was asked for, or can't be read or written."""


@dataclass(frozen=True)
class Record:
    """A line of the manifest. attempts: draws it took. dropped: why readers leave the picture out, None where they don't.

    A line ends in a checksum of the rest, `check`, so that an altered prompt is noticed; lines of older stores have none.
    """

    index: int
    prompt: str
    seed: int
    file: str
    sha256: str
    attempts: int = 1
    dropped: str | None = None

    def line(self) -> str:
        values = {key: value for key, value in vars(self).items() if key != "dropped" or value is not None}
        return json.dumps({**values, "check": _checksum(values)}, ensure_ascii=False) + "\n"


_TYPES = {"index": int, "prompt": str, "seed": int, "file": str, "sha256": str, "attempts": int}


def read_manifest(path: Path) -> list[Record]:
    """Its records in the order written. StoreError with file and line for one that is none, FileNotFoundError for no file."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"can't read '{path}': {error.strerror or error}") from error
    records = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last line break was torn while being written
        try:
            records.append(_record(parse_json(line)))
        except (TypeError, ValueError) as error:
            raise StoreError(f"'{path}', line {number}: expected a record as JSON: {error}; remove that line") from error
    return records


def _record(values: dict[str, Any]) -> Record:
    check = values.pop("check", None) if isinstance(values, dict) else None
    record = Record(**values)
    for name, kind in _TYPES.items():
        if type(value := getattr(record, name)) is not kind:
            raise ValueError(f"{name} of type {kind.__name__}, got {value!r}")
    if record.file != Path(record.file).name:
        raise ValueError(f"the name of a file in that folder, got {record.file!r}")
    if check is not None and check != (found := _checksum(values)):
        raise ValueError(f"the checksum {found} of what stands there, got {check!r}: altered")
    return record


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def append(manifest: IO[bytes], content: bytes) -> None:
    """Writes all of it to disk. Raises OSError where only a part fits, which an unbuffered file passes over."""
    written = manifest.write(content)
    if written != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(manifest.fileno())


@contextlib.contextmanager
def open_locked(path: Path, wait: bool = False) -> Iterator[IO[bytes]]:
    """A file to append to, held by one process at a time; a torn last line is cut off. StoreError where it is held."""
    import fcntl

    while True:
        try:
            file = open(path, "ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise StoreError(f"can't write '{path}': {error.strerror or error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            file.close()
            raise StoreError(
                f"another process writes '{path}'; wait for it, or give each process its own --shard K/N"
            ) from error
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            break
        file.close()  # replaced or removed by a merge between opening and locking
    try:
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            os.truncate(path, content.rfind(b"\n") + 1)
        yield file
    finally:
        file.close()
