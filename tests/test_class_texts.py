"""`ClassTextsPlugin` in Avalanche's own strategies: the right classes in every phase, on our streams and on stock ones."""

import pytest
import torch
import torch.nn.functional as F
from avalanche.benchmarks import benchmark_from_datasets, nc_benchmark, with_classes_timeline
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EWCPlugin, ReplayPlugin
from avalanche.training.supervised import Cumulative, Naive
from torch import nn
from torch.utils.data import DataLoader
from world import (
    COUNTS,
    NAMES,
    Pictures,
    Spy,
    augment,
    made_stream,
    names_of,
    plain,
    prompts_of,
    quiet,
    stock_labels,
    stock_stream,
    tiny_model,
)

from avalanche_gift.losses import MASKED_LOGIT
from avalanche_gift.training import ClassificationLoss
from avalanche_gift.training.plugins import ClassTextsPlugin, clip_optimizer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),  # DataLoader workers, Python 3.12
]


def naive(*plugins, model=None, strategy=Naive, evaluator=None, criterion=None, eval_every=-1, lr=1e-3, **kwargs):
    model = tiny_model() if model is None else model
    return strategy(
        model=model,
        optimizer=clip_optimizer(model, lr=lr),
        criterion=nn.CrossEntropyLoss() if criterion is None else criterion,
        train_mb_size=8,
        eval_mb_size=16,
        train_epochs=1,
        plugins=list(plugins),
        evaluator=quiet() if evaluator is None else evaluator,
        eval_every=eval_every,
        **kwargs,
    )


def in_force(strategy):
    return [prompts[0] for prompts in strategy.model.class_texts.prompts]


def columns(strategy):
    return strategy.mb_output.shape[1]


def phases():
    """Notes (experience, columns) of every training and evaluation forward, in order."""
    return Spy(
        after_forward=lambda strategy: (strategy.experience.current_experience, columns(strategy)),
        after_eval_forward=lambda strategy: (strategy.experience.current_experience, columns(strategy)),
    )


def own_columns(logits):
    """For each row the numbers of its columns that are not masked."""
    return [row.nonzero().flatten().tolist() for row in logits > MASKED_LOGIT / 2]


# ---- task-incremental, our streams


def test_logits_have_the_columns_of_the_experience_in_training_and_nested_evaluation():
    benchmark, spy = made_stream(), phases()
    strategy = naive(ClassTextsPlugin(), spy, eval_every=1)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    assert set(spy.seen.after_forward) == set(enumerate(COUNTS))
    assert set(spy.seen.after_eval_forward) == set(enumerate(COUNTS))


@pytest.mark.parametrize("trained", [0, 1, 3])
def test_past_and_future_experiences_are_evaluated_over_their_own_classes(trained):
    benchmark, spy = made_stream(), phases()
    strategy = naive(ClassTextsPlugin(), spy)
    if trained:
        strategy.train(benchmark.train_stream[:trained])
    strategy.eval(benchmark.test_stream)
    assert set(spy.seen.after_eval_forward) == set(enumerate(COUNTS))


def test_training_texts_are_back_after_a_nested_evaluation():
    benchmark = made_stream()
    spy = Spy(after_forward=lambda s: (s.experience.current_experience, in_force(s)), after_training_exp=in_force)
    evaluated = Spy(after_eval_exp=in_force)
    strategy = naive(ClassTextsPlugin(), spy, evaluated, eval_every=1, peval_mode="iteration")
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    assert prompts_of(0) in evaluated.seen.after_eval_exp and prompts_of(2) in evaluated.seen.after_eval_exp
    assert all(texts == prompts_of(experience) for experience, texts in spy.seen.after_forward)
    assert spy.seen.after_training_exp == [prompts_of(0), prompts_of(1), prompts_of(2)]


