"""Pictures kept for other runs are those that would have been made."""

import numpy as np
import pytest
from test_policies import Noting

from avalanche_gift.config import RunConfig
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


@pytest.mark.parametrize("damage", [lambda whole: whole[:-10], lambda whole: b"", lambda whole: b"\x80\x04" + whole])
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
