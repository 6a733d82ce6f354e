"""Class names belong to the data: stock streams, splits, second streams, and contradictions, one test for each kind."""

import copy
import pickle
from contextlib import nullcontext

import pytest
import torch
from avalanche.benchmarks import (
    benchmark_from_datasets,
    benchmark_with_validation_stream,
    nc_benchmark,
    split_online_stream,
    task_incremental_benchmark,
    with_classes_timeline,
)
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EWCPlugin, ReplayPlugin
from avalanche.training.supervised import Naive
from torch.utils.data import DataLoader
from world import COUNTS, NAMES, Pictures, Spy, augment, made_stream, named_stock_stream, plain, quiet, stock_labels, tiny_model

from avalanche_gift.benchmarks import Task, clip_benchmark, with_class_names
from avalanche_gift.benchmarks.named_data import name_dataset
from avalanche_gift.losses import MASKED_LOGIT
from avalanche_gift.models.class_scope import AnotherStreamWarning
from avalanche_gift.stream_classes import StreamClasses, TaskClasses, classes_of, find_classes
from avalanche_gift.training import FineTune
from avalanche_gift.training.plugins import clip_optimizer

TRANSFORMS = {"train": (augment(), None), "eval": (plain(), None)}
FLOWERS = ("rose", "tulip", "lily")


def data(classes=6, per_class=4, seed=0):
    return as_classification_dataset(Pictures(classes, per_class, seed), transform_groups=TRANSFORMS)


def naive(*plugins, model=None, evaluator=None, **kwargs):
    model = tiny_model() if model is None else model
    return Naive(
        model=model,
        optimizer=clip_optimizer(model, lr=1e-3),
        train_mb_size=8,
        eval_mb_size=16,
        plugins=list(plugins),
        evaluator=quiet() if evaluator is None else evaluator,
        **kwargs,
    )


def compared_with(strategy):
    """The class names behind each column, in a stream whose only template is "a photo of a {c}."; masked ones left out."""
    texts = strategy.model.class_texts
    names = [prompts[0].removeprefix("a photo of a ").removesuffix(".") for prompts in texts.prompts]
    columns = range(len(names)) if texts.columns is None else texts.columns.tolist()
    own = [(row > MASKED_LOGIT / 2).nonzero().flatten().tolist() for row in strategy.mb_output]
    by_column = dict(zip(columns, names, strict=True))
    return strategy.experience.current_experience, [by_column[column] for column in own[0]]


def evaluated(strategy, stream):
    """For each experience of a stream the names that its images were compared with."""
    spy = Spy(after_eval_forward=compared_with)
    strategy.plugins.append(spy)
    strategy.eval(stream)
    strategy.plugins.remove(spy)
    return dict(spy.seen.after_eval_forward)


def flowers():
    task = Task("flowers", Pictures(3, 3, 90), Pictures(3, 3, 91), FLOWERS)
    return clip_benchmark([task], train_transform=augment(), eval_transform=plain())


def plain_tasks(class_incremental=False):
    """cat/dog and owl/car, one template."""
    tasks = [Task(f"task{k}", Pictures(2, 4, 10 * k), Pictures(2, 4, 10 * k + 1), NAMES[2 * k : 2 * k + 2]) for k in range(2)]
    return clip_benchmark(tasks, train_transform=augment(), eval_transform=plain(), class_incremental=class_incremental)


# ---- a second stream


@pytest.mark.parametrize("class_incremental", [False, True], ids=["task-incremental", "class-incremental"])
@pytest.mark.parametrize("eval_every", [-1, 1])
def test_a_second_benchmark_is_scored_among_its_own_classes(class_incremental, eval_every):
    first, other = plain_tasks(class_incremental), flowers()
    trained = Spy(after_forward=compared_with)
    strategy = naive(trained, EWCPlugin(ewc_lambda=1.0), eval_every=eval_every)
    for experience in first.train_stream:
        strategy.train(experience, eval_streams=[other.test_stream, first.test_stream])
        assert evaluated(strategy, other.test_stream) == {0: list(FLOWERS)}
    seen = dict(trained.seen.after_forward)
    assert seen == {0: ["cat", "dog"], 1: list(NAMES[:4]) if class_incremental else ["owl", "car"]}
    assert evaluated(strategy, first.test_stream)[0] == (list(NAMES[:4]) if class_incremental else ["cat", "dog"])


