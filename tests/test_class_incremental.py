"""CIFAR100 and TinyImageNet in steps: classes, labels, names; Average and Last over pooled test pictures."""

import random
import re
from types import SimpleNamespace

import layouts
import numpy as np
import pytest
import torch
from layouts import shade
from open_clip import IMAGENET_CLASSNAMES
from world import made_stream, quiet, tiny_model

from avalanche_gift.benchmarks import SplitCIFAR100CLIP, SplitTinyImageNetCLIP
from avalanche_gift.benchmarks.class_names import _load, base_names, base_prompts, class_names, class_order, overlap
from avalanche_gift.by_name import load_benchmark
from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import ClassIncrementalAccuracy, class_incremental_metrics, pooled_accuracies
from avalanche_gift.stream_classes import classes_of
from avalanche_gift.training import FineTune

TRANSFORMS = {"train_transform": lambda picture: picture, "eval_transform": lambda picture: picture}
BUILD = {"CIFAR100": SplitCIFAR100CLIP, "TinyImageNet": SplitTinyImageNetCLIP}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cil")
    for name in BUILD:
        layouts.write(name, folder)
    with pytest.MonkeyPatch.context() as patch:
        layouts.accept(patch, folder)
        yield folder


@pytest.mark.parametrize(
    ("name", "steps", "sizes"),
    [
        ("CIFAR100", 10, [10] * 10),
        ("CIFAR100", 20, [5] * 20),
        ("CIFAR100", 50, [2] * 50),
        ("TinyImageNet", 5, [100] + [20] * 5),
        ("TinyImageNet", 10, [100] + [10] * 10),
        ("TinyImageNet", 20, [100] + [5] * 20),
    ],
)
def test_label_k_is_the_class_at_place_k_of_the_fixed_order(root, name, steps, sizes):
    benchmark = BUILD[name](root, steps, **TRANSFORMS)
    order, names = class_order(name), class_names("CIFAR100_CIL" if name == "CIFAR100" else name)
    for stream in (benchmark.train_stream, benchmark.test_stream):
        assert [len(e.class_names) for e in stream] == sizes
        assert [each for e in stream for each in e.class_names] == [names[label] for label in order]
        first = 0
        for experience, size in zip(stream, sizes, strict=True):
            assert sorted(experience.dataset.targets.uniques) == list(range(first, first + size))
            assert experience.templates == ("a bad photo of a {c}.",)
            for index in (0, len(experience.dataset) - 1):
                picture, label, _ = experience.dataset[index]
                assert np.asarray(picture).flat[0] == shade(order[label])
            first += size
    assert sum(len(e.dataset) for e in benchmark.train_stream) == 2 * len(order)
    assert sum(len(e.dataset) for e in benchmark.test_stream) == len(order)


def test_names_of_cifar100_keep_their_underscores(root):
    names = {name for e in SplitCIFAR100CLIP(root, **TRANSFORMS).train_stream for name in e.class_names}
    assert "aquarium_fish" in names and not any(" " in name for name in names)


def test_task_incremental_steps_count_from_zero(root):
    stream = SplitCIFAR100CLIP(root, 50, class_incremental=False, **TRANSFORMS).train_stream
    assert {tuple(sorted(e.dataset.targets.uniques)) for e in stream} == {(0, 1)}
    assert [e.task_label for e in stream] == list(range(50))


def test_order_and_base_are_free(root):
    stream = SplitCIFAR100CLIP(root, 2, fixed_class_order=range(100), **TRANSFORMS).train_stream
    assert stream[0].class_names == class_names("CIFAR100_CIL")[:50]
    stream = SplitTinyImageNetCLIP(root, 10, base_classes=0, **TRANSFORMS).train_stream
    assert [len(e.class_names) for e in stream] == [20] * 10


def test_few_shot_steps(root):
    stream = SplitCIFAR100CLIP(root, 10, shots=1, max_pictures=3, **TRANSFORMS).train_stream
    assert [len(e.dataset) for e in stream] == [3] * 10


