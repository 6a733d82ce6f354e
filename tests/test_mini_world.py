"""The mini world: its counts, its drawing (the same bytes in every process), its captions and its stream."""

import hashlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from avalanche_gift.benchmarks.mini import (
    MiniWorld,
    PerfectGenerator,
    canonical_picture,
    draw_canonical,
    draw_pretraining,
    draw_task,
)
from avalanche_gift.benchmarks.mini.concepts import (
    COLOURED,
    CONCEPTS,
    KINDS,
    TASKS,
    VOCABULARY,
    all_prompts,
    base_prompts,
    words,
)
from avalanche_gift.benchmarks.mini.objects import OBJECTS
from avalanche_gift.benchmarks.mini.painting import RGB, distance
from avalanche_gift.benchmarks.mini.shapes import FLAGS, SHAPES

SHEET = """
import hashlib, warnings
warnings.simplefilter("ignore")
from avalanche_gift.benchmarks.mini import TASKS, draw_canonical, draw_pretraining, draw_task
pictures, captions, concepts = draw_pretraining(0, 200, seed=3)
canonical, prompts = draw_canonical(0, 100, seed=3)
tasks = [draw_task(name, split, 3, 24)[0] for name in TASKS for split in ("train", "test")]
everything = [pictures, canonical, concepts, *tasks]
text = "|".join([*captions, *prompts]).encode()
print(hashlib.sha256(b"".join(array.tobytes() for array in everything) + text).hexdigest())
"""


def started(threads: int) -> subprocess.Popen:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **{name: str(threads) for name in names}, "PYTHONHASHSEED": str(threads)}
    return subprocess.Popen([sys.executable, "-c", SHEET], env=environment, stdout=subprocess.PIPE, text=True)


def test_a_sheet_has_the_same_bytes_in_two_processes_with_different_thread_counts():
    one, other = (process.communicate(timeout=300)[0].strip() for process in [started(1), started(4)])
    assert len(one) == 64
    assert one == other


def test_there_are_139_concepts_219_prompts_163_of_them_base_and_56_task_classes():
    taught = [name for names in TASKS.values() for name in names]
    assert (len(CONCEPTS), len(all_prompts()), len(base_prompts()), len(taught)) == (139, 219, 163, 56)
    assert list(TASKS) == ["shapes", "textures", "digits", "land", "letters", "icons"]
    assert [len(names) for names in TASKS.values()] == [10, 8, 10, 8, 10, 10]
    assert {kind: len(numbers) for kind, numbers in KINDS.items()} == {
        **{"shape": 20, "object": 49, "letter": 26, "digit": 10},
        **{"texture": 14, "land": 12, "flag": 8},
    }
    assert len(COLOURED) == 80
    assert not {f"a photo of a {name}." for name in taught} & set(base_prompts())
    assert set(base_prompts()) < set(all_prompts())
    assert len(set(all_prompts())) == 219


def test_every_shape_object_and_flag_has_a_figure_and_no_figure_is_idle():
    for kind, figures in (("shape", SHAPES), ("object", OBJECTS), ("flag", FLAGS)):
        assert sorted(figures) == sorted(CONCEPTS[number].phrase for number in KINDS[kind])


@pytest.mark.parametrize("draw", [draw_pretraining, draw_canonical])
def test_two_calls_draw_what_one_call_draws(draw):
    whole, first, second = draw(5, 30, seed=1), draw(5, 11, seed=1), draw(16, 19, seed=1)
    assert np.array_equal(whole[0], np.concatenate([first[0], second[0]]))
    assert whole[1] == first[1] + second[1]
    assert not np.array_equal(whole[0], draw(5, 30, seed=2)[0])


def test_a_tasks_first_pictures_do_not_depend_on_how_many_are_drawn():
    for name in TASKS:
        few, many = draw_task(name, "test", 4, 12), draw_task(name, "test", 4, 30)
        assert np.array_equal(few[0], many[0][:12]), name
        assert np.array_equal(few[1], many[1][:12]), name


def test_every_word_of_every_caption_is_in_the_vocabulary_and_captions_fit_twelve_tokens():
    captions = draw_pretraining(0, 1500)[1] + draw_canonical(0, 300)[1] + all_prompts()
    assert {word for caption in captions for word in words(caption)} <= set(VOCABULARY)
    assert list(VOCABULARY) == sorted(set(VOCABULARY))
    assert max(len(words(caption)) for caption in captions) <= 10


def test_captions_name_the_concept_and_kinds_come_in_their_shares():
    _, captions, concepts = draw_pretraining(0, 1500)
    for caption, number in zip(captions, concepts, strict=True):
        assert set(words(CONCEPTS[number].phrase)) <= set(words(caption))
    kinds = [CONCEPTS[number].kind for number in concepts]
    assert 0.22 < kinds.count("object") / 1500 < 0.30
    assert 0.01 < kinds.count("flag") / 1500 < 0.05
    grounds = np.mean([" ground" in caption for caption in captions])
    assert 0.07 < grounds < 0.16