def test_the_fisher_pass_after_a_nested_evaluation_of_another_stream_sees_the_experience_just_trained():
    """Avalanche's EWC measures in evaluation mode, when the classes of the last evaluation are gone."""
    seen = []

    class Ewc(EWCPlugin):
        def compute_importances(self, model, *args, **kwargs):
            model.eval()
            seen.append([prompts[0] for prompts in model.class_texts.prompts])
            return super().compute_importances(model, *args, **kwargs)

    strategy = naive(Ewc(ewc_lambda=1.0), eval_every=1, peval_mode="iteration")
    strategy.train(plain_tasks().train_stream, eval_streams=[flowers().test_stream])
    assert seen == [["a photo of a cat.", "a photo of a dog."], ["a photo of a owl.", "a photo of a car."]]


def test_training_a_second_stream_adds_its_classes_to_nothing_of_the_first():
    first, second = plain_tasks(class_incremental=True), flowers()
    strategy = naive()
    strategy.train(first.train_stream[:1])
    with pytest.warns(AnotherStreamWarning, match=r"another stream \(rose/tulip/lily\).*first \(cat/dog, owl/car\)"):
        strategy.train(second.train_stream)
    assert evaluated(strategy, first.test_stream) == {0: ["cat", "dog"], 1: list(NAMES[:4])}
    assert evaluated(strategy, second.test_stream) == {0: list(FLOWERS)}


@pytest.mark.parametrize("kind", ["naive", "ours"])
def test_a_memory_across_two_streams_is_refused_and_names_both(kind):
    memory = ReplayPlugin(mem_size=8)
    settings = {"train_iterations": 2, "train_mb_size": 6, "evaluator": quiet()}
    strategy = naive(memory) if kind == "naive" else FineTune(tiny_model(), plugins=[memory], **settings)
    strategy.train(plain_tasks().train_stream)
    trained = Spy(before_backward=lambda s: None)
    strategy.plugins.append(trained)
    larger = made_stream()  # whose task labels 0 and 1 are in the memory, too
    warned = pytest.warns(AnotherStreamWarning) if kind == "naive" else nullcontext()
    with (
        warned,
        pytest.raises(ValueError, match=r"one stream.*cat/dog, owl/car.*cat/dog/owl|one stream.*cat/dog/owl.*cat/dog, owl/car"),
    ):
        strategy.train(larger.train_stream)
    assert kind == "naive" or not trained.seen.before_backward


def test_task_labels_of_another_stream_are_refused():
    model = tiny_model()
    model.adaptation(flowers().test_stream[0])
    with pytest.raises(ValueError, match=r"task labels \[0\].*rose/tulip/lily.*\[1\]"):
        model(torch.zeros(2, 3, 16, 16), torch.tensor([0, 1]))


# ---- streams of Avalanche's own making, both label conventions


def test_labels_that_begin_anew_get_the_names_of_their_original_classes():
    """The case of six names of which every experience got the first two."""
    order = [4, 1, 0, 5, 2, 3]
    benchmark = nc_benchmark(
        data(), data(seed=1), n_experiences=3, task_labels=True, class_ids_from_zero_in_each_exp=True, fixed_class_order=order
    )
    named = with_class_names(benchmark, NAMES[:6])
    expected = {k: [NAMES[order[2 * k]], NAMES[order[2 * k + 1]]] for k in range(3)}
    assert {k: list(classes_of(e).class_names) for k, e in enumerate(named.train_stream)} == expected
    strategy = naive()
    strategy.train(named.train_stream)
    assert evaluated(strategy, named.test_stream) == expected
    for experience, original in zip(named.test_stream, benchmark.test_stream, strict=True):
        assert [int(y) for y in experience.dataset.targets] == [int(y) for y in original.dataset.targets]


