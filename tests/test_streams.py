"""Streams: labels, task labels, names and templates; folders of pictures; the digits and their generator."""

import json

import numpy as np
import pytest
from avalanche.benchmarks.utils import as_classification_dataset
from PIL import Image
from world import NAMES, Pictures, augment, made_stream, names_of, plain

from avalanche_gift.benchmarks import ClassFolders, PrintedGlyphs, SplitDigits, Task, clip_benchmark
from avalanche_gift.benchmarks.digits import DIGITS, LETTER_PROMPTS

TRANSFORMS = {"train_transform": None, "eval_transform": None}
SPLITS = ("train", "test")


def make_folders(root, tasks, *, garbage=False, per_class=2):
    """`{task: [class, ...]}` as folders; pictures whose shade tells task and class, or files that are none."""
    for number, (task, classes) in enumerate(tasks.items()):
        for split in SPLITS:
            for label, name in enumerate(classes):
                folder = root / task / split / name
                folder.mkdir(parents=True)
                for index in range(per_class):
                    path = folder / f"{index}.png"
                    if garbage:
                        path.write_bytes(b"not a picture")
                    else:
                        Image.new("RGB", (8, 8), (10 * number + label,) * 3).save(path)
    return root


TASKS = {"birds": ["great_owl", "hawk", "jay"], "trees": ["elm", "oak"]}


def shades_and_labels(experience):
    """All (shade, label, task label) of an experience."""
    return sorted({(item[0].getpixel((0, 0))[0], item[1], item[2]) for item in experience.dataset})


# ---- clip_benchmark


def test_labels_count_from_zero_and_the_task_label_is_the_number_of_the_experience():
    benchmark = made_stream()
    for stream in (benchmark.train_stream, benchmark.test_stream):
        for number, experience in enumerate(stream):
            assert sorted(experience.dataset.targets.uniques) == list(range(len(names_of(number))))
            assert {item[2] for item in experience.dataset} == {number} == {experience.task_label}


def test_class_incremental_labels_run_on_in_the_order_of_the_stream():
    benchmark, first = made_stream(class_incremental=True), 0
    for number, (train, test) in enumerate(zip(benchmark.train_stream, benchmark.test_stream, strict=True)):
        expected = list(range(first, first + len(names_of(number))))
        for experience in (train, test):
            assert sorted(experience.dataset.targets.uniques) == expected
            assert sorted({item[1] for item in experience.dataset}) == expected
            assert {item[2] for item in experience.dataset} == {0}
            assert sorted(experience.classes_in_this_experience) == expected
        first += len(expected)
    assert sorted(benchmark.train_stream[2].classes_seen_so_far) == list(range(len(NAMES)))


def test_every_experience_carries_names_templates_and_learning_rate():
    benchmark = made_stream(learning_rates=(1e-4, None, 3e-4))
    for stream in (benchmark.train_stream, benchmark.test_stream):
        assert [e.task_name for e in stream] == ["task0", "task1", "task2"]
        assert [e.class_names for e in stream] == [names_of(task) for task in range(3)]
        assert [e.templates for e in stream] == [(f"a photo of kind{t} {{c}}.", f"kind{t}: {{c}}.") for t in range(3)]
        assert [e.learning_rate for e in stream] == [1e-4, None, 3e-4]


def test_each_split_has_its_own_transform_and_replayed_pictures_keep_theirs():
    benchmark = made_stream((2, 2), train_transform=lambda picture: "train", eval_transform=lambda picture: "eval")
    data = benchmark.train_stream[0].dataset.concat(benchmark.test_stream[1].dataset)
    assert {item[0] for item in data.train()} == {"train"} and {item[0] for item in data.eval()} == {"eval"}


class NoTargets:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return None, 0


def task(name="one", train=None, test=None, names=("a", "b"), **kwargs):
    pictures = Pictures(2, 1, 0)
    return Task(
        name=name,
        train=pictures if train is None else train,
        test=pictures if test is None else test,
        class_names=names,
        **kwargs,
    )


