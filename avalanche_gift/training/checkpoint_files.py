"""Checkpoints on disk: safetensors and JSON, written aside and renamed, found through an index with checksums.

Nothing that could execute code is read or written.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from avalanche_gift.files import parse_json, read_file, write_aside

VERSION = 1
INDEX = "index.json"
ENTRY = {"experience": int, "iteration": int, "file": str, "sha256": str}
"""What the index says of a checkpoint."""
TENSOR = "tensor:"
"""In place of a tensor in the plain values: this and its name in the safetensors file."""


class CheckpointError(ValueError):
    """A checkpoint is not what it should be: which file, what was expected, what came, what to do."""


class Checkpoints:
    """The checkpoints of one run in a folder of their own: one at the start of an experience, others within it.

    A checkpoint within an experience needs the one at its start, so that what is made as an experience begins (pictures,
    teacher embeddings, anchors) is made again instead of stored. The last two are kept, and the starts they need.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, experience: int, iteration: int, state: Mapping[str, Any]) -> None:
        """Writes the state after `iteration` iterations of an experience; 0: its start. Tensors may stand anywhere in it."""
        tensors: dict[str, Tensor] = {}
        values = _without_tensors(state, "", tensors)
        name = _file_name(experience, iteration)
        if self.folder.is_symlink():
            raise CheckpointError(f"{self.folder}: expected a folder of this run's own, got a symbolic link; remove the link")
        content = save(tensors, metadata={"values": json.dumps(values)})
        write_aside(self.folder / name, content)
        entry = {
            "experience": experience,
            "iteration": iteration,
            "file": name,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        self._keep([*(old for old in self._entries() if old["file"] != name), entry])

    def newest(self) -> tuple[int, int] | None:
        """The experience and iteration of the newest checkpoint whose files are there; None where there is none."""
        entries = self._entries()
        places = {(entry["experience"], entry["iteration"]) for entry in entries if (self.folder / entry["file"]).is_file()}
        return max(((e, i) for e, i in places if (e, 0) in places), default=None)

    def read(self, experience: int, iteration: int) -> dict[str, Any]:
        """What `write` was given. Raises CheckpointError for a missing, cut or altered file."""
        entry = next((one for one in self._entries() if (one["experience"], one["iteration"]) == (experience, iteration)), None)
        if entry is None:
            raise CheckpointError(f"{self.folder}: expected a checkpoint of {experience=}, {iteration=}, got none")
        path = self.folder / entry["file"]
        try:
            content = read_file(path)
        except OSError as error:
            raise CheckpointError(f"{path}: expected a readable checkpoint, got {error.strerror or error}") from error
        if (found := hashlib.sha256(content).hexdigest()) != entry["sha256"]:
            raise CheckpointError(
                f"{path}: expected SHA-256 {entry['sha256']}, got {found}: cut or altered; remove that file to go on from the "
                "checkpoint before it"
            )
        return _decoded(path, content)

    def clear(self) -> None:
        """Removes all of them, the index first."""
        entries = self._entries()
        (self.folder / INDEX).unlink(missing_ok=True)
        for entry in entries:
            (self.folder / entry["file"]).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _entries(self) -> list[dict[str, Any]]:
        path = self.folder / INDEX
        if not path.exists():
            return []
        try:
            index = parse_json(read_file(path))
            version, entries = index["version"], index["checkpoints"]
            strange = [entry for entry in entries if {key: type(entry.get(key)) for key in ENTRY} != ENTRY]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: expected an index of checkpoints, got {error!r}; remove {self.folder} to begin the run again"
            ) from error
        if version != VERSION:
            raise CheckpointError(
                f"{path}: expected checkpoints of version {VERSION}, got {version}; go on with the release that wrote them, or "
                f"remove {self.folder} to begin the run again"
            )
        if strange:
            raise CheckpointError(
                f"{path}: expected checkpoints with {', '.join(ENTRY)}, got {strange[0]!r}; remove {self.folder} to begin the "
                "run again"
            )
        for entry in entries:
            if entry["file"] != (name := _file_name(entry["experience"], entry["iteration"])):
                raise CheckpointError(f"{path}: expected the file {name} in its own folder, got {entry['file']!r}: altered")
        return entries

    def _keep(self, entries: list[dict[str, Any]]) -> None:
        entries.sort(key=lambda entry: (entry["experience"], entry["iteration"]))
        last = entries[-2:]
        wanted = {entry["experience"] for entry in last}
        kept = [entry for entry in entries if entry in last or (entry["iteration"] == 0 and entry["experience"] in wanted)]
        write_aside(self.folder / INDEX, json.dumps({"version": VERSION, "checkpoints": kept}, indent=2).encode())
        for entry in entries:
            if entry not in kept:
                (self.folder / entry["file"]).unlink(missing_ok=True)


def _file_name(experience: int, iteration: int) -> str:
    return f"experience-{experience:03d}-iteration-{iteration:07d}.safetensors"


def _decoded(path: Path, content: bytes) -> dict[str, Any]:
    try:
        tensors = load(content)
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return _with_tensors(parse_json(header["__metadata__"]["values"]), tensors)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: expected a checkpoint of this package, got {error!r}; remove it") from error


def _without_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The same tree with every tensor moved to `tensors` and named by its place."""
    if isinstance(value, Tensor):
        # Cloned: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return TENSOR + name
    if isinstance(value, Mapping):
        if strangers := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"expected names as keys of a state, got {strangers[:3]} at {name or 'the top'}")
        return {key: _without_tensors(one, f"{name}/{key}", tensors) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(one, f"{name}/{place}", tensors) for place, one in enumerate(value)]
    if isinstance(value, str) and value.startswith(TENSOR):
        raise ValueError(f"expected no text that begins with {TENSOR!r} in a state, got one at {name}")
    return value


def _with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, str) and value.startswith(TENSOR):
        return tensors[value.removeprefix(TENSOR)]
    if isinstance(value, dict):
        return {key: _with_tensors(one, tensors) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_tensors(one, tensors) for one in value]
    return value


def random_state() -> dict[str, Any]:
    """Where the generators of Python, NumPy and torch stand, on CPU and every CUDA device."""
    import random

    import numpy as np

    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return {
        "python": [version, list(internal), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """What `random_state` returned."""
    import random

    import numpy as np

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
