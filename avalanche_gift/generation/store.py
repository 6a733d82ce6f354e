"""Synthetic pictures on disk: a folder a task, filled picture by picture, valid after every interruption."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from PIL import Image

from avalanche_gift.files import parse_json, read_file, sha256_of, write_aside
from avalanche_gift.generation.manifest import Record, StoreError, append, open_locked, read_manifest, sealed, unsealed

MANIFEST, META, DROPPED = "manifest.jsonl", "meta.json", "dropped.json"
FORMATS = {"png": "PNG", "jpg": "JPEG"}
"""Of the pictures, by their suffix; JPEG in Pillow's default quality, 75, as the paper's code saves it."""

NOT_COMPARED = ("versions",)
"""Fields of `meta.json` that are kept for the reader and may differ."""


class SyntheticStore:
    """A folder with `task-00`, `task-01`, ... , by position in the stream; one writes into each through `TaskFolder`.

    store = SyntheticStore("pictures")
    pictures, prompts = store.task(1).pairs(1000)   # the first 1000 by index: smaller sets are prefixes of larger ones
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def task(self, position: int) -> TaskFolder:
        """The folder of the task at `position`, from 0 on, whether it is there or not."""
        return TaskFolder(self.root / f"task-{position:02d}")

    def positions(self) -> list[int]:
        """Of the tasks that are there."""
        found = (path.parent.name.removeprefix("task-") for path in self.root.glob(f"task-*/{META}"))
        return sorted(int(number) for number in found if number.isdecimal())

    def pairs(self, count: int, *, seed: int, exclude: Collection[str] = ()) -> tuple[list[Image.Image], list[str]]:
        """At most `count` pictures of all tasks and their prompts, drawn without replacement: a `PairSource`."""
        excluded = frozenset(exclude)
        entries = [
            (folder, record)
            for folder in map(self.task, self.positions())
            for record in folder.kept()
            if record.prompt not in excluded
        ]
        if not entries:
            raise StoreError(f"expected pictures of other prompts than those excluded in '{self.root}', found none")
        drawn = random.Random(seed).sample(entries, min(count, len(entries)))
        return [folder.picture(record) for folder, record in drawn], [record.prompt for _, record in drawn]