@pytest.mark.parametrize("steps", [0, 3, 100])
def test_steps_that_do_not_divide_are_refused(root, steps):
    with pytest.raises(ValueError, match=f"divide 100 classes into two or more each, got {steps}"):
        SplitCIFAR100CLIP(root, steps)


@pytest.mark.parametrize("order", [[0] * 100, range(99), range(1, 101)])
def test_orders_that_are_no_permutation_are_refused(root, order):
    with pytest.raises(ValueError, match="each of 100 labels once"):
        SplitCIFAR100CLIP(root, fixed_class_order=order)


@pytest.mark.parametrize("base", [-1, 1, 200])
def test_impossible_bases_are_refused(root, base):
    with pytest.raises(ValueError, match=f"base_classes of 0 or from 2 to 199, got {base}"):
        SplitTinyImageNetCLIP(root, base_classes=base)


# ---- the test transform


@pytest.mark.parametrize(("test_transform", "cache"), [("test", None), ("train", "a random transform is never kept")])
def test_test_images_can_go_through_the_random_training_transform_as_in_the_reference(root, tmp_path, test_transform, cache):
    model = SimpleNamespace(train_transform=lambda image: "train", eval_transform=lambda image: "test")
    folder = None if cache is None else str(tmp_path)
    config = RunConfig("finetune", "cifar100-50", "tiny", data=str(root), cache_dir=folder, test_transform=test_transform)
    benchmark = load_benchmark(config, model)
    assert benchmark.test_stream[0].dataset.eval()[0][0] == test_transform
    assert benchmark.train_stream[0].dataset.train()[0][0] == "train"
    assert not list(tmp_path.iterdir())


# ---- base names


def in_common(a, b):
    """Whether a name is in another as whole words: a slow check by strings, of its own."""
    a, b = (f" {re.sub('[^a-z0-9]+', ' ', name.lower()).strip()} " for name in (a, b))
    return any(
        x in y for one, other in ((a, b), (b, a)) for x in (one, one.rstrip() + "s ") for y in (other, other[:-1] + "s ")
    )


@pytest.mark.parametrize("name", list(BUILD))
def test_base_names_are_sampled_as_documented_and_overlap_no_class(name):
    synonyms = _load("base_names.json")[f"synonyms of {name}"]
    assert set(synonyms) <= set(IMAGENET_CLASSNAMES)
    rest = [
        each
        for each in dict.fromkeys(IMAGENET_CLASSNAMES)
        if each not in synonyms and not any(overlap(each, taken) for taken in class_names(name))
    ]
    assert list(base_names(name)) == random.Random(42).sample(rest, 100)
    assert len(set(base_names(name))) == 100 and base_prompts(name)[0] == f"a photo of a {base_names(name)[0]}."
    assert not [(each, taken) for each in base_names(name) for taken in class_names(name) if in_common(each, taken)]


def test_whole_words_overlap_whatever_case_punctuation_and_plural():
    for a, b in (
        ("keyboard space bar", "keyboard"),
        ("lawn_mower", "Lawn mower"),
        ("sea urchins", "sea"),
        ("gown", "academic gown"),
        ("tree frog", "frogs"),
    ):
        assert overlap(a, b) and overlap(b, a)
    for a, b in (("damselfly", "dam"), ("tree frog", "pine tree"), ("birdhouse", "house"), ("bus", "bu"), ("glass", "glas")):
        assert not overlap(a, b) and not overlap(b, a)


# ---- Average and Last


def test_accuracies_are_pooled_over_pictures_not_averaged_over_steps():
    rows = [[90.0, None, None], [60.0, 80.0, 11.0], [50.0, 40.0, 10.0]]
    counts = [100, 300, 100]
    assert pooled_accuracies(rows, counts) == [90.0, 75.0, 36.0]
    assert class_incremental_metrics(rows, counts) == {"average": 67.0, "last": 36.0}


