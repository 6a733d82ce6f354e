"""Which classes Avalanche's own strategies score images among: those of the data, in every phase, on our streams and theirs."""

import pytest
import torch
import torch.nn.functional as F
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EWCPlugin, ReplayPlugin
from avalanche.training.supervised import Cumulative, Naive
from torch import nn
from torch.utils.data import DataLoader
from world import (
    COUNTS,
    Spy,
    made_stream,
    names_of,
    prompts_of,
    quiet,
    stock_stream,
    tiny_model,
)

from avalanche_gift.losses import MASKED_LOGIT
from avalanche_gift.training import ClassificationLoss, FineTune
from avalanche_gift.training.plugins import clip_optimizer

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


def texts_at_hand(strategy):
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
    strategy = naive(spy, eval_every=1)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    assert set(spy.seen.after_forward) == set(enumerate(COUNTS))
    assert set(spy.seen.after_eval_forward) == set(enumerate(COUNTS))


@pytest.mark.parametrize("trained", [0, 1, 3])
def test_past_and_future_experiences_are_evaluated_over_their_own_classes(trained):
    benchmark, spy = made_stream(), phases()
    strategy = naive(spy)
    if trained:
        strategy.train(benchmark.train_stream[:trained])
    strategy.eval(benchmark.test_stream)
    assert set(spy.seen.after_eval_forward) == set(enumerate(COUNTS))


def test_training_texts_are_back_after_a_nested_evaluation():
    benchmark = made_stream()
    spy = Spy(after_forward=lambda s: (s.experience.current_experience, texts_at_hand(s)), after_training_exp=texts_at_hand)
    evaluated = Spy(after_eval_exp=texts_at_hand)
    strategy = naive(spy, evaluated, eval_every=1, peval_mode="iteration")
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    assert prompts_of(0) in evaluated.seen.after_eval_exp and prompts_of(2) in evaluated.seen.after_eval_exp
    assert all(texts == prompts_of(experience) for experience, texts in spy.seen.after_forward)
    assert spy.seen.after_training_exp == [prompts_of(0), prompts_of(1), prompts_of(2)]