class TaskFolder:
    """The pictures of one task, their manifest and what they were made with.

    `manifest.jsonl` is append-only; where several processes write, each has a part, `manifest-2-of-8.jsonl`, and readers see
    all of them merged. A line stands there only once its picture is on disk. A torn last line is ignored, and for an index
    that occurs twice the later line counts. `FolderGenerator` reads the folder too, once its parts are merged.
    `meta.json`, each line and `dropped.json` hold a checksum of what they say (not in stores of earlier releases, which stay
    readable), and a line that of its picture.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def meta(self) -> dict[str, Any] | None:
        """What the pictures were made with; None where nothing is there."""
        return self._settings()[0]

    def _settings(self) -> tuple[dict[str, Any] | None, bool]:
        """`meta.json`, and whether it has a checksum, as all lines then must."""
        path = self.root / META
        return _read_object(path) if path.exists() else (None, False)

    def check(self, asked: Mapping[str, Any]) -> None:
        """Raises StoreError, naming each field that differs, where the folder was made with other settings."""
        found = self.meta()
        if found is None:
            return
        wanted = json.loads(json.dumps(asked))
        fields = [key for key in {**wanted, **found} if key not in NOT_COMPARED and wanted.get(key) != found.get(key)]
        if fields:
            differences = ", ".join(f"{key}: there {found.get(key)!r}, asked {wanted.get(key)!r}" for key in fields)
            raise StoreError(
                f"the pictures in '{self.root}' were made with other settings ({differences}); "
                "ask for the same, use another folder, or remove this one"
            )

    def open(self, asked: Mapping[str, Any]) -> None:
        """Makes the folder with its `meta.json`, or checks the one that is there. Raises StoreError."""
        if self.meta() is None:
            # looked for once more: another process may have begun the folder in between
            if self.parts() and self.meta() is None:
                raise StoreError(
                    f"there are pictures in '{self.root}' but no {META} that says what they were made with; "
                    "put it back, use another folder, or remove this one"
                )
            _write(self.root / META, json.dumps(sealed(json.loads(json.dumps(asked))), indent=2, ensure_ascii=False))
        self.check(asked)

    def parts(self) -> list[Path]:
        """The manifests, that of a single process first."""
        parts = sorted(self.root.glob("manifest-*-of-*.jsonl"))  # first: a merge writes the whole one before it removes them
        return [self.root / MANIFEST, *parts] if (self.root / MANIFEST).exists() else parts

    def records(self) -> dict[int, Record]:
        """Every picture recorded, by index, in its order."""
        while True:
            try:
                _, checked = self._settings()
                found = {record.index: record for path in self.parts() for record in read_manifest(path, checked=checked)}
                return dict(sorted(found.items()))
            except FileNotFoundError:  # another process merged a part between listing and reading
                continue

    def kept(self, count: int | None = None) -> list[Record]:
        """Those among the first `count` indices (all where None) that were not dropped, black or by a filter (`drop`)."""
        filtered = set(self.dropped()["indices"])
        chosen = (record for record in self.records().values() if count is None or record.index < count)
        return [record for record in chosen if record.dropped is None and record.index not in filtered]

    def drop(self, indices: Collection[int], **facts: Any) -> None:
        """Has readers leave out these pictures, in place of those named before; the files stay. facts: why, to be kept.

        Raises StoreError.
        """
        if indices or (self.root / DROPPED).exists():
            _write(self.root / DROPPED, json.dumps(sealed({**facts, "indices": sorted(indices)})))

    def dropped(self) -> dict[str, Any]:
        """What `drop` wrote last: the indices, and why; no indices where nothing was dropped."""
        path = self.root / DROPPED
        found = _read_object(path)[0] if path.exists() else {"indices": []}
        indices = found.get("indices")
        if not isinstance(indices, list) or not all(type(index) is int for index in indices):
            raise StoreError(f"'{path}': expected a list of indices, got {indices!r}; remove that file")
        return found

    def intact(self, record: Record) -> bool:
        """Whether the picture is on disk as it was written."""
        path = self.root / record.file
        return path.is_file() and sha256_of(path) == record.sha256

    def picture(self, record: Record) -> Image.Image:
        """Raises StoreError with the file's name where it is missing, altered or no picture."""
        path = self.root / record.file
        try:
            content = read_file(path)
            if hashlib.sha256(content).hexdigest() != record.sha256:
                raise ValueError("altered since it was written")
            picture = Image.open(io.BytesIO(content), formats=tuple(FORMATS.values()))
            picture.load()
            return picture
        except (OSError, SyntaxError, ValueError) as error:
            raise StoreError(
                f"can't read the picture '{path}': {error}; run the command that made it again, which replaces it"
            ) from error

    def pairs(self, count: int) -> tuple[list[Image.Image], list[str]]:
        """The pictures of the first `count` indices and their prompts, without dropped ones. StoreError where some lack."""
        records = self.records()
        missing = [index for index in range(count) if index not in records]
        if missing:
            raise StoreError(
                f"expected {count} pictures in '{self.root}', {len(missing)} are missing (the first is {missing[0]}); "
                "make them with the command that made the others"
            )
        kept = [record for record in self.kept(count)]
        return [self.picture(record) for record in kept], [record.prompt for record in kept]

    @contextlib.contextmanager
    def writer(self, *, shard: tuple[int, int] = (1, 1), suffix: str = "png") -> Iterator[Writer]:
        """For the process `shard` = (number from 1 on, of how many). StoreError where another process writes that part."""
        number, of = shard
        if not 1 <= number <= of:
            raise ValueError(f"expected a shard from 1/{of} to {of}/{of}, got {number}/{of}")
        if suffix not in FORMATS:
            raise ValueError(f"expected pictures as {' or '.join(FORMATS)}, got {suffix!r}")
        path = self.root / (MANIFEST if of == 1 else f"manifest-{number}-of-{of}.jsonl")
        label = f"{number}-of-{of}."
        with open_locked(path) as manifest:
            for leftover in self.root.glob(f".[0-9]*.*.{label}*"):  # of a killed process: who writes this part is alone
                leftover.unlink(missing_ok=True)
            yield Writer(self.root, manifest, suffix, label)

    def merge(self) -> bool:
        """Makes one `manifest.jsonl` of the parts, in the order of indices. False, and nothing done, while one is written."""
        if not any(path.name != MANIFEST for path in self.parts()):
            return True
        with contextlib.ExitStack() as stack:
            stack.enter_context(open_locked(self.root / ".merge.lock", wait=True))
            # Listed first: who begins to write after that has none of these, and who wrote before holds one of the parts.
            leftovers = list(self.root.glob(".[0-9]*.*.*"))
            parts = self.parts()
            try:
                for path in {*parts, self.root / MANIFEST}:
                    stack.enter_context(open_locked(path))
            except StoreError:
                return False
            _write(self.root / MANIFEST, "".join(record.line() for record in self.records().values()))
            for path in parts:
                if path.name != MANIFEST:
                    path.unlink()
            for path in leftovers:
                path.unlink(missing_ok=True)
        return True


class Writer:
    """Appends pictures: files first, then their lines. label: of its part, in the names of half-written files."""

    def __init__(self, root: Path, manifest: IO[bytes], suffix: str, label: str) -> None:
        self.root, self._manifest, self._suffix, self._label = root, manifest, suffix, label

    def add(self, rows: Sequence[tuple[int, str, int, Image.Image, int, str | None]]) -> list[Record]:
        """Rows of index, prompt, seed, picture, attempts, dropped. Raises StoreError where the disk takes no more."""
        records = []
        try:
            for index, prompt, seed, picture, attempts, dropped in rows:
                content = encoded(picture, self._suffix)
                file = f"{index:05d}.{self._suffix}"
                write_aside(self.root / file, content, self._label)
                records.append(Record(index, prompt, seed, file, hashlib.sha256(content).hexdigest(), attempts, dropped))
            _flush_folder(self.root)
            append(self._manifest, "".join(record.line() for record in records).encode())
        except OSError as error:
            raise StoreError(
                f"can't write pictures into '{self.root}': {error.strerror or error}; those recorded stay valid, and the "
                "same command makes the missing ones once the folder can be written"
            ) from error
        return records


def encoded(picture: Image.Image, suffix: str) -> bytes:
    """The file that a picture becomes, "png" or "jpg"."""
    content = io.BytesIO()
    (picture if picture.mode == "RGB" else picture.convert("RGB")).save(content, FORMATS[suffix])
    return content.getvalue()


def _read_object(path: Path) -> tuple[dict[str, Any], bool]:
    """The values of a JSON object, and whether a checksum stands beside them, which then is theirs."""
    try:
        return unsealed(_object(parse_json(read_file(path))))
    except (OSError, ValueError) as error:
        raise StoreError(f"can't read '{path}': {error}; put it back, or make the pictures in another folder") from error


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"expected an object of JSON, got {type(found).__name__}")
    return found


def _write(path: Path, text: str) -> None:
    try:
        write_aside(path, text.encode())
    except OSError as error:
        raise StoreError(
            f"can't write '{path}': {error.strerror or error}; make that possible, and the same command goes on, or use "
            "another folder"
        ) from error


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
