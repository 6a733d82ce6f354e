"""What went wrong without a word when names, protocols and benchmarks were mixed: each right now, or one line."""

import numpy as np
import pytest
import torch
from avalanche.benchmarks import (
    benchmark_from_datasets,
    benchmark_with_validation_stream,
    nc_benchmark,
    task_incremental_benchmark,
    with_classes_timeline,
)
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import AGEMPlugin, GDumbPlugin, LwFPlugin, ReplayPlugin, RWalkPlugin
from test_naming import NAMES, data, evaluated, flowers, naive, plain_tasks
from world import (
    Pictures,
    Spy,
    augment,
    made_stream,
    named_stock_stream,
    names_of,
    plain,
    quiet,
    template_of,
    tiny_model,
)

from avalanche_gift.benchmarks import Task, clip_benchmark, with_class_names
from avalanche_gift.evaluation import AccuracyMatrix, ClassIncrementalAccuracy
from avalanche_gift.stream_classes import classes_of
from avalanche_gift.training import FineTune

SETTINGS = {"train_iterations": 2, "train_mb_size": 6, "lr": 1e-3}


def fine_tune(*metrics, plugins=(), model=None, **kwargs):
    model = tiny_model() if model is None else model
    return FineTune(model, plugins=list(plugins), evaluator=quiet(*metrics), **{**SETTINGS, **kwargs})


def of_labels(*parts, seed=0, task_labels=None):
    """Data sets with these labels, a task label for each if given."""
    everything = data(1 + max(max(labels) for labels in parts), seed=seed)
    sets = [everything.subset([i for i, y in enumerate(everything.targets) if y in labels]) for labels in parts]
    if task_labels is None:
        return sets
    return [
        _make_taskaware_classification_dataset(part, task_labels=task) for part, task in zip(sets, task_labels, strict=True)
    ]


def stock(*parts, task_labels=None, test=None):
    streams = {"train": of_labels(*parts, task_labels=task_labels)}
    streams["test"] = of_labels(*parts, seed=1, task_labels=task_labels) if test is None else test
    return with_classes_timeline(benchmark_from_datasets(**streams))


# ---- what a class-incremental stream is told apart among


def test_a_model_that_was_trained_on_none_of_the_stream_tells_all_its_classes_apart():
    """As does one whose weights were saved and loaded, so that no number is higher for what was forgotten with them."""
    stream, trained = plain_tasks(class_incremental=True), naive()
    trained.train(stream.train_stream)
    loaded = tiny_model()
    loaded.load_state_dict(trained.model.state_dict())
    for model in (trained.model, loaded, tiny_model()):
        assert evaluated(naive(model=model), stream.test_stream) == {0: list(NAMES[:4]), 1: list(NAMES[:4])}


class LeavesEvaluationMode(SupervisedPlugin):
    def after_training_exp(self, strategy, **kwargs):
        strategy.model.eval()


@pytest.mark.parametrize("plugin", [lambda: RWalkPlugin(delta_t=2), LeavesEvaluationMode], ids=["RWalk", "a user's"])
def test_what_was_trained_does_not_hang_on_the_mode_a_plugin_leaves_the_model_in(plugin):
    strategy = naive(plugin(), eval_every=1)
    stream = made_stream(class_incremental=True)
    strategy.train(stream.train_stream, eval_streams=[stream.test_stream])
    assert list(strategy.model.trained_tasks().values()) == [[0, 1, 2]]


def test_a_copy_that_a_plugin_adapts_in_evaluation_trains_nothing():
    stream, strategy = made_stream(class_incremental=True), naive(GDumbPlugin(1000))
    for number, experience in enumerate(stream.train_stream):
        strategy.train(experience, eval_streams=[])
        strategy.eval(stream.test_stream)
        assert list(strategy.model.trained_tasks().values()) == [list(range(number + 1))]


def test_showing_a_test_experience_by_hand_trains_nothing():
    model = tiny_model()
    model.adaptation(made_stream().test_stream[1])
    assert model.trained_tasks() == {} and model(torch.zeros(1, 3, 16, 16)).shape == (1, 2)


# ---- two streams


@pytest.mark.parametrize(
    "plugin", [lambda: AGEMPlugin(4, 4), LwFPlugin, lambda: ReplayPlugin(8)], ids=["AGEM", "LwF", "Replay"]
)
def test_a_plugin_that_remembers_one_stream_is_refused_on_another(plugin):
    strategy = fine_tune(plugins=[plugin()])
    strategy.train(made_stream().train_stream[:1])
    with pytest.raises(
        ValueError, match=r"samples of one stream in .*cat/dog/owl.*rose/tulip/lily|.*rose/tulip/lily.*cat/dog/owl"
    ):
        strategy.train(flowers().train_stream)