def test_labels_renumbered_through_the_stream_get_the_names_of_their_original_classes():
    order = [4, 1, 0, 5, 2, 3]
    benchmark = nc_benchmark(
        data(),
        data(seed=1),
        n_experiences=3,
        task_labels=False,
        class_ids_from_zero_from_first_exp=True,
        fixed_class_order=order,
    )
    named = with_class_names(benchmark, NAMES[:6])
    strategy = naive()
    strategy.train(named.train_stream)
    assert evaluated(strategy, named.test_stream[:1]) == {0: [NAMES[label] for label in order]}


@pytest.mark.parametrize("old", [False, True], ids=["class_incremental_benchmark", "nc_benchmark"])
def test_without_task_labels_all_classes_seen_are_compared_at_the_columns_of_their_labels(old):
    benchmark = named_stock_stream()
    if old:
        benchmark = with_class_names(nc_benchmark(data(9), data(9, seed=1), 3, task_labels=False, seed=3), NAMES)
    seen: set[int] = set()
    strategy = naive(ReplayPlugin(mem_size=20))
    for experience in benchmark.train_stream:
        seen |= {int(label) for label in experience.dataset.targets.uniques}
        strategy.train(experience)
        assert evaluated(strategy, benchmark.test_stream[:1]) == {0: [NAMES[label] for label in sorted(seen)]}


def test_task_labels_make_a_stream_task_incremental_also_where_labels_run_on():
    named = with_class_names(nc_benchmark(data(), data(seed=1), 3, task_labels=True, shuffle=False), NAMES[:6])
    assert not classes_of(named.train_stream[0]).stream.class_incremental
    strategy = naive(ReplayPlugin(mem_size=12))
    strategy.train(named.train_stream)
    assert evaluated(strategy, named.test_stream) == {k: list(NAMES[2 * k : 2 * k + 2]) for k in range(3)}


def test_a_stream_without_task_labels_is_told_apart_within_tasks_if_asked_to():
    named = named_stock_stream(class_incremental=False)
    assert [e.task_label for e in named.train_stream] == [0, 1, 2]
    strategy = naive()
    strategy.train(named.train_stream)
    assert evaluated(strategy, named.test_stream) == {k: [NAMES[label] for label in stock_labels(k)] for k in range(3)}


def test_columns_hold_the_logits_of_the_names_given():
    strategy = naive()
    strategy.eval(named_stock_stream(templates=["a {c}."]).test_stream[1:2])
    model, images = strategy.model.eval(), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        logits = model(images)
        model.set_classes(NAMES, ["a {c}."])
        torch.testing.assert_close(logits[:, stock_labels(1)], model(images)[:, stock_labels(1)])


def test_experiences_that_share_a_class_train_alike_with_and_without_nested_evaluation():
    data4 = data(4)
    parts = [data4.subset([i for i, y in enumerate(data4.targets) if y in labels]) for labels in ((0, 1, 2), (2, 3))]

    def rows(eval_every):
        benchmark = with_class_names(with_classes_timeline(benchmark_from_datasets(train=parts, test=parts)), NAMES[:4])
        spy = Spy(after_forward=compared_with)
        naive(spy, eval_every=eval_every).train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
        return spy.seen.after_forward

    assert dict(rows(-1)) == {0: list(NAMES[:3]), 1: list(NAMES[:4])}
    assert rows(-1) == rows(1)


@pytest.mark.parametrize("evaluate_first", [False, True])
def test_one_common_test_set_is_scored_alike_whether_or_not_it_was_evaluated_before_training(evaluate_first):
    """CORe50's protocol: one test experience with all classes."""
    everything = data(9, seed=1)
    train = [e.dataset for e in named_stock_stream().train_stream]
    benchmark = with_class_names(with_classes_timeline(benchmark_from_datasets(train=train, test=[everything])), NAMES)
    trained = Spy(after_forward=compared_with)
    strategy = naive(trained)
    if evaluate_first:
        assert evaluated(strategy, benchmark.test_stream) == {0: list(NAMES)}
    strategy.train(benchmark.train_stream[:2])
    assert dict(trained.seen.after_forward)[0] == [NAMES[label] for label in stock_labels(0)]
    assert evaluated(strategy, benchmark.test_stream) == {0: list(NAMES)}