@pytest.mark.parametrize(
    ("tasks", "incremental", "message"),
    [
        (lambda: [], False, "at least one task"),
        (lambda: [task(), task()], False, r"distinct names, got \['one', 'one'\]"),
        (lambda: [task(train=Pictures(1, 1, 0), test=Pictures(1, 1, 0), names=("a",))], False, "two classes.*'one'"),
        (lambda: [task(train=Pictures(3, 1, 0))], False, r"train labels 0\.\.1.*'one', got 0\.\.2"),
        (lambda: [task(test=Pictures(3, 1, 0))], False, r"test labels 0\.\.1.*'one', got 0\.\.2"),
        (lambda: [task(test=Pictures(2, 0, 0))], False, "test labels.*no pictures"),
        (lambda: [task(train=NoTargets())], False, r"\.targets.*'one', got NoTargets"),
        (lambda: [task(names=("a", "a"))], False, "twice.*'a'"),
        (lambda: [task(templates=("a photo",))], False, "hold {c}"),
        (lambda: [task(), task("two", names=("b", "c"))], True, r"twice: \['b'\]"),
    ],
)
def test_bad_tasks_are_refused(tasks, incremental, message):
    with pytest.raises(ValueError, match=message):
        clip_benchmark(tasks(), class_incremental=incremental, **TRANSFORMS)


def test_one_name_may_be_in_two_tasks_of_a_task_incremental_stream():
    benchmark = clip_benchmark([task(), task("two", names=("b", "c"))], **TRANSFORMS)
    assert [e.class_names for e in benchmark.train_stream] == [("a", "b"), ("b", "c")]


def test_negative_labels_are_refused():
    pictures = Pictures(2, 1, 0)
    pictures.targets = [-1, 0]
    with pytest.raises(ValueError, match=r"got -1\.\.0"):
        clip_benchmark([task(train=pictures)], **TRANSFORMS)


@pytest.mark.parametrize("kind", [np.array, tuple], ids=["array", "tuple"])
def test_targets_may_be_any_sequence(kind):
    pictures = Pictures(2, 2, 0)
    pictures.targets = kind(pictures.targets)
    benchmark = clip_benchmark([task(train=pictures)], **TRANSFORMS)
    assert list(benchmark.train_stream[0].dataset.targets) == [0, 0, 1, 1]


@pytest.mark.parametrize("incremental", [False, True])
def test_avalanche_datasets_may_be_the_pictures_of_a_task(incremental):
    data = as_classification_dataset(Pictures(2, 2, 0))
    benchmark = clip_benchmark(
        [task(train=data, test=data), task("two", train=data, test=data, names=("c", "d"))],
        train_transform=augment(),
        eval_transform=plain(),
        class_incremental=incremental,
    )
    shift = 2 if incremental else 0
    assert [int(item[1]) for item in benchmark.train_stream[1].dataset] == [label + shift for label in (0, 0, 1, 1)]


# ---- folders


def test_folders_become_tasks_in_the_order_of_their_names(tmp_path):
    benchmark = ClassFolders(make_folders(tmp_path, TASKS), **TRANSFORMS)
    for stream in (benchmark.train_stream, benchmark.test_stream):
        assert [e.task_name for e in stream] == ["birds", "trees"]
        assert [e.class_names for e in stream] == [("great owl", "hawk", "jay"), ("elm", "oak")]
        assert {e.templates for e in stream} == {("a photo of a {c}.",)}
        assert shades_and_labels(stream[0]) == [(0, 0, 0), (1, 1, 0), (2, 2, 0)]
        assert shades_and_labels(stream[1]) == [(10, 0, 1), (11, 1, 1)]


