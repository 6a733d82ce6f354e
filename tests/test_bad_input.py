"""Bad input, a row of `bad_input_table.py` a test. Whatever goes wrong, there is one line, no traceback, and nothing that was
there before is lost or replaced by a part of something. Below: unusual input that must work.
"""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import spoilt
from bad_input_table import TABLE
from PIL import Image
from spoilt import CHECKPOINTS, CUT, GIFT, RUN, classes

from avalanche_gift.cli import main
from avalanche_gift.evaluation import read_results
from avalanche_gift.generation import FolderGenerator
from avalanche_gift.pictures import open_rgb
from avalanche_gift.training.checkpoint_files import Checkpoints


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        spoilt.write_world(root, patch)
    return root


@pytest.fixture
def world(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    return monkeypatch


def files():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file() and not path.is_symlink()}


def is_log(path):
    """Whether a run that fails may leave or change it: what it has logged so far."""
    return path.name == "log.txt" or path.parent.name in ("csv", "tensorboard")


def is_rest(path):
    """Whether it is half of something, or says that something is finished or under way."""
    return path.name in ("results.json", "lock.json", "summary.png") or path.name.startswith(".")


def call(arguments):
    try:
        return main(arguments)
    except SystemExit as end:  # argparse's way
        return end.code


def test_every_kind_is_listed_once():
    names = [row[0] for row in TABLE]
    assert len(set(names)) == len(names) >= 40