def test_evaluation_averages_all_templates_and_training_uses_the_first():
    benchmark = made_stream()
    strategy = naive()
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
    strategy = naive(evaluator=evaluator, lr=3e-3)
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

    def after_forward(self, strategy, **kwargs):
        model, labels = strategy.model, strategy.mb_y
        losses, hits = torch.zeros(len(labels)), torch.zeros(len(labels))
        for task in strategy.mb_task_id.unique().tolist():
            rows = strategy.mb_task_id == task
            texts = model.tokenize_classes([(prompt,) for prompt in prompts_of(task)])
            with torch.no_grad(), model.using(texts):
                logits = model(strategy.mb_x[rows])
            losses[rows] = F.cross_entropy(logits, labels[rows], reduction="none")
            hits[rows] = (logits.argmax(1) == labels[rows]).float()
        self.expected_loss, self.expected_accuracy = losses.mean(), float(hits.mean())

    def before_backward(self, strategy, **kwargs):
        self.steps.append(
            {
                "experience": strategy.experience.current_experience,
                "tasks": strategy.mb_task_id.tolist(),
                "labels": strategy.mb_y.tolist(),
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
    strategy = naive(mixed, ReplayPlugin(mem_size=60), evaluator=evaluator, eval_every=1)
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


def test_mixed_rows_have_only_the_columns_of_their_own_task_and_labels_count_from_zero(mixed_run):
    steps, _ = mixed_run
    for step in steps:
        assert step["width"] == max(COUNTS[task] for task in step["tasks"])
        for task, label, own in zip(step["tasks"], step["labels"], step["own"], strict=True):
            assert own == list(range(COUNTS[task])) and label in own


def test_loss_of_a_mixed_batch_is_the_mean_of_separate_cross_entropies(mixed_run):
    steps, _ = mixed_run
    assert [step["loss"] for step in steps] == pytest.approx([step["expected_loss"] for step in steps], rel=1e-4)


def test_stock_accuracy_of_a_mixed_batch_counts_each_row_among_its_own_classes(mixed_run):
    steps, accuracies = mixed_run
    assert accuracies == pytest.approx([step["expected_accuracy"] for step in steps])


def test_cumulative_training_mixes_experiences_too():
    mixed = Mixed()
    strategy = naive(mixed, strategy=Cumulative)
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

    strategy = naive(ReplayPlugin(mem_size=60), Spy(before_backward=by_hand), criterion=ClassificationLoss(0.2))
    strategy.train(benchmark.train_stream)
    ours, expected = zip(*losses, strict=True)
    assert ours == pytest.approx(expected, rel=1e-4)


def test_ewc_finds_importances_in_both_towers_under_nested_evaluation():
    benchmark, ewc = made_stream(), EWCPlugin(ewc_lambda=10.0, mode="online", decay_factor=1.0)
    strategy = naive(ewc, eval_every=1)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    for tower in ("clip.transformer", "clip.token_embedding", "clip.visual"):
        of_tower = [value.data for name, value in ewc.importances[2].items() if name.startswith(tower)]
        assert of_tower and max(float(data.abs().max()) for data in of_tower) > 0


def test_ewc_fisher_pass_sees_the_texts_of_the_experience_just_trained():
    benchmark, spy = made_stream(), Spy(after_training_exp=texts_at_hand)
    strategy = naive(spy, EWCPlugin(ewc_lambda=1.0), eval_every=0)
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
    strategy = naive(mixed, ReplayPlugin(mem_size=12))
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


def test_samples_of_an_experience_never_trained_are_scored_among_their_own_classes():
    train, mixed = made_stream().train_stream, Mixed()
    naive(AddSamples(train[2], at=0), mixed).train(train[:1])
    assert {task for step in mixed.steps for task in step["tasks"]} == {0, 2}
    assert [s["loss"] for s in mixed.steps] == pytest.approx([s["expected_loss"] for s in mixed.steps], rel=1e-4)


# ---- class-incremental, our streams


def test_class_incremental_columns_grow_with_the_classes_seen():
    benchmark, spy = made_stream(class_incremental=True), phases()
    strategy = naive(spy)
    strategy.train(benchmark.train_stream[:2])
    assert set(spy.seen.after_forward) == {(0, 3), (1, 5)}
    strategy.eval(benchmark.test_stream)
    assert set(spy.seen.after_eval_forward) == {(0, 5), (1, 5), (2, 9)}
    strategy.train(benchmark.train_stream[2:])
    strategy.eval(benchmark.test_stream[:1])
    assert spy.seen.after_forward[-1] == (2, 9) and spy.seen.after_eval_forward[-1] == (0, 9)


def test_class_incremental_texts_stand_in_the_order_of_the_labels_and_come_back_after_evaluation():
    benchmark = made_stream(class_incremental=True)
    spy = Spy(after_forward=lambda s: (s.experience.current_experience, texts_at_hand(s)))
    strategy = naive(spy, ReplayPlugin(mem_size=20), eval_every=1)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    for experience, texts in spy.seen.after_forward:
        assert texts == [prompt for task in range(experience + 1) for prompt in prompts_of(task)]


# ---- errors


def test_data_without_names_is_an_error_with_the_shortest_line_that_gives_them():
    for strategy in (naive(), FineTune(tiny_model(), train_iterations=1, evaluator=quiet())):
        for call in (lambda s: s.train(stock_stream().train_stream[:1]), lambda s: s.eval(stock_stream().test_stream)):
            with pytest.raises(ValueError, match=r'with_class_names\(benchmark, \["cat", "dog"'):
                call(strategy)


def test_no_classes_at_hand_is_an_error_that_names_the_remedy():
    with pytest.raises(RuntimeError, match=r"set_classes.*with_class_names"):
        tiny_model()(torch.zeros(1, 3, 16, 16))
