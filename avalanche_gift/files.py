"""Files that are never seen half-written, and files that must be what they were."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def open_aside(path: Path) -> Iterator[BinaryIO]:
    """A file in the folder of `path` to write to; flushed to disk and renamed where the block succeeds, removed where not.

    A reader sees the old file or the new one, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)  # a write that fails does not say where
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)


def write_aside(path: Path, content: bytes) -> None:
    """Writes `content` by `open_aside`."""
    with open_aside(path) as file:
        file.write(content)


def parse_json(text: str | bytes) -> Any:
    """`json.loads`, but a ValueError also where brackets are nested deeper than Python's stack."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets nested too deeply") from error


CHECKSUMS = "checksums.json"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_files(folder: Path, part: str) -> Path:
    """`folder / part`, once every file of it that `folder / checksums.json` names is there and unaltered.

    Raises FileNotFoundError for a missing file and ValueError for an altered one, one outside the folder, or where no file of
    `part` is named.
    """
    listed = parse_json((folder / CHECKSUMS).read_bytes())
    if not isinstance(listed, dict):
        raise ValueError(f"expected an object of file names and checksums in {folder / CHECKSUMS}, got {type(listed).__name__}")
    names = [name for name in sorted(listed) if name.startswith(f"{part}/")]
    if not names:
        raise ValueError(f"expected checksums of files in {part}/, {folder / CHECKSUMS} names none; install the package again")
    if outside := [name for name in names if ".." in Path(name).parts]:
        raise ValueError(f"expected files inside {folder} in its {CHECKSUMS}, got {outside[0]!r}; install the package again")
    for name in names:
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"expected the file {path}, which is missing; install the package again")
        if (found := sha256_of(path)) != listed[name]:
            raise ValueError(f"expected SHA-256 {listed[name]} of {path}, got {found}: altered; install the package again")
    return folder / part


def write_checksums(folder: Path, parts: Iterable[str]) -> None:
    """Writes `checksums.json` with the SHA-256 of every file in the given parts of a folder."""
    files = [path for part in parts for path in sorted((folder / part).rglob("*")) if path.is_file()]
    sums = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
    write_aside(folder / CHECKSUMS, json.dumps(sums, indent=2, sort_keys=True).encode())