def test_evaluation_averages_all_templates_and_training_uses_the_first():
    benchmark = made_stream()
    strategy = naive(ClassTextsPlugin())
    strategy.eval(benchmark.test_stream[1:2])
    texts = strategy.model.class_texts
    assert texts.prompts == tuple((f"a photo of kind1 {name}.", f"kind1: {name}.") for name in names_of(1))
    model = strategy.model.eval()
    with torch.no_grad():
        encoded = model.encode_text(model.tokenizer([prompt for prompts in texts.prompts for prompt in prompts]))
        expected = F.normalize(encoded.view(2, 2, -1).mean(1), dim=-1)
        torch.testing.assert_close(model.class_features(), expected)


def test_stock_accuracy_is_that_of_a_hand_made_evaluation():
    benchmark = made_stream(per_class=12)
    evaluator = quiet(accuracy_metrics(experience=True))
    strategy = naive(ClassTextsPlugin(), evaluator=evaluator, lr=3e-3)
    strategy.train(benchmark.train_stream)
    results = strategy.eval(benchmark.test_stream)
    model = strategy.model.eval()
    for task, experience in enumerate(benchmark.test_stream):
        model.set_classes(names_of(task), (f"a photo of kind{task} {{c}}.", f"kind{task}: {{c}}."))
        pictures, labels, *_ = next(iter(DataLoader(experience.dataset.eval(), batch_size=100)))
        with torch.no_grad():
            expected = float((model(pictures).argmax(1) == labels).float().mean())
        key = f"Top1_Acc_Exp/eval_phase/test_stream/Task{task:03d}/Exp{task:03d}"
        assert results[key] == pytest.approx(expected)


# ---- replay: batches of several experiences