def test_a_benchmark_with_equal_class_names_leaves_the_matrix_alone():
    def rows(other):
        stream, matrix = made_stream(), AccuracyMatrix(figure=False)
        strategy = fine_tune(matrix, train_iterations=3)
        for experience in stream.train_stream:
            strategy.train(experience)
            strategy.eval(stream.test_stream)
            if other is not None:
                strategy.eval(other.test_stream)
        return matrix.rows()

    assert rows(made_stream(per_class=2)) == rows(None)


# ---- which experience was trained, by its tasks


def matrix_of(train, test, expected):
    matrix = AccuracyMatrix(figure=False)
    strategy = fine_tune(matrix)
    for experience, trained in zip(train, expected, strict=True):
        strategy.train(experience)
        strategy.eval(test)
        assert matrix.trained[-1] == trained
    return matrix


def test_an_experience_of_two_tasks_covers_both_of_their_test_sets():
    stream = made_stream()
    first, second, third = (experience.dataset for experience in stream.train_stream)
    merged = benchmark_from_datasets(train=[first.concat(second), third], test=[e.dataset for e in stream.test_stream])
    merged = with_classes_timeline(merged)
    matrix = matrix_of(merged.train_stream, merged.test_stream, [[0, 1], [2]])
    (_, before, _) = matrix.rows()
    assert matrix.result()["transfer"] == before[2]


def test_a_test_stream_in_another_order_belongs_by_its_tasks():
    stream = made_stream(class_incremental=True)
    parts = {"train": list(stream.train_stream), "test": list(stream.test_stream)[::-1]}
    turned = with_classes_timeline(benchmark_from_datasets(**{name: [e.dataset for e in each] for name, each in parts.items()}))
    matrix = matrix_of(turned.train_stream, turned.test_stream, [[2], [1], [0]])
    rows = matrix.rows()[1:]
    expected = (rows[0][1] + (rows[0][0] + rows[1][0]) / 2) / 2  # before their first training
    assert matrix.result()["transfer"] == pytest.approx(expected)


def test_domain_incremental_streams_have_class_incremental_numbers_too():
    """Every experience has the same classes; their test images are pooled."""
    named = with_class_names(stock((0, 1), (0, 1)), NAMES[:2])
    pooled = ClassIncrementalAccuracy()
    strategy = fine_tune(pooled)
    for experience in named.train_stream:
        strategy.train(experience)
        strategy.eval(named.test_stream)
    assert set(pooled.result()) == {"accuracy", "average", "last"}


# ---- names that are given


def renumbered():
    return nc_benchmark(
        data(),
        data(seed=1),
        3,
        task_labels=False,
        fixed_class_order=[5, 3, 1, 0, 2, 4],
        class_ids_from_zero_from_first_exp=True,
    )


RENUMBERED = [[NAMES[5], NAMES[3]], [NAMES[1], NAMES[0]], [NAMES[2], NAMES[4]]]


@pytest.mark.filterwarnings("ignore:stream generator will be converted:UserWarning")  # Avalanche's, of the old stream
@pytest.mark.parametrize(
    "made",
    [
        lambda: with_class_names(renumbered(), NAMES[:6]),
        lambda: with_class_names(benchmark_with_validation_stream(renumbered(), 0.25), NAMES[:6]),
        lambda: with_class_names(with_class_names(renumbered(), NAMES[:6]), NAMES[:6]),
        lambda: with_class_names(renumbered(), np.array(NAMES[:6])),
    ],
    ids=["itself", "with a validation split", "named twice", "an array"],
)
def test_renumbered_labels_have_the_names_of_their_original_classes(made):
    assert [list(classes_of(experience).class_names) for experience in made().streams["train"]] == RENUMBERED


def test_naming_again_keeps_rates_names_of_tasks_and_generation_templates():
    named = with_class_names(made_stream(learning_rates=(0.1, 0.2, 0.3)), [names_of(k) for k in range(3)])
    tasks = classes_of(named.train_stream[0]).stream.tasks
    assert [(task.task_name, task.learning_rate) for task in tasks] == [("task0", 0.1), ("task1", 0.2), ("task2", 0.3)]