# ---- splits, buffers, workers


@pytest.mark.parametrize("class_incremental", [False, True], ids=["task-incremental", "class-incremental"])
def test_online_streams_keep_names_and_protocol(class_incremental):
    benchmark = plain_tasks(class_incremental)
    trained = Spy(after_forward=lambda s: (compared_with(s)[1], s.mb_output.argmax(1).max().item() < s.mb_output.shape[1]))
    strategy = naive(trained, ReplayPlugin(mem_size=4))
    for experience in split_online_stream(benchmark.train_stream, experience_size=4, seed=1):
        strategy.train(experience)
    expected = {0: list(NAMES[:4]) if class_incremental else ["cat", "dog"], 1: list(NAMES[:4])}
    expected[1] = list(NAMES[:4]) if class_incremental else ["owl", "car"]
    assert evaluated(strategy, benchmark.test_stream) == expected


def test_the_stock_case_of_an_online_stream_is_scored_among_all_classes_seen():
    """Test experiences with labels 2, 3 and 4, 5 were scored among classes 0, 1."""
    benchmark = with_class_names(nc_benchmark(data(), data(seed=1), 3, task_labels=False, shuffle=False), NAMES[:6])
    strategy = naive()
    for experience in split_online_stream(benchmark.train_stream, experience_size=4, seed=1):
        strategy.train(experience)
    assert evaluated(strategy, benchmark.test_stream) == {k: list(NAMES[:6]) for k in range(3)}


def test_replayed_rows_of_an_online_task_incremental_stream_keep_their_own_classes():
    """Online splits lose `task_labels`, without which Avalanche hands no task labels to the model."""
    benchmark = made_stream()
    rows = Spy(
        before_backward=lambda s: [
            (task, int((row > MASKED_LOGIT / 2).sum())) for task, row in zip(s.mb_task_id.tolist(), s.mb_output, strict=True)
        ]
    )
    strategy = naive(ReplayPlugin(mem_size=12), rows)
    for experience in split_online_stream(benchmark.train_stream, experience_size=6, seed=1):
        strategy.train(experience)
    seen = {pair for step in rows.seen.before_backward for pair in step}
    assert seen == set(enumerate(COUNTS))


def test_validation_splits_keep_names_rates_and_protocol():
    benchmark = benchmark_with_validation_stream(made_stream(learning_rates=(0.1, 0.2, 0.3)), validation_size=0.25, seed=0)
    strategy = FineTune(tiny_model(), train_iterations=3, warmup_iterations=1, train_mb_size=6, evaluator=quiet())
    rates = Spy(after_update=lambda s: (s.experience.current_experience, s.optimizer.param_groups[0]["lr"]))
    strategy.plugins.append(rates)
    strategy.train(benchmark.streams["train"])
    assert {k: max(rate for j, rate in rates.seen.after_update if j == k) for k in range(3)} == {0: 0.1, 1: 0.2, 2: 0.3}
    widths = Spy(after_eval_forward=lambda s: (s.experience.current_experience, s.mb_output.shape[1]))
    strategy.plugins.append(widths)
    strategy.eval(benchmark.streams["valid"])
    assert dict(widths.seen.after_eval_forward) == dict(enumerate(COUNTS))


def test_names_survive_subset_concatenation_pickling_and_workers():
    train = made_stream().train_stream
    part = train[2].dataset.subset([0, 7, 20]).concat(train[1].dataset.subset([3]))
    assert classes_of(part).numbers == (1, 2) and list(part.named_classes) == [2, 2, 2, 1]
    assert [(label, task) for _, label, task in part.train()] == [(0, 2), (1, 2), (3, 2), (0, 1)]
    again = pickle.loads(pickle.dumps(part.named_classes))
    assert again.stream == classes_of(train[0]).stream and list(again) == [2, 2, 2, 1]
    batches = DataLoader(train[0].dataset.train(), batch_size=9, num_workers=1, multiprocessing_context="fork")
    assert [len(batch) for batch in batches] == [3, 3]
    assert copy.deepcopy(again.stream) is again.stream