def test_coloured_shapes_come_often_and_a_pictures_middle_has_the_colour_of_its_prompt():
    pictures, prompts = draw_canonical(0, 1200, seed=2)
    named = {prompt: name for prompt, name in zip(all_prompts()[139:], COLOURED, strict=True)}
    share = np.mean([prompt in named for prompt in prompts])
    assert 0.20 < share < 0.31  # .8 * 60 / 189
    assert not any(prompt in named for prompt in draw_canonical(0, 200, seed=2, coloured_share=0)[1])
    for picture, prompt in zip(pictures, prompts, strict=True):
        if prompt in named:
            middle = np.median(picture[14:19, 14:19].reshape(-1, 3), axis=0)
            assert distance(middle.tolist(), RGB[named[prompt].split(" ")[0]]) < 40, prompt


def test_the_perfect_generator_draws_all_219_prompts_and_refuses_others():
    pictures = PerfectGenerator().generate(all_prompts(), range(219))
    assert {picture.size for picture in pictures} == {(32, 32)}
    assert len({picture.tobytes() for picture in pictures}) == 219
    assert np.array_equal(np.asarray(pictures[7]), canonical_picture(all_prompts()[7], 7))
    assert np.array_equal(canonical_picture("red circle", 1), canonical_picture("a drawing of a red circle.", 1))
    with pytest.raises(ValueError, match=r"219 classes.*'a photo of a unicorn\.'"):
        PerfectGenerator().generate(["a photo of a unicorn."], [0])
    with pytest.raises(ValueError, match="whole number"):
        canonical_picture("red circle", 1.5)


@pytest.mark.parametrize("name", list(TASKS))
def test_a_tasks_splits_are_balanced_and_share_no_picture(name):
    splits = {split: draw_task(name, split, 0) for split in ("train", "test")}
    for split, count in (("train", 400), ("test", 300)):
        pictures, labels = splits[split]
        assert pictures.shape == (count, 32, 32, 3)
        assert (pictures.dtype, labels.dtype) == (np.uint8, np.int64)
        held = np.bincount(labels)
        assert len(held) == len(TASKS[name])
        assert held.max() - held.min() <= 1
    seen = {hashlib.sha256(picture.tobytes()).digest() for picture in splits["train"][0]}
    assert len(seen) == 400
    assert not seen & {hashlib.sha256(picture.tobytes()).digest() for picture in splits["test"][0]}
    assert not np.array_equal(splits["test"][0], draw_task(name, "test", 1)[0])


def test_the_stream_carries_names_templates_and_rates():
    benchmark = MiniWorld(0, train_transform=np.asarray, eval_transform=np.asarray, order=["letters", "shapes"])
    first = benchmark.train_stream[0]
    assert [experience.task_name for experience in benchmark.test_stream] == ["letters", "shapes"]
    assert (first.class_names, first.templates, first.learning_rate) == (TASKS["letters"], ("a photo of a {c}.",), 5e-4)
    picture, label, task = first.dataset[3]
    assert (picture.shape, label, task) == ((32, 32, 3), 3, 0)
    assert (len(first.dataset), len(benchmark.test_stream[1].dataset)) == (400, 300)


def test_class_incremental_labels_run_on():
    benchmark = MiniWorld(
        0, train_transform=np.asarray, eval_transform=np.asarray, class_incremental=True, order=["shapes", "land"]
    )
    assert set(benchmark.test_stream[1].classes_in_this_experience) == set(range(10, 18))


@pytest.mark.parametrize("seed", [1.0, "1", None, True, -1])
def test_a_seed_that_is_no_whole_number_is_an_error_that_says_so(seed):
    with pytest.raises(ValueError, match="expected a whole number from 0 on as seed, got"):
        MiniWorld(seed, train_transform=np.asarray, eval_transform=np.asarray)
    with pytest.raises(ValueError, match="whole number"):
        draw_pretraining(0, 1, seed=seed)


def test_unknown_tasks_and_splits_and_too_many_digits_are_errors():
    with pytest.raises(ValueError, match="unknown task 'shape'; did you mean 'shapes'"):
        draw_task("shape", "train", 0, 1)
    with pytest.raises(ValueError, match="unknown split"):
        draw_task("shapes", "valid", 0, 1)
    with pytest.raises(ValueError, match="at most 740"):
        draw_task("digits", "test", 0, 741)
    with pytest.raises(ValueError, match="from 0 on"):
        draw_pretraining(-1, 2)


def test_drawing_takes_milliseconds():
    draw_pretraining(0, 100)
    started = time.perf_counter()
    draw_pretraining(100, 200)
    assert (time.perf_counter() - started) / 200 < 0.01