def test_a_named_class_without_training_images_is_one_of_its_task():
    train = of_labels((0, 2), (1, 3), task_labels=(0, 1))
    benchmark = with_classes_timeline(
        benchmark_from_datasets(train=train, test=of_labels((0, 1, 2, 4), (1, 3), seed=1, task_labels=(0, 1)))
    )
    named = with_class_names(benchmark, NAMES[:5])
    assert evaluated(naive(), named.test_stream) == {0: [NAMES[k] for k in (0, 1, 2, 4)], 1: [NAMES[1], NAMES[3]]}


def test_one_experience_of_two_tasks_gives_each_its_own_classes():
    whole = data(4)
    both = _make_taskaware_classification_dataset(whole, task_labels=[int(y) // 2 for y in whole.targets])
    named = with_class_names(with_classes_timeline(benchmark_from_datasets(train=[both], test=[both])), NAMES[:4])
    found = classes_of(named.train_stream[0])
    assert [task.class_names for task in found.tasks] == [NAMES[:2], NAMES[2:4]] and found.numbers == (0, 1)


@pytest.mark.parametrize(
    ("benchmark", "names", "kwargs", "message"),
    [
        (lambda: stock((0, 1), (0, 1)), NAMES[:4], {}, r"one list of class names per experience.*same labels occur in several"),
        (lambda: stock((0, 1), (0, 1)), NAMES[:4], {"class_incremental": False}, "one list of class names per experience"),
        (
            lambda: stock((0, 1), (0, 1), (0, 1), task_labels=(0, 0, 1)),
            [["cat", "dog"], ["car", "bus"], ["oak", "elm"]],
            {},
            r"'cat' and 'car' for label 0 of task label 0",
        ),
        (lambda: stock((0, 1), (2, 3)), [["cat", "dog"], ["cat", "bus"]], {}, "twice.*cat"),
        (lambda: stock((0, 1), (2, 3)), [["cat", "cat"], ["car", "bus"]], {}, "twice.*cat"),
        (lambda: stock((0, 1), (2, 3)), [["", "dog"], ["car", "bus"]], {}, "non-empty"),
        (
            lambda: stock(
                (0, 1), (0, 1), test=of_labels((0, 1), seed=1) + of_labels((0, 1), seed=1) + of_labels((0, 1), seed=2)
            ),
            [["cat", "dog"], ["car", "bus"]],
            {"class_incremental": False},
            r"label 0, which is a class of several tasks",
        ),
    ],
)
def test_names_that_contradict_each_other_or_the_stream_are_refused(benchmark, names, kwargs, message):
    with pytest.raises(ValueError, match=message):
        with_class_names(benchmark(), names, **kwargs)


def test_task_labels_given_after_the_names_are_refused():
    benchmark = task_incremental_benchmark(named_stock_stream(), reset_task_labels=True)
    with pytest.raises(ValueError, match=r"task labels \[0\] of the class-incremental stream.*\[1\].*with_class_names last"):
        naive().train(benchmark.train_stream)


# ---- settings beside the data


def test_a_rate_set_on_an_experience_counts_and_names_set_there_are_refused():
    stream = made_stream(learning_rates=(0.1, 0.2, 0.3))
    first, second = stream.train_stream[0], stream.train_stream[1]
    first.learning_rate = 0.05
    rates = Spy(after_update=lambda s: s.optimizer.param_groups[0]["lr"])
    strategy = fine_tune(plugins=[rates], lr=None, warmup_iterations=0)
    strategy.train(first)
    assert max(rates.seen.after_update) == 0.05
    second.templates = ("a {c}.",)
    with pytest.raises(ValueError, match=r"the templates that the data carries.*kind1.*'a \{c\}\.'.*with_class_names"):
        strategy.train(second)


def test_torchs_label_smoothing_over_masked_columns_is_refused():
    with pytest.raises(ValueError, match=r"torch's CrossEntropyLoss.*masked columns.*ClassificationLoss"):
        fine_tune(criterion=torch.nn.CrossEntropyLoss(label_smoothing=0.1))
    fine_tune(criterion=torch.nn.CrossEntropyLoss()).train(made_stream().train_stream[:1])


def test_a_rate_of_numpy_is_a_number():
    task = Task("t", Pictures(2, 4, 0), Pictures(2, 4, 1), ("cat", "dog"), (template_of(0),), learning_rate=np.float32(0.5))
    stream = clip_benchmark([task], train_transform=augment(), eval_transform=plain())
    assert classes_of(stream.train_stream[0]).tasks[0].learning_rate == 0.5
    fine_tune(lr=None).train(stream.train_stream)