def test_order_decides_which_tasks_come_and_when(tmp_path):
    root = make_folders(tmp_path, {**TASKS, "cars": ["bus", "van"]})
    benchmark = ClassFolders(root, order=["trees", "birds"], **TRANSFORMS)
    assert [(e.task_name, e.task_label) for e in benchmark.train_stream] == [("trees", 0), ("birds", 1)]
    assert shades_and_labels(benchmark.train_stream[0]) == [(10, 0, 0), (11, 1, 0)]


def test_class_incremental_folders_count_on(tmp_path):
    benchmark = ClassFolders(make_folders(tmp_path, TASKS), class_incremental=True, **TRANSFORMS)
    assert shades_and_labels(benchmark.test_stream[1]) == [(10, 3, 0), (11, 4, 0)]


def test_templates_and_rates_may_go_by_task(tmp_path):
    root = make_folders(tmp_path, TASKS)
    benchmark = ClassFolders(root, templates={"trees": ["a {c} tree."]}, learning_rates={"birds": 5e-5}, **TRANSFORMS)
    assert [e.templates for e in benchmark.train_stream] == [("a photo of a {c}.",), ("a {c} tree.",)]
    assert [e.learning_rate for e in benchmark.train_stream] == [5e-5, None]
    for_all = ClassFolders(root, templates=["the {c}."], **TRANSFORMS)
    assert {e.templates for e in for_all.train_stream} == {("the {c}.",)}


@pytest.mark.parametrize(
    ("described", "names", "shades"),
    [
        ({"classes": ["jay", "great_owl", "hawk"]}, ("jay", "great owl", "hawk"), [(0, 1, 0), (1, 2, 0), (2, 0, 0)]),
        ({"names": {"jay": "blue jay"}}, ("great owl", "hawk", "blue jay"), [(0, 0, 0), (1, 1, 0), (2, 2, 0)]),
        (
            {"classes": ["hawk", "jay", "great_owl"], "names": {"hawk": "Hawk (bird)"}},
            ("Hawk (bird)", "jay", "great owl"),
            [(0, 2, 0), (1, 0, 0), (2, 1, 0)],
        ),
    ],
    ids=["order", "names", "both"],
)
def test_classes_json_gives_order_and_names(tmp_path, described, names, shades):
    root = make_folders(tmp_path, TASKS)
    (root / "birds" / "classes.json").write_text(json.dumps(described), encoding="utf-8")
    benchmark = ClassFolders(root, **TRANSFORMS)
    for stream in (benchmark.train_stream, benchmark.test_stream):
        assert stream[0].class_names == names
        assert shades_and_labels(stream[0]) == shades


@pytest.mark.parametrize("incremental", [False, True])
def test_no_picture_is_opened_while_the_stream_is_made(tmp_path, incremental):
    root = make_folders(tmp_path, TASKS, garbage=True)
    benchmark = ClassFolders(root, class_incremental=incremental, **TRANSFORMS)
    assert len(benchmark.train_stream[0].dataset) == 6
    with pytest.raises(OSError):
        benchmark.train_stream[0].dataset[0]


def test_hidden_folders_are_passed_over(tmp_path):
    root = make_folders(tmp_path, TASKS)
    (root / "birds" / "train" / ".cache").mkdir()
    assert ClassFolders(root, **TRANSFORMS).train_stream[0].class_names == ("great owl", "hawk", "jay")


def delete(folder):
    for path in folder.iterdir():
        path.unlink()


def break_nothing(root):
    pass


