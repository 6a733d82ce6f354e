"""Makers of a small world of files, and of everything that can be wrong with one: paths are relative, in the folder of a test.

A spoiler is a function of pytest's monkeypatch; what it must be told is bound beforehand: `truncated(PICTURE)`.
"""

import errno
import hashlib
import io
import json
import os
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import pytest
import torch
from open_clip.model import CLIP
from PIL import Image
from safetensors.torch import load_file, save_file

from avalanche_gift.benchmarks.download import Archive
from avalanche_gift.benchmarks.mini.concepts import VOCABULARY
from avalanche_gift.cli import main
from avalanche_gift.models.loading import WEIGHTS_FILE, save_folder
from avalanche_gift.models.mini import mini_config, write_tokenizer
from avalanche_gift.training.checkpoint_files import INDEX

TASKS = {"cold": ("blue", "green"), "warm": ("red", "yellow")}
RUN = [
    *("run", "--benchmark", "folders", "--data", "tasks", "--source", "source", "--model", "model", "--strategies", "finetune"),
    *("--iterations", "2", "--batch-size", "4", "--out", "out"),
]
GIFT = [*RUN, "--strategies", "gift", "--images", "3"]
AHEAD = [*GIFT, "--source", "ahead"]
GENERATE = ["generate", "--benchmark", "mini", "--tasks", "2", "--images", "3", "--source", "perfect", "--out", "store"]
CUT = [*RUN, "--out", "cut"]
PICTURE = "tasks/cold/train/blue/0.png"
BOTH = ("train", "test")
MANIFEST, META = "ahead/task-00/manifest.jsonl", "ahead/task-00/meta.json"
CHECKPOINTS = Path("cut/finetune/seed-0/checkpoints")

Spoiler = Callable[[pytest.MonkeyPatch], Any]