@pytest.mark.parametrize("rows", [[[None]], [[50.0, 1.0], [None, 1.0]], [[50.0], [50.0]]])
def test_missing_cells_are_refused(rows):
    with pytest.raises(ValueError, match="expected accuracies and counts"):
        class_incremental_metrics(rows, [1, 1])
    with pytest.raises(ValueError, match="at least one step"):
        class_incremental_metrics([], [])


def strategy_with(metric, **options):
    return FineTune(
        model=tiny_model(), train_iterations=4, lr=1e-3, train_mb_size=8, eval_mb_size=5, evaluator=quiet(metric), **options
    )


def by_hand(strategy, benchmark, step):
    """Right answers among all classes seen, over the pictures of all of them, one at a time."""
    model, seen = strategy.model, benchmark.test_stream[: step + 1]
    prompts = [tuple(t.replace("{c}", name) for t in e.templates) for e in seen for name in e.class_names]
    model.class_texts = model.tokenize_classes(prompts)
    model.eval()
    with torch.no_grad():
        pairs = [(model(x[None]).argmax(1).item(), y) for e in seen for x, y, _ in e.dataset.eval()]
    return 100 * sum(a == b for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("whole_stream", [True, False])
def test_the_metric_equals_a_count_by_hand(whole_stream):
    benchmark, metric = made_stream(class_incremental=True), ClassIncrementalAccuracy()
    strategy = strategy_with(metric, class_incremental=True)
    strategy.eval(benchmark.test_stream)
    assert metric.result() == {}
    expected = []
    for step, experience in enumerate(benchmark.train_stream):
        strategy.train(experience)
        published = strategy.eval(benchmark.test_stream if whole_stream else benchmark.test_stream[: step + 1])
        expected.append(by_hand(strategy, benchmark, step))
        assert published["CILAccuracy/eval_phase/test_stream"] == pytest.approx(expected[-1])
        assert published["CILAverage/eval_phase/test_stream"] == pytest.approx(sum(expected) / len(expected))
        assert published["CILLast/eval_phase/test_stream"] == pytest.approx(expected[-1])
    again = ClassIncrementalAccuracy()
    again.load_state_dict(metric.state_dict())
    assert again.result() == metric.result()


def test_a_step_that_was_not_evaluated_leaves_the_average_out():
    benchmark, metric = made_stream(class_incremental=True), ClassIncrementalAccuracy()
    strategy = strategy_with(metric, class_incremental=True)
    for experience in benchmark.train_stream[:2]:
        strategy.train(experience)
    strategy.eval(benchmark.test_stream[:1])
    assert metric.result() == {}
    strategy.eval(benchmark.test_stream)
    assert set(metric.result()) == {"accuracy", "last"}


def test_nothing_is_published_for_a_task_incremental_stream():
    benchmark, metric = made_stream(), ClassIncrementalAccuracy()
    strategy = strategy_with(metric)
    for experience in benchmark.train_stream[:2]:
        strategy.train(experience)
        published = strategy.eval(benchmark.test_stream)
    assert metric.result() == {} and not any(name.startswith("CIL") for name in published)


def test_pooled_accuracies_in_another_order_read_what_was_seen_by_then():
    rows = [[None, None, 90.0], [60.0, None, 80.0], [50.0, None, 70.0], [40.0, 30.0, 20.0]]
    counts, order = [100, 300, 100], [2, 0, 2, 1]
    assert pooled_accuracies(rows, counts, order) == [90.0, 70.0, 60.0, 30.0]
    assert class_incremental_metrics(rows, counts, order) == {"average": 62.5, "last": 30.0}
    with pytest.raises(ValueError, match=r"one experience per row in the order, got \[0\] for 4 rows"):
        pooled_accuracies(rows, counts, [0])


def test_synthetic_pictures_are_asked_for_by_good_photos(root):
    first = SplitCIFAR100CLIP(root, 10, **TRANSFORMS).train_stream[0]
    assert first.templates == ("a bad photo of a {c}.",)
    assert classes_of(first).generation_prompts == [f"a photo of a {name}." for name in first.class_names]
