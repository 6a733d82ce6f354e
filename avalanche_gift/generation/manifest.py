"""The lines of a store: what a record says, how a manifest is read, and how one process at a time appends to it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from avalanche_gift.files import NotAFile, parse_json, read_file


class StoreError(ValueError):
    """A store that is not what was asked for, or can't be read or written."""


@dataclass(frozen=True)
class Record:
    """A line of the manifest. attempts: draws it took. dropped: why readers leave the picture out, None where they don't.

    A line ends in a checksum of the rest, `check`, so that an altered prompt is noticed. Stores of earlier releases, whose
    `meta.json` has no `check` either, may have lines without.
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
        return json.dumps(sealed(values), ensure_ascii=False) + "\n"


_TYPES = {"index": int, "prompt": str, "seed": int, "file": str, "sha256": str, "attempts": int}


def read_manifest(path: Path, *, checked: bool = False) -> list[Record]:
    """Its records in the order written. StoreError with file and line for one that is none, FileNotFoundError for no file.

    checked: a line without its checksum is none.
    """
    try:
        lines = read_file(path).split(b"\n")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"can't read '{path}': {error.strerror or error}") from error
    records = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last line break was torn while being written
        try:
            records.append(_record(_object(parse_json(line)), checked))
        except (TypeError, ValueError) as error:
            raise StoreError(f"'{path}', line {number}: expected a record as JSON: {error}; remove that line") from error
    return records


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"an object of JSON, got {type(found).__name__}")
    return found


def _record(found: dict[str, Any], checked: bool) -> Record:
    record = Record(**{name: value for name, value in found.items() if name != "check"})
    for name, kind in _TYPES.items():
        if type(value := getattr(record, name)) is not kind:
            raise ValueError(f"{name} of type {kind.__name__}, got {value!r}")
    if record.file != Path(record.file).name:
        raise ValueError(f"the name of a file in that folder, got {record.file!r}")
    if not unsealed(found)[1] and checked:
        raise ValueError("a checksum as `check`, got none: altered")
    return record


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with a checksum of them, `check`."""
    return {**values, "check": _checksum(values)}


def unsealed(found: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """What `sealed` was given, and whether a checksum stood there. Raises ValueError if it is not that of the values."""
    values = {name: value for name, value in found.items() if name != "check"}
    if "check" in found and found["check"] != (wanted := _checksum(values)):
        raise ValueError(f"the checksum {wanted} of what stands there, got {found['check']!r}: altered")
    return values, "check" in found


def _checksum(values: Mapping[str, Any]) -> str:
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
            # a named pipe that no one reads is an error here, and nothing to wait for
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
            file = os.fdopen(handle, "ab", buffering=0)
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                file.close()
                raise NotAFile(path)
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
        content = read_file(path)
        if content and not content.endswith(b"\n"):
            os.truncate(path, content.rfind(b"\n") + 1)
        yield file
    finally:
        file.close()