def write_world(root: Path, patch: pytest.MonkeyPatch) -> Path:
    """Two tasks of two colours, a source with prompts, a tiny model, and what was made before.

    out: a finished run of zero-shot. cut: a run of finetune that ended as its disk was full, with its checkpoints.
    store, ahead: pictures made ahead for two tasks of the mini world, and for these tasks.
    """
    patch.chdir(root)
    for task, classes in TASKS.items():
        for split in BOTH:
            for name in classes:
                folder = Path("tasks", task, split, name)
                folder.mkdir(parents=True)
                for index in range(4):
                    Image.new("RGB", (40, 32 + index), name).save(folder / f"{index}.png")
    Path("source").mkdir()
    lines = ["file,prompt"]
    for name in ("white", "purple", "orange"):
        Image.new("RGB", (32, 32), name).save(f"source/{name}.png")
        lines.append(f"{name}.png,a photo of a {name}.")
    Path("source/prompts.csv").write_text("\n".join(lines))
    write_model(Path("model"))
    assert main([*RUN, "--strategies", "zero-shot"]) == 0
    assert main(GENERATE) == 0
    with patch.context() as other:
        other.setattr("avalanche_gift.benchmarks.mini.PerfectGenerator", lambda: Generating(in_red))
        folders = ["--benchmark", "folders", "--data", "tasks", "--images", "3", "--source", "perfect"]
        assert main(["generate", *folders, "--out", "ahead"]) == 0
    with patch.context() as full:
        full.setattr("avalanche_gift.run.write_results", raiser(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        assert main([*CUT, "--checkpoint-every", "1"]) == 1
    return root


def write_model(folder: Path) -> None:
    """A CLIP of one layer a tower over the words of the mini world, random weights from seed 0."""
    config = mini_config(VOCABULARY)
    sizes = config["model_cfg"] | {"embed_dim": 16}
    sizes["vision_cfg"] |= {"width": 32, "layers": 1, "head_width": 16}
    sizes["text_cfg"] |= {"width": 24, "layers": 1, "heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clip = CLIP(embed_dim=16, vision_cfg=sizes["vision_cfg"], text_cfg=sizes["text_cfg"])
    save_folder(clip, folder, {**config, "model_cfg": sizes})
    write_tokenizer(VOCABULARY, folder)


def raiser(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


# ---- any file


def both(*spoilers: Spoiler) -> Spoiler:
    def spoil(patch: pytest.MonkeyPatch) -> None:
        for spoiler in spoilers:
            spoiler(patch)

    return spoil


def written(path: str | Path, content: str | bytes) -> Spoiler:
    def spoil(patch: pytest.MonkeyPatch) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def piped(path: str | Path) -> Spoiler:
    """A named pipe, at which a reader would wait for ever, in the place of whatever is there."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        Path(path).unlink(missing_ok=True)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)

    return spoil


def linked(path: str | Path, target: str) -> Spoiler:
    """A link to something outside, which must not be written over."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        Path(path).unlink(missing_ok=True)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).symlink_to(Path(target).resolve())

    return spoil


def with_fields(path: str | Path, change: Callable[[dict[str, Any]], Any]) -> Spoiler:
    """A results file with other values and the checksum that goes with them, as someone who wants to do harm would write."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        results = json.loads(Path(path).read_text())
        del results["sha256"]
        results = change(results)
        checksum = hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()
        Path(path).write_text(json.dumps({**results, "sha256": checksum}))

    return spoil


def removed(path: str) -> Spoiler:
    return lambda patch: shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()


def truncated(path: str, keep: float = 0.6) -> Spoiler:
    def spoil(patch: pytest.MonkeyPatch) -> None:
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: int(keep * len(content))])

    return spoil


def altered(path: str, old: str, new: str) -> Spoiler:
    """Replaces a text that the file must hold."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        text = Path(path).read_text(encoding="utf-8")
        assert old in text
        Path(path).write_text(text.replace(old, new, 1), encoding="utf-8")

    return spoil


def patched(target: str, value: Any) -> Spoiler:
    return lambda patch: patch.setattr(target, value)


def listing(text: str | bytes, name: str = "prompts.csv") -> Spoiler:
    """Another list of prompts for the source."""
    return both(removed("source/prompts.csv"), written(f"source/{name}", text))


# ---- pictures and tasks


def bomb(path: str, side: int = 60_000) -> Spoiler:
    """A PNG of a hundred bytes whose heading says side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return written(path, b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b""))


def pixels(path: str, value: Any) -> Spoiler:
    """A TIFF of pixels of that value and its type, under whatever name."""
    return lambda patch: Image.fromarray(np.full((32, 32), value)).save(path, format="TIFF")


def classes(content: Any) -> Spoiler:
    """A `classes.json` of the task cold."""
    return written("tasks/cold/classes.json", content if isinstance(content, str | bytes) else json.dumps(content))


def named(blue: Any) -> Spoiler:
    """The class blue of the task cold under another name."""
    return classes({"names": {"blue": blue}})


def labels_beyond(patch: pytest.MonkeyPatch) -> None:
    """MNIST in its official layout, with a label of 77."""
    layouts.write("MNIST", Path("sets"))
    path = next(path for path in Path("sets").rglob("train-labels*"))
    path.write_bytes(path.read_bytes()[:-1] + bytes([77]))


# ---- models


def nan_weights(patch: pytest.MonkeyPatch) -> None:
    weights = load_file(f"model/{WEIGHTS_FILE}")
    weights["text_projection"][0, 0] = float("nan")
    save_file(weights, f"model/{WEIGHTS_FILE}")


def other_weights(patch: pytest.MonkeyPatch) -> None:
    weights = load_file(f"model/{WEIGHTS_FILE}")
    weights["text_projection"] = weights["text_projection"][:, :8].contiguous()
    save_file(weights, f"model/{WEIGHTS_FILE}")


def renamed(path: str, name: str) -> Spoiler:
    return lambda patch: Path(path).rename(Path(path).with_name(name))


def configured(part: str | None, value: Any) -> Spoiler:
    """The model's config with another part, or without it where the value is None."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        path = Path("model/open_clip_config.json")
        config = json.loads(path.read_text())
        if value is None:
            del config["model_cfg"][part]
        else:
            config["model_cfg"][part] = value
        path.write_text(json.dumps(config))

    return spoil


def safetensors_bytes(header: Any, size: int | None = None, body: bytes = bytes(64)) -> bytes:
    """A file with that header, of which it says that it is `size` bytes long."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + body


def tensor(first: int, last: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [8], "data_offsets": [first, last]}


HOSTILE = {
    "huge length": safetensors_bytes({}, size=2**62),
    "bad JSON": safetensors_bytes(b'{"a": '),
    "overlapping": safetensors_bytes({"a": tensor(0, 32), "b": tensor(16, 48)}),
    "negative offset": safetensors_bytes({"a": tensor(-32, 0)}),
    "beyond the end": safetensors_bytes({"a": tensor(2**40, 2**40 + 32)}),
    "of a list": safetensors_bytes([1, 2]),
}
"""Files that would have a careless reader allocate, or read elsewhere."""


# ---- checkpoints, results, stores


def last_checkpoint() -> tuple[Path, dict[str, Any]]:
    """The file of the newest checkpoint of the run that was cut, and the index."""
    index = json.loads((CHECKPOINTS / INDEX).read_text())
    return CHECKPOINTS / index["checkpoints"][-1]["file"], index


def checkpoint(change: Callable[[bytes], bytes], *, checksum: bool = False) -> Spoiler:
    """The newest checkpoint with other bytes. checksum: also made to fit, as someone who wants to do harm would."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        path, index = last_checkpoint()
        content = change(path.read_bytes())
        path.write_bytes(content)
        if checksum:
            index["checkpoints"][-1]["sha256"] = hashlib.sha256(content).hexdigest()
            (CHECKPOINTS / INDEX).write_text(json.dumps(index))

    return spoil


def with_values(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """A change of the plain values that a checkpoint holds beside its tensors."""

    def changed(content: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        header["__metadata__"]["values"] = json.dumps(change(json.loads(header["__metadata__"]["values"])))
        return safetensors_bytes(header, body=content[8 + length :])

    return changed


def flipped(content: bytes) -> bytes:
    """One bit of a byte in the middle is another."""
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]


# ---- what fails on the way


def in_red(count: int, size: tuple[int, int] = (8, 8)) -> list[Image.Image]:
    return [Image.new("RGB", size, "red")] * count


class Generating:
    """A generator that answers as told, by the number of pictures."""

    def __init__(self, answer: Callable[[int], Any]):
        self.answer = answer

    def generate(self, prompts: Any, seeds: Any) -> Any:
        return self.answer(len(prompts))

    def describe(self) -> dict[str, Any]:
        """As the one whose store it goes on with."""
        return {"generator": "PerfectGenerator"}


def generating(answer: Callable[[int], Any]) -> Spoiler:
    """The second task of the store is to be made again, by a generator that answers so."""
    return both(
        removed("store/task-01"), patched("avalanche_gift.benchmarks.mini.PerfectGenerator", lambda: Generating(answer))
    )


def full_disk(patch: pytest.MonkeyPatch) -> None:
    """From now on nothing reaches the disk."""
    patch.setattr(os, "fsync", raiser(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))


# ---- archives


def tar_with(member: str, link: str | None = None) -> bytes:
    """An archive of one file, or of a link that leads somewhere."""
    content, packed = b"a text", io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo(member)
        if link is None:
            info.size = len(content)
        else:
            info.type, info.linkname = tarfile.SYMTYPE, link
        tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def archive(content: bytes) -> Spoiler:
    """An archive of the data set DTD to be fetched, with the checksum that is expected of it."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        Path("served.tar.gz").write_bytes(content)
        found = Archive((Path("served.tar.gz").resolve().as_uri(),), "dtd/dtd-r1.0.1.tar.gz", None)
        patch.setattr("avalanche_gift.benchmarks.download.archives", lambda name: [found])
        patch.setattr("torchvision.datasets.DTD._MD5", hashlib.md5(content).hexdigest())

    return spoil
