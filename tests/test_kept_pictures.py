"""Pictures kept for other runs are those that would have been made."""

import io
import os
import shutil

import numpy as np
import pytest
from spoilt import flipped
from test_policies import Noting

from avalanche_gift.config import RunConfig
from avalanche_gift.files import _SEAL_LENGTH as SEAL, NotAFile
from avalanche_gift.generation import KeptPictures
from avalanche_gift.run import run

PROMPTS, SEEDS = ["a photo of a cat.", "a photo of a dog."], [3, 4]


def pixels(pictures):
    return [np.asarray(picture).tolist() for picture in pictures]


def test_the_same_call_is_made_once_and_any_other_anew(tmp_path):
    generator = Noting()
    made = KeptPictures(generator, tmp_path).generate(PROMPTS, SEEDS)
    assert pixels(KeptPictures(generator, tmp_path).generate(PROMPTS, SEEDS)) == pixels(made)
    assert generator.prompts == [PROMPTS]
    for prompts, seeds in ((PROMPTS, [3, 5]), (PROMPTS[::-1], SEEDS), (PROMPTS[:1], SEEDS[:1])):
        KeptPictures(generator, tmp_path).generate(prompts, seeds)
    assert generator.prompts == [PROMPTS, PROMPTS, PROMPTS[::-1], PROMPTS[:1]]


def test_another_generator_is_not_given_these_pictures(tmp_path):
    class Other(Noting):
        def describe(self):
            return {"generator": "noise", "steps": 7}

    KeptPictures(Noting(), tmp_path).generate(PROMPTS, SEEDS)
    other = Other()
    KeptPictures(other, tmp_path).generate(PROMPTS, SEEDS)
    assert other.prompts == [PROMPTS]


def resaved(change):
    """The pictures as someone else might have written them."""

    def damage(whole):
        content = io.BytesIO()
        np.save(content, change(np.load(io.BytesIO(whole))))
        return content.getvalue()

    return damage


DAMAGES = {
    "cut": lambda whole: whole[:-10],
    "empty": lambda whole: b"",
    "something before": lambda whole: b"\x80\x04" + whole,
    "something behind": lambda whole: whole + b"\0",
    "a flipped bit": flipped,
    "a bit of the heading": lambda whole: whole.replace(b"False", b"True ", 1),
    "inverted": resaved(lambda pixels: 255 - pixels),
    "another shape": resaved(lambda pixels: pixels.reshape(len(pixels), 1, -1, 3)),
    "without a checksum, as before": resaved(lambda pixels: pixels),
    "inverted under the old checksum": lambda whole: resaved(lambda pixels: 255 - pixels)(whole) + whole[-SEAL:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_made_again(damage, tmp_path):
    generator = Noting()
    made = KeptPictures(generator, tmp_path).generate(PROMPTS, SEEDS)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert pixels(KeptPictures(generator, tmp_path).generate(PROMPTS, SEEDS)) == pixels(made)
    assert generator.prompts == [PROMPTS, PROMPTS] and file.read_bytes() == whole


def test_a_run_with_kept_pictures_has_the_numbers_of_one_without(tmp_path):
    def weights(name, cache_dir):
        settings = {"synthetic_images": 4, "synthetic_mb_size": 4}
        common = {"tasks": ("digits", "letters"), "train_iterations": 2, "train_mb_size": 8, "synthetic": settings}
        config = RunConfig("gift", "mini", "mini", cache_dir=cache_dir, **common)
        run(config, tmp_path / name, report=lambda _: None, save_model=True)
        return (tmp_path / name / "model.safetensors").read_bytes()

    kept = str(tmp_path / "kept")
    without = weights("without", None)
    assert weights("first", kept) == without
    assert len(list((tmp_path / "kept").iterdir())) == 2, "one file a task"
    assert weights("second", kept) == without


def test_a_whole_file_under_the_name_of_another_is_made_again(tmp_path):
    generator = Noting()
    kept = KeptPictures(generator, tmp_path)
    kept.generate(PROMPTS, SEEDS)
    (first,) = tmp_path.iterdir()
    other = kept.generate(PROMPTS, [5, 6])
    (second,) = set(tmp_path.iterdir()) - {first}
    shutil.copy(first, second)
    assert pixels(kept.generate(PROMPTS, [5, 6])) == pixels(other)
    assert len(generator.prompts) == 3


def test_what_is_no_file_is_refused_by_name(tmp_path):
    kept = KeptPictures(Noting(), tmp_path)
    kept.generate(PROMPTS, SEEDS)
    (file,) = tmp_path.iterdir()
    for make in (os.mkfifo, os.mkdir):
        file.rmdir() if file.is_dir() else file.unlink()
        make(file)
        with pytest.raises(NotAFile, match=file.name):
            kept.generate(PROMPTS, SEEDS)