class Mixed(SupervisedPlugin):
    """At every training step, all that a hand-made loss needs, and that loss."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def before_training_iteration(self, strategy, **kwargs):
        self.labels = strategy.mb_y.clone()

    def after_forward(self, strategy, **kwargs):
        model, kept = strategy.model, strategy.model.class_texts
        losses, hits = torch.zeros(len(self.labels)), torch.zeros(len(self.labels))
        for task in strategy.mb_task_id.unique().tolist():
            rows = strategy.mb_task_id == task
            model.set_classes(names_of(task), (f"a photo of kind{task} {{c}}.",))
            with torch.no_grad():
                logits = model(strategy.mb_x[rows])
            losses[rows] = F.cross_entropy(logits, self.labels[rows], reduction="none")
            hits[rows] = (logits.argmax(1) == self.labels[rows]).float()
        model.class_texts = kept
        self.expected_loss, self.expected_accuracy = losses.mean(), float(hits.mean())

    def before_backward(self, strategy, **kwargs):
        self.steps.append(
            {
                "experience": strategy.experience.current_experience,
                "tasks": strategy.mb_task_id.tolist(),
                "labels": self.labels.tolist(),
                "shifted": strategy.mb_y.tolist(),
                "own": own_columns(strategy.mb_output),
                "width": columns(strategy),
                "loss": strategy.loss.item(),
                "expected_loss": float(self.expected_loss),
                "expected_accuracy": self.expected_accuracy,
            }
        )


@pytest.fixture(scope="module")
def mixed_run():
    benchmark, mixed = made_stream(), Mixed()
    evaluator = quiet(accuracy_metrics(minibatch=True))
    strategy = naive(ClassTextsPlugin(), mixed, ReplayPlugin(mem_size=60), evaluator=evaluator, eval_every=1)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    curves = evaluator.get_all_metrics()
    accuracies = {}
    for key, (steps, values) in curves.items():
        if key.startswith("Top1_Acc_MB/train_phase"):
            accuracies.update(dict(zip(steps, values, strict=True)))
    return mixed.steps, [accuracies[step] for step in sorted(accuracies)]


def test_replay_really_mixes_three_experiences(mixed_run):
    steps, _ = mixed_run
    assert any(len(set(step["tasks"])) == 2 for step in steps if step["experience"] == 1)
    assert any(len(set(step["tasks"])) == 3 for step in steps if step["experience"] == 2)


def test_mixed_rows_have_only_the_columns_of_their_own_experience(mixed_run):
    steps, _ = mixed_run
    for step in steps:
        present = sorted(set(step["tasks"]))
        starts = {task: sum(COUNTS[other] for other in present if other < task) for task in present}
        assert step["width"] == sum(COUNTS[task] for task in present)
        for task, label, shifted, own in zip(step["tasks"], step["labels"], step["shifted"], step["own"], strict=True):
            assert own == list(range(starts[task], starts[task] + COUNTS[task]))
            assert shifted == starts[task] + label


def test_loss_of_a_mixed_batch_is_the_mean_of_separate_cross_entropies(mixed_run):
    steps, _ = mixed_run
    assert [step["loss"] for step in steps] == pytest.approx([step["expected_loss"] for step in steps], rel=1e-4)


def test_stock_accuracy_of_a_mixed_batch_counts_each_row_among_its_own_classes(mixed_run):
    steps, accuracies = mixed_run
    assert accuracies == pytest.approx([step["expected_accuracy"] for step in steps])


def test_cumulative_training_mixes_experiences_too():
    mixed = Mixed()
    strategy = naive(ClassTextsPlugin(), mixed, strategy=Cumulative)
    strategy.train(made_stream(per_class=3).train_stream)
    assert {task for step in mixed.steps for task in step["tasks"]} == {0, 1, 2}
    assert [s["loss"] for s in mixed.steps] == pytest.approx([s["expected_loss"] for s in mixed.steps], rel=1e-4)


def test_smoothing_is_spread_over_own_classes_of_each_row():
    benchmark, losses = made_stream(), []

    def by_hand(strategy):
        own = [torch.tensor(c) for c in own_columns(strategy.mb_output)]
        rows = zip(strategy.mb_output.detach(), strategy.mb_y.tolist(), own, strict=True)
        each = [F.cross_entropy(row[c], torch.tensor(c.tolist().index(y)), label_smoothing=0.2) for row, y, c in rows]
        losses.append((strategy.loss.item(), float(torch.stack(each).mean())))

    strategy = naive(
        ClassTextsPlugin(), ReplayPlugin(mem_size=60), Spy(before_backward=by_hand), criterion=ClassificationLoss(0.2)
    )
    strategy.train(benchmark.train_stream)
    ours, expected = zip(*losses, strict=True)
    assert ours == pytest.approx(expected, rel=1e-4)


def test_ewc_finds_importances_in_both_towers_under_nested_evaluation():
    benchmark, ewc = made_stream(), EWCPlugin(ewc_lambda=10.0, mode="online", decay_factor=1.0)
    strategy = naive(ClassTextsPlugin(), ewc, eval_every=1)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    for tower in ("clip.transformer", "clip.token_embedding", "clip.visual"):
        of_tower = [value.data for name, value in ewc.importances[2].items() if name.startswith(tower)]
        assert of_tower and max(float(data.abs().max()) for data in of_tower) > 0


def test_ewc_fisher_pass_sees_the_texts_of_the_experience_just_trained():
    benchmark, spy = made_stream(), Spy(after_training_exp=in_force)
    strategy = naive(ClassTextsPlugin(), spy, EWCPlugin(ewc_lambda=1.0), eval_every=0)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    assert spy.seen.after_training_exp == [prompts_of(task) for task in range(3)]


# ---- task labels on their way


def test_task_labels_and_labels_survive_subset_and_concatenation():
    train = made_stream().train_stream
    part = train[2].dataset.subset([0, 7, 20]).concat(train[1].dataset.subset([3]))
    assert [(label, task) for _, label, task in part.train()] == [(0, 2), (1, 2), (3, 2), (0, 1)]


@pytest.mark.parametrize("workers", [0, 2])
def test_task_label_of_each_sample_picks_its_texts_through_buffer_and_workers(workers):
    benchmark, mixed = made_stream((3, 2)), Mixed()
    strategy = naive(ClassTextsPlugin(), mixed, ReplayPlugin(mem_size=12))
    strategy.train(benchmark.train_stream, num_workers=workers)
    assert any(len(set(step["tasks"])) == 2 for step in mixed.steps)
    for step in mixed.steps:
        for task, own in zip(step["tasks"], step["own"], strict=True):
            assert len(own) == COUNTS[task]


class AddSamples(SupervisedPlugin):
    """Adds the data of another experience to what is trained on."""

    def __init__(self, experience, at):
        super().__init__()
        self.other, self.at = experience, at

    def after_train_dataset_adaptation(self, strategy, **kwargs):
        if strategy.experience.current_experience == self.at:
            strategy.adapted_dataset = strategy.adapted_dataset.concat(self.other.dataset)


def test_samples_of_an_experience_never_met_are_an_error_that_names_its_task_label():
    train = made_stream().train_stream
    strategy = naive(ClassTextsPlugin(), AddSamples(train[2], at=1))
    with pytest.raises(ValueError, match=r"task labels \[0, 1\].*task labels \[2\]"):
        strategy.train(train[:2])


def test_samples_never_met_are_an_error_in_the_first_experience_too():
    train = made_stream().train_stream
    strategy = naive(ClassTextsPlugin(), AddSamples(train[1], at=0))
    with pytest.raises(ValueError, match=r"task labels"):
        strategy.train(train[:1])


# ---- class-incremental, our streams


def test_class_incremental_columns_grow_with_the_classes_seen():
    benchmark, spy = made_stream(class_incremental=True), phases()
    strategy = naive(ClassTextsPlugin(class_incremental=True), spy)
    strategy.train(benchmark.train_stream[:2])
    assert set(spy.seen.after_forward) == {(0, 3), (1, 5)}
    strategy.eval(benchmark.test_stream)
    assert set(spy.seen.after_eval_forward) == {(0, 5), (1, 5), (2, 9)}
    strategy.train(benchmark.train_stream[2:])
    strategy.eval(benchmark.test_stream[:1])
    assert spy.seen.after_forward[-1] == (2, 9) and spy.seen.after_eval_forward[-1] == (0, 9)


def test_class_incremental_texts_stand_in_the_order_of_the_labels_and_come_back_after_evaluation():
    benchmark = made_stream(class_incremental=True)
    spy = Spy(after_forward=lambda s: (s.experience.current_experience, in_force(s)))
    strategy = naive(ClassTextsPlugin(class_incremental=True), spy, ReplayPlugin(mem_size=20), eval_every=1)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    for experience, texts in spy.seen.after_forward:
        assert texts == [prompt for task in range(experience + 1) for prompt in prompts_of(task)]


# ---- streams of Avalanche's own making


def test_stock_task_incremental_logits_mask_all_but_the_classes_of_the_experience():
    benchmark = stock_stream()
    spy = Spy(
        after_forward=lambda s: (s.experience.current_experience, columns(s), own_columns(s.mb_output)),
        after_eval_forward=lambda s: (s.experience.current_experience, columns(s), own_columns(s.mb_output)),
    )
    strategy = naive(ClassTextsPlugin(NAMES), spy, eval_every=1)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    for experience, width, rows in spy.seen.after_forward + spy.seen.after_eval_forward:
        assert width == len(NAMES)
        assert all(row == stock_labels(experience) for row in rows)


def test_stock_columns_hold_the_logits_of_the_names_given():
    strategy = naive(ClassTextsPlugin(NAMES, ["a {c}."]))
    strategy.eval(stock_stream().test_stream[1:2])
    model, picture = strategy.model.eval(), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        logits = model(picture)
        model.set_classes(NAMES, ["a {c}."])
        everything = model(picture)
    kept = stock_labels(1)
    torch.testing.assert_close(logits[:, kept], everything[:, kept])


def test_stock_replay_gives_each_row_the_classes_of_its_own_experience():
    seen = Spy(before_backward=lambda s: (s.mb_y.tolist(), own_columns(s.mb_output), s.loss.item()))
    strategy = naive(ClassTextsPlugin(NAMES), ReplayPlugin(mem_size=40), seen)
    strategy.train(stock_stream().train_stream)
    mixed = 0
    for labels, rows, loss in seen.seen.before_backward:
        homes = [next(e for e in range(3) if label in stock_labels(e)) for label in labels]
        mixed += len(set(homes)) > 1
        assert rows == [stock_labels(home) for home in homes]
        assert loss < 100
    assert mixed


@pytest.mark.parametrize("old", [False, True], ids=["class_incremental_benchmark", "nc_benchmark"])
def test_stock_class_incremental_logits_hold_all_classes_seen(old):
    if old:
        transforms = {"train": (augment(), None), "eval": (plain(), None)}
        train, test = (as_classification_dataset(Pictures(9, 4, seed), transform_groups=transforms) for seed in (0, 1))
        benchmark = nc_benchmark(train, test, n_experiences=3, task_labels=False, shuffle=True, seed=3)
    else:
        benchmark = stock_stream()
    seen: set[int] = set()
    spy = Spy(after_forward=lambda s: own_columns(s.mb_output), after_eval_forward=lambda s: own_columns(s.mb_output))
    strategy = naive(ClassTextsPlugin(NAMES, class_incremental=True), spy, ReplayPlugin(mem_size=20))
    for experience in benchmark.train_stream:
        seen |= set(experience.classes_in_this_experience)
        strategy.train(experience)
        assert spy.seen.after_forward[-1][0] == sorted(seen)
        strategy.eval(benchmark.test_stream[:1])
        assert spy.seen.after_eval_forward[-1][0] == sorted(seen)


def test_stock_experiences_are_given_the_names_of_their_classes():
    benchmark = stock_stream()
    strategy = naive(ClassTextsPlugin(NAMES, ["a {c}."]))
    strategy.train(benchmark.train_stream[:1])
    experience = benchmark.train_stream[0]
    seen = Spy(before_training_exp=lambda s: (s.experience.class_names, s.experience.templates))
    naive(ClassTextsPlugin(NAMES, ["a {c}."]), seen).train(experience)
    assert seen.seen.before_training_exp == [(tuple(NAMES[label] for label in stock_labels(0)), ("a {c}.",))]


def overlapping_stream():
    """Two stock experiences that share the label 2."""
    transforms = {"train": (augment(), None), "eval": (plain(), None)}
    data = as_classification_dataset(Pictures(4, 4, 0), transform_groups=transforms)
    parts = [data.subset([i for i, y in enumerate(data.targets) if y in labels]) for labels in ((0, 1, 2), (2, 3))]
    return with_classes_timeline(benchmark_from_datasets(train=parts, test=parts))


def test_stock_experiences_that_share_a_class_train_alike_with_and_without_nested_evaluation():
    def rows(nested):
        benchmark, spy = overlapping_stream(), Spy(before_backward=lambda s: own_columns(s.mb_output)[0])
        strategy = naive(ClassTextsPlugin(NAMES[:4]), spy, eval_every=1 if nested else -1)
        strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
        return [sorted(set(row)) for row in spy.seen.before_backward]

    expected = [[0, 1, 2], [0, 1, 2], [2, 3]]
    assert rows(False) == expected
    assert rows(True) == expected


# ---- errors


def test_experience_without_names_is_an_error_that_says_where_names_come_from():
    with pytest.raises(ValueError, match=r"class_names.*ClassTextsPlugin\(class_names"):
        naive(ClassTextsPlugin()).train(stock_stream().train_stream[:1])


def test_model_of_another_kind_is_an_error_that_names_it():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
    with pytest.raises(TypeError, match=r"expected a CLIPClassifier.*Sequential"):
        naive(ClassTextsPlugin(), model=model).train(made_stream().train_stream[:1])


def test_no_texts_in_force_is_an_error_that_names_the_remedy():
    with pytest.raises(RuntimeError, match=r"set_classes.*ClassTextsPlugin"):
        tiny_model()(torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("names", "templates", "message"),
    [
        (["cat", "cat"], ["a {c}."], "twice.*cat"),
        (["cat", " "], ["a {c}."], "non-empty"),
        (["cat", "dog"], ["a photo."], "hold {c}"),
        (["cat", "dog"], [], "hold {c}"),
        (["cat", "dog"], "a {c}.", "list of templates"),
    ],
)
def test_bad_names_or_templates_are_refused_when_the_plugin_is_made(names, templates, message):
    with pytest.raises(ValueError, match=message):
        ClassTextsPlugin(names, templates)