@pytest.mark.parametrize(
    ("spoil", "arguments", "error", "message"),
    [
        (lambda root: delete(root / "trees" / "train" / "oak"), {}, FileNotFoundError, "trees.train.*oak"),
        (lambda root: delete(root / "trees" / "test" / "oak"), {}, FileNotFoundError, "trees.test.*oak"),
        (lambda root: (root / "trees" / "test" / "fir").mkdir(), {}, ValueError, "trees.test.*'fir'"),
        (break_nothing, {"order": ["bird"]}, ValueError, "unknown task 'bird'; did you mean 'birds'"),
        (break_nothing, {"order": []}, ValueError, "at least one task"),
        (break_nothing, {"order": ["birds", "birds"]}, ValueError, "distinct names"),
        (break_nothing, {"templates": ["no place"]}, ValueError, "hold {c}"),
        (lambda root: (root / "trees" / "classes.json").write_text("{"), {}, ValueError, "JSON.*trees.classes.json"),
        (lambda root: (root / "trees" / "classes.json").write_text("[]"), {}, ValueError, "trees.classes.json.*list"),
        (
            lambda root: (root / "trees" / "classes.json").write_text('{"classes": ["elm", "ok"]}'),
            {},
            ValueError,
            "trees.train.*'oak'",
        ),
        (
            lambda root: (root / "trees" / "classes.json").write_text('{"classes": ["elm", "oak", "fir"]}'),
            {},
            FileNotFoundError,
            "trees.train.*'fir'",
        ),
    ],
)
def test_spoilt_folders_are_named(tmp_path, spoil, arguments, error, message):
    root = make_folders(tmp_path, TASKS)
    spoil(root)
    with pytest.raises(error, match=message):
        ClassFolders(root, **TRANSFORMS, **arguments)


def test_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ClassFolders(tmp_path / "nowhere", **TRANSFORMS)


@pytest.mark.parametrize("content", [[], ["cat", "dog"]], ids=["empty", "no splits"])
def test_root_without_tasks_says_what_it_holds(tmp_path, content):
    for name in content:
        (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError, match=r"nothing" if not content else r"\['cat', 'dog'\]"):
        ClassFolders(tmp_path, **TRANSFORMS)


def test_task_of_one_class_is_named(tmp_path):
    with pytest.raises(ValueError, match="two classes in the task 'one'"):
        ClassFolders(make_folders(tmp_path, {"one": ["cat"]}), **TRANSFORMS)


def test_class_missing_from_test_is_named(tmp_path):
    root = make_folders(tmp_path, TASKS)
    delete(root / "trees" / "test" / "oak")
    (root / "trees" / "test" / "oak").rmdir()
    with pytest.raises(FileNotFoundError, match=r"trees.test.*'oak'"):
        ClassFolders(root, **TRANSFORMS)


def test_one_class_name_in_two_tasks_is_refused_in_the_class_incremental_case_only(tmp_path):
    root = make_folders(tmp_path, {"farm": ["cat", "cow"], "home": ["cat", "dog"]})
    ClassFolders(root, **TRANSFORMS)
    with pytest.raises(ValueError, match=r"twice: \['cat'\]"):
        ClassFolders(root, class_incremental=True, **TRANSFORMS)


def test_two_folders_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"twice: \['a b'\]"):
        ClassFolders(make_folders(tmp_path, {"one": ["a_b", "a b"]}), **TRANSFORMS)


def test_a_task_that_lacks_a_split_is_left_out_with_a_warning_and_refused_by_name(tmp_path):
    root = make_folders(tmp_path, TASKS)
    (root / "trees" / "test").rename(root / "trees" / "val")
    with pytest.warns(UserWarning, match="trees is left out of the stream: it has no folder 'test'"):
        stream = ClassFolders(root, **TRANSFORMS).train_stream
    assert "trees" not in [experience.task_name for experience in stream]
    with pytest.raises(FileNotFoundError, match="trees, got no test"):
        ClassFolders(root, order=["trees"], **TRANSFORMS)


# ---- digits


def pictures_of(stream):
    """For each experience its (picture bytes, label) in order."""
    return [[(item[0].tobytes(), item[1]) for item in experience.dataset] for experience in stream]


@pytest.fixture(scope="module")
def digits():
    return SplitDigits(**TRANSFORMS)