@pytest.mark.parametrize(("spoil", "arguments", "code", "line"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_bad_input_is_one_line_and_a_code_and_loses_nothing(world, capsys, spoil, arguments, code, line):
    spoil(world)
    before = files()
    assert call(arguments) == code
    printed = capsys.readouterr()
    found = [text for text in printed.err.splitlines() if text.startswith("avalanche-gift: ")]
    assert len(found) == 1, printed.err
    assert re.search(line, found[0].removeprefix("avalanche-gift: ")), found[0]
    assert "Traceback" not in printed.out + printed.err
    after = files()
    assert {path for path in before if after.get(path) != before[path] and not is_log(path)} == set()
    assert {path for path in after.keys() - before.keys() if is_rest(path)} == set()


# ---- what is kept where a run fails on its way


@pytest.mark.parametrize("options", [["--lr", "1e30"], ["--lr", "1e25", "--checkpoint-every", "1"]])
def test_the_checkpoint_before_a_loss_that_is_no_number_is_whole_and_finite(world, capsys, options):
    assert main([*RUN, "--iterations", "20", *options]) == 1
    assert "expected finite" in capsys.readouterr().err
    checkpoints = Checkpoints(Path("out/finetune/seed-0/checkpoints"))
    newest = checkpoints.newest()
    assert newest is not None
    assert all(tensor.isfinite().all() for tensor in checkpoints.read(*newest)["model"].values())


def test_a_run_whose_disk_was_full_goes_on_once_there_is_room(world):
    assert main(CUT) == 0
    assert read_results(CHECKPOINTS.parent / "results.json")["experiences"] == ["cold", "warm"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 400 kB, and a function that gives it another size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, text=True)

    try:
        answer = mount("size=400k")
    except FileNotFoundError as error:
        pytest.skip(f"no mount: {error}")
    if answer.returncode:
        pytest.skip(f"this process may not mount a disk of its own: {answer.stderr.strip()}")
    yield folder, lambda size: mount("remount", f"size={size}")
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_really_full_costs_nothing_that_was_finished(world, small_disk, capsys):
    disk, resize = small_disk
    shutil.copytree("out/zero-shot", disk / "zero-shot")
    results = (disk / "zero-shot/seed-0/results.json").read_bytes()
    command = [*RUN, "--checkpoint-every", "1", "--strategies", "zero-shot", "finetune", "--out", str(disk)]
    assert main(command) == 1
    assert "'No space left on device'; what was finished before is kept" in capsys.readouterr().err
    assert (disk / "zero-shot/seed-0/results.json").read_bytes() == results
    assert not [path for path in disk.rglob("*") if path.name.startswith(".")]
    resize("50m")
    assert main(command) == 0
    assert read_results(disk / "finetune/seed-0/results.json")["experiences"] == ["cold", "warm"]


# ---- unusual, but not bad

COLOUR = (200, 100, 50)
SQUARE = Image.new("RGB", (32, 32), COLOUR)
GREY = np.full((32, 32), 0x8080)
OTHER = Image.new("RGB", (32, 32), "black")
UNUSUAL = {
    "CMYK": ("jpg", SQUARE.convert("CMYK"), {}, COLOUR),
    "16-bit PNG": ("png", Image.fromarray(GREY.astype(np.uint16)), {}, (128,) * 3),
    "16-bit TIFF": ("tif", Image.fromarray(GREY.astype(np.uint16)), {}, (128,) * 3),
    "16 of 32 bits": ("tif", Image.fromarray(GREY.astype(np.int32)), {}, (128,) * 3),
    "palette": ("png", SQUARE.quantize(4), {}, COLOUR),
    "palette with transparency": ("png", SQUARE.quantize(4), {"transparency": bytes(4)}, COLOUR),
    "animated GIF": ("gif", SQUARE, {"save_all": True, "append_images": [OTHER]}, COLOUR),
    "animated PNG": ("png", SQUARE, {"save_all": True, "append_images": [OTHER]}, COLOUR),
    "animated WebP": ("webp", SQUARE, {"save_all": True, "append_images": [OTHER], "lossless": True}, COLOUR),
    "black and white": ("png", Image.new("1", (32, 32), 1), {}, (255,) * 3),
    "grey with alpha": ("png", Image.new("LA", (32, 32), (90, 0)), {}, (90,) * 3),
    "colour with alpha": ("png", Image.new("RGBA", (32, 32), (*COLOUR, 0)), {}, COLOUR),
    "one pixel": ("png", Image.new("RGB", (1, 1), COLOUR), {}, COLOUR),
    "a line of pixels": ("png", Image.new("RGB", (900, 1), COLOUR), {}, COLOUR),
    "YCbCr": ("jpg", SQUARE.convert("YCbCr"), {}, COLOUR),
    "BMP": ("bmp", SQUARE, {}, COLOUR),
}


def save_unusual(kind, folder):
    suffix, picture, options, _ = UNUSUAL[kind]
    path = Path(folder, f"{kind.replace(' ', '_')}.{suffix}")
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_pictures_are_read_in_their_colours(tmp_path, kind):
    path = save_unusual(kind, tmp_path)
    (tmp_path / "prompts.csv").write_text(f"file,prompt\n{path.name},a photo")
    (picture,), _ = FolderGenerator(tmp_path).pairs(1, seed=0)
    for read in (open_rgb(path), picture.convert("RGB")):
        assert np.abs(np.subtract(read.getpixel((0, 0)), UNUSUAL[kind][3])).max() <= 3  # JPEG is a little off


def test_a_stream_and_a_source_of_unusual_pictures_and_odd_names_are_trained_on(world):
    lines = ["file,prompt"]
    for kind in UNUSUAL:
        if UNUSUAL[kind][0] != "gif":  # which class folders do not take
            save_unusual(kind, "tasks/cold/train/blue")
            save_unusual(kind, "tasks/cold/test/green")
        lines.append(f'{save_unusual(kind, "source").name},"a ""photo"" of 🔥"')
    Path("source/prompts.csv").write_text("\n".join(lines), encoding="utf-8")
    classes({"names": {"blue": '"quoted" o\'clock', "green": "fire 🔥"}, "classes": ["green", "blue"]})(world)
    assert main([*GIFT, "--images", "16", "--iterations", "6"]) == 0
    results = read_results("out/gift/seed-0/results.json")
    assert results["experiences"] == ["cold", "warm"]
