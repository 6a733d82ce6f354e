"""Files that are never seen half-written, and files that must be what they were."""

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO


class NotAFile(OSError):
    """Something else than a file stands where one is expected: a named pipe, at which a reader would wait for ever, a device, a
    folder, or a link where none is followed."""

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__(errno.EINVAL, f"{_kind(path)}, not a file", os.fspath(path))


def _kind(path: str | os.PathLike[str]) -> str:
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link"}
    return kinds.get(stat.S_IFMT(os.lstat(path).st_mode), "a device")


def check_file(path: str | os.PathLike[str]) -> None:
    """Raises NotAFile if something else than a file, or than a link to one, is there; FileNotFoundError if nothing is."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise NotAFile(path)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """All of a file; never waits at a named pipe. Raises NotAFile, or OSError as `open`."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotAFile(path)
        return file.read()


@contextlib.contextmanager
def open_aside(path: Path, label: str = "") -> Iterator[BinaryIO]:
    """A file in the folder of `path` to write to; flushed to disk and renamed where the block succeeds, removed where not.

    A reader sees the old file or the new one, never a part. label: part of the file's name until it is renamed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{label}")
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


def write_aside(path: Path, content: bytes, label: str = "") -> None:
    """Writes `content` by `open_aside`."""
    with open_aside(path, label) as file:
        file.write(content)


_SEAL = b"\nSHA-256 "
_SEAL_LENGTH = len(_SEAL) + hashlib.sha256().digest_size
_BLOCK = 2**20


class _Hashing:
    """Writes to a file and hashes what it writes."""

    def __init__(self, file: BinaryIO, digest: Any):
        self._file, self._digest = file, digest

    def write(self, content: bytes) -> int:
        self._digest.update(content)
        return self._file.write(content)


@contextlib.contextmanager
def open_sealed(path: Path) -> Iterator[_Hashing]:
    """As `open_aside`, and writes a checksum of the content and the file's name behind it, for `is_sealed`."""
    digest = hashlib.sha256(path.name.encode())
    with open_aside(path) as file:
        yield _Hashing(file, digest)
        file.write(_SEAL + digest.digest())


def is_sealed(path: Path) -> bool:
    """Whether `open_sealed` wrote the file under this name, and every bit is as it was. Reads all of it.

    False if there is none. Raises NotAFile if something else is there.
    """
    try:
        check_file(path)
        with open(path, "rb") as file:
            left = os.fstat(file.fileno()).st_size - _SEAL_LENGTH
            digest = hashlib.sha256(path.name.encode())
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                digest.update(block)
                left -= len(block)
            return left == 0 and file.read() == _SEAL + digest.digest()
    except FileNotFoundError:
        return False


def parse_json(text: str | bytes) -> Any:
    """`json.loads`, but a ValueError also where brackets are nested deeper than Python's stack."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets nested too deeply") from error


CHECKSUMS = "checksums.json"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(read_file(path)).hexdigest()


def check_files(folder: Path, part: str) -> Path:
    """`folder / part`, once every file of it that `folder / checksums.json` names is there and unaltered.

    Raises FileNotFoundError for a missing file and ValueError for an altered one, one outside the folder, or where no file of
    `part` is named.
    """
    listed = parse_json(read_file(folder / CHECKSUMS))
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