def test_digits_are_five_tasks_of_two_classes(digits):
    for stream in (digits.train_stream, digits.test_stream):
        assert [e.class_names for e in stream] == [DIGITS[first : first + 2] for first in range(0, 10, 2)]
        assert all(set(e.dataset.targets) == {0, 1} for e in stream)
    sizes = [[len(e.dataset) for e in stream] for stream in (digits.train_stream, digits.test_stream)]
    assert sum(map(sum, sizes)) == 1797
    assert all(test == (train + test) // 3 for train, test in zip(*sizes, strict=True))


def test_train_and_test_digits_are_disjoint_and_together_all(digits):
    from sklearn.datasets import load_digits

    def rows(stream):
        return [picture for experience in pictures_of(stream) for picture, _ in experience]

    train, test = rows(digits.train_stream), rows(digits.test_stream)
    images = load_digits().images
    everything = sorted((images * (255 / 16)).round().astype(np.uint8)[row].tobytes() for row in range(len(images)))
    assert sorted(train + test) == everything


def test_digits_carry_their_own_labels(digits):
    from sklearn.datasets import load_digits

    data = load_digits()
    label = {
        (image * (255 / 16)).round().astype(np.uint8).tobytes(): target
        for image, target in zip(data.images, data.target, strict=True)
    }
    for number, experience in enumerate(pictures_of(digits.test_stream)):
        assert all(label[picture] == own + 2 * number for picture, own in experience)


def test_equal_seeds_split_digits_equally_and_other_seeds_otherwise(digits):
    again, other = SplitDigits(seed=0, **TRANSFORMS), SplitDigits(seed=1, **TRANSFORMS)
    assert pictures_of(digits.train_stream) == pictures_of(again.train_stream)
    assert pictures_of(digits.train_stream) != pictures_of(other.train_stream)


def test_class_incremental_digits_are_labelled_by_themselves():
    stream = SplitDigits(class_incremental=True, **TRANSFORMS).train_stream
    assert [sorted(e.dataset.targets.uniques) for e in stream] == [[first, first + 1] for first in range(0, 10, 2)]


# ---- printed glyphs


def test_glyphs_are_equal_for_equal_seeds_and_only_then():
    prompts = ["a photo of the number three.", LETTER_PROMPTS[0]]
    first, again, other = (PrintedGlyphs().generate(prompts, seeds) for seeds in ([5, 6], [5, 6], [7, 8]))
    assert [p.tobytes() for p in first] == [p.tobytes() for p in again]
    assert all(a.tobytes() != b.tobytes() for a, b in zip(first, other, strict=True))


def test_a_glyph_depends_on_its_own_prompt_and_seed_alone():
    pair = PrintedGlyphs().generate([LETTER_PROMPTS[1], "a photo of the number two."], [9, 10])
    alone = PrintedGlyphs().generate(["a photo of the number two."], [10])
    assert pair[1].tobytes() == alone[0].tobytes()


def test_glyphs_are_white_on_black_and_differ_by_what_they_show():
    prompts = [f"a photo of the number {digit}." for digit in DIGITS] + list(LETTER_PROMPTS)
    pictures = PrintedGlyphs().generate(prompts, [1] * len(prompts))
    assert {(picture.size, picture.mode) for picture in pictures} == {((64, 64), "RGB")}
    arrays = [np.asarray(picture) for picture in pictures]
    assert all(array.mean() > 5 and array.max() > 200 and np.median(array) == 0 for array in arrays)
    assert len({array.tobytes() for array in arrays}) == 36


@pytest.mark.parametrize("prompt", ["a photo of a lion.", "", "a photo of the number ten."])
def test_prompt_without_a_glyph_is_refused(prompt):
    with pytest.raises(ValueError, match="letter"):
        PrintedGlyphs().generate([prompt], [0])


def test_one_seed_for_each_prompt():
    with pytest.raises(ValueError):
        PrintedGlyphs().generate([LETTER_PROMPTS[0]], [])