# ---- contradictions, each one error that names both sides


@pytest.mark.parametrize("class_incremental", [False, True])
@pytest.mark.parametrize("phase", ["train", "eval"])
def test_a_flag_against_the_stream_is_one_error_that_names_both(class_incremental, phase):
    benchmark = made_stream(class_incremental=class_incremental)
    strategy = FineTune(tiny_model(), train_iterations=1, class_incremental=not class_incremental, evaluator=quiet())
    kinds = ["task-incremental", "class-incremental"]
    message = rf"expected a {kinds[not class_incremental]} stream.*FineTune.*got data of a {kinds[class_incremental]} one"
    with pytest.raises(ValueError, match=message):
        strategy.train(benchmark.train_stream) if phase == "train" else strategy.eval(benchmark.test_stream)


@pytest.mark.parametrize("class_incremental", [False, True])
@pytest.mark.parametrize("flag", [None, "same"])
def test_a_flag_is_not_needed(class_incremental, flag):
    benchmark = made_stream(class_incremental=class_incremental)
    flag = class_incremental if flag else None
    strategy = FineTune(tiny_model(), train_iterations=2, train_mb_size=6, class_incremental=flag, evaluator=quiet())
    strategy.train(benchmark.train_stream)
    strategy.eval(benchmark.test_stream)


def two_tasks_of_equal_labels(task_labels):
    parts = {name: [data(2, seed=seed), data(2, seed=seed + 10)] for seed, name in enumerate(("train", "test"))}
    benchmark = benchmark_from_datasets(**parts)
    return task_incremental_benchmark(benchmark) if task_labels else benchmark


def test_names_that_the_stream_does_not_decide_are_asked_for_per_experience():
    benchmark = with_classes_timeline(two_tasks_of_equal_labels(True))
    with pytest.raises(ValueError, match=r"one list of class names per experience.*\[\["):
        with_class_names(benchmark, NAMES[:4])
    named = with_class_names(benchmark, [NAMES[:2], NAMES[2:4]])
    assert evaluated(naive(), named.test_stream) == {0: ["cat", "dog"], 1: ["owl", "car"]}


@pytest.mark.parametrize(
    ("benchmark", "names", "kwargs", "message"),
    [
        (lambda: nc_benchmark(data(), data(), 3, task_labels=True), NAMES[:4], {}, r"name for every label.*got 4.*\[4, 5\]"),
        (
            lambda: nc_benchmark(data(), data(), 3, task_labels=True),
            [NAMES[:2]],
            {},
            r"experiences of \[2, 2, 2\].*lists of \[2\]",
        ),
        (lambda: nc_benchmark(data(), data(), 3, task_labels=True), "cat", {}, "one string 'cat'"),
        (lambda: nc_benchmark(data(), data(), 3, task_labels=True), ["cat"] * 6, {}, "twice.*cat"),
        (
            lambda: nc_benchmark(data(), data(), 3, task_labels=True, class_ids_from_zero_in_each_exp=True),
            NAMES[:6],
            {"class_incremental": True},
            "labels that begin anew with each task label",
        ),
        (
            lambda: nc_benchmark(data(), data(), 3, task_labels=False, class_ids_from_zero_in_each_exp=True, shuffle=False),
            NAMES[:6],
            {},
            "'cat' and 'owl' for label 0.*task_labels=True",
        ),
        (lambda: nc_benchmark(data(), data(), 3, task_labels=True), NAMES[:6], {"templates": ["a photo."]}, "hold {c}"),
    ],
)
def test_names_that_do_not_fit_are_refused_when_they_are_given(benchmark, names, kwargs, message):
    with pytest.raises(ValueError, match=message):
        with_class_names(benchmark(), names, **kwargs)


def test_a_model_with_classes_set_by_hand_takes_data_without_names():
    model = tiny_model()
    model.set_classes(NAMES)
    strategy = naive(model=model)
    strategy.eval(nc_benchmark(data(9), data(9, seed=1), 3, task_labels=False).test_stream)
    assert len(model.class_texts) == 9


def test_classes_set_by_hand_give_way_to_the_names_of_the_data_and_stay_away():
    model = tiny_model()
    model.set_classes(["sun", "moon"])
    strategy = naive(model=model)
    assert evaluated(strategy, plain_tasks().test_stream) == {0: ["cat", "dog"], 1: ["owl", "car"]}
    with pytest.raises(ValueError, match="with_class_names"):
        strategy.eval(nc_benchmark(data(9), data(9), 3, task_labels=False).test_stream)


# ---- what the names are


def test_streams_of_equal_contents_are_equal_whoever_made_them():
    one, other = (classes_of(made_stream().train_stream[0]).stream for _ in range(2))
    assert one == other and hash(one) == hash(other) and one is not other
    assert one != classes_of(made_stream((3, 2)).train_stream[0]).stream
    assert one != classes_of(made_stream(class_incremental=True).train_stream[0]).stream


def test_a_task_incremental_stream_needs_a_task_label_per_task():
    task = TaskClasses((0, 1), ("cat", "dog"))
    with pytest.raises(ValueError, match=r"task label for each task.*\[0, 0\]"):
        StreamClasses((task, task), class_incremental=False)


def test_data_without_names_has_none():
    assert find_classes(data()) is None
    named = name_dataset(data(2), StreamClasses((TaskClasses((0, 1), ("cat", "dog")),), class_incremental=False), 0)
    assert classes_of(named).first_prompts == ["a photo of a cat.", "a photo of a dog."]


def test_the_accuracy_of_a_hand_made_evaluation_is_that_of_the_stock_metric_in_both_label_conventions():
    for from_zero in (False, True):
        benchmark = nc_benchmark(
            data(),
            data(seed=1),
            3,
            task_labels=True,
            class_ids_from_zero_in_each_exp=from_zero,
            fixed_class_order=[5, 1, 3, 0, 4, 2],
        )
        strategy = naive(evaluator=quiet(accuracy_metrics(experience=True)))
        named = with_class_names(benchmark, NAMES[:6])
        results = strategy.eval(named.test_stream)
        model = strategy.model.eval()
        for k, originals in enumerate(benchmark.original_classes_in_exp):
            labels = sorted(originals, key=lambda original: benchmark.class_mapping[original])
            model.set_classes([NAMES[label] for label in labels])
            images, targets, *_ = next(iter(DataLoader(named.test_stream[k].dataset.eval(), batch_size=100)))
            place = {benchmark.class_mapping[original]: column for column, original in enumerate(labels)}
            wanted = torch.tensor([place[int(target)] for target in targets])
            with torch.no_grad():
                expected = float((model(images).argmax(1) == wanted).float().mean())
            assert results[f"Top1_Acc_Exp/eval_phase/test_stream/Task{k:03d}/Exp{k:03d}"] == pytest.approx(expected)


def test_new_names_replace_those_that_the_data_had():
    named = with_class_names(plain_tasks(), [["sun", "moon"], ["hill", "lake"]])
    strategy = naive()
    assert evaluated(strategy, named.test_stream) == {0: ["sun", "moon"], 1: ["hill", "lake"]}


def test_an_evaluation_returns_what_it_measured_and_nothing_of_an_earlier_one():
    strategy = FineTune(
        tiny_model(), train_iterations=1, train_mb_size=6, evaluator=quiet(accuracy_metrics(experience=True, epoch=True))
    )
    trained = strategy.train(plain_tasks().train_stream, eval_streams=[])
    assert trained and not any("eval_phase" in key for key in trained)
    both = strategy.eval(plain_tasks().test_stream)
    other = strategy.eval(flowers().test_stream)
    assert len(both) == 2 and list(other) == ["Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp000"]
    nested = FineTune(
        tiny_model(), train_iterations=1, train_mb_size=6, evaluator=quiet(accuracy_metrics(experience=True)), eval_every=1
    )
    results = nested.train(plain_tasks().train_stream, eval_streams=[plain_tasks().test_stream])
    assert sum("eval_phase" in key for key in results) == 2
