"""Avalanche's own strategies, unchanged, on our CLIP: what they train on, and how they are evaluated."""

import copy

import pytest
import torch
from world import Pictures, Spy, augment, equal_weights, plain, quiet, tiny_model, weights_of

from avalanche_gift.benchmarks import Task, clip_benchmark
from avalanche_gift.benchmarks.running_labels import running_labels
from avalanche_gift.checkpoint import RunState
from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import AccuracyMatrix, footprint
from avalanche_gift.losses import MASKED_LOGIT, smoothed_cross_entropy
from avalanche_gift.run_loop import train_and_evaluate
from avalanche_gift.training import AVALANCHE_STRATEGIES, ClassificationLoss, FineTune, avalanche_strategy
from avalanche_gift.training.criterion import OwnTaskLoss

pytestmark = pytest.mark.filterwarnings("ignore:.*switch to pre_adapt and post_adapt:DeprecationWarning")
COUNTS = (3, 5, 4)
SMALL = {"train_iterations": 5, "train_mb_size": 8, "eval_mb_size": 50, "lr": 1e-3, "seed": 7}


NAMES = (("cat", "dog", "owl"), ("car", "bus", "cat", "oak", "elm"), ("fir", "yew", "sun", "dog"))


def stream(*, class_incremental=False, train_transform=None, eval_transform=None):
    """Unequal class counts; the names cat and dog recur."""
    tasks = [
        Task(
            name=f"task{number}",
            train=Pictures(len(names), 5, seed=10 * number),
            test=Pictures(len(names), 3, seed=10 * number + 1),
            class_names=[f"{name}{number}" for name in names] if class_incremental else names,
            templates=(f"a photo of kind{number} {{c}}.", f"kind{number}: {{c}}."),
        )
        for number, names in enumerate(NAMES)
    ]
    return clip_benchmark(
        tasks,
        train_transform=train_transform or augment(),
        eval_transform=eval_transform or plain(),
        class_incremental=class_incremental,
    )


def trained(name, *, plugins=(), matrix=None, stream_of=None, **kwargs):
    """The strategy after training and evaluating on the whole stream, as a run does it."""
    matrix = AccuracyMatrix(figure=False) if matrix is None else matrix
    given = stream() if stream_of is None else stream_of
    arguments = {"evaluator": quiet(matrix), "plugins": plugins, **SMALL, **kwargs}
    strategy, benchmark = avalanche_strategy(name, tiny_model(), given, **arguments)
    strategy.eval(benchmark.test_stream)
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[])
        strategy.eval(benchmark.test_stream)
    return strategy, matrix.rows()


def finetuned(**kwargs):
    matrix = AccuracyMatrix(figure=False)
    strategy, benchmark = FineTune(tiny_model(), evaluator=quiet(matrix), **SMALL | kwargs), stream()
    strategy.eval(benchmark.test_stream)
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[])
        strategy.eval(benchmark.test_stream)
    return strategy, matrix.rows()


def images_and_labels(experience):
    return torch.stack([item[0] for item in experience.dataset.eval()]), torch.tensor(list(experience.dataset.targets))


def by_hand(model, experience):
    """Accuracy of a CLIP among the classes of one experience, its labels counted from 0."""
    model = copy.deepcopy(model).eval()
    model.set_classes(experience.class_names, experience.templates)
    images, labels = images_and_labels(experience)
    with torch.no_grad():
        return 100 * (model(images).argmax(1) == labels).float().mean().item()


def _vector(model):
    """Without the biases of attention, whose keys only rounding moves."""
    return torch.cat([w.flatten().float() for name, w in weights_of(model).items() if "in_proj_bias" not in name])


# ---- the stream with running labels


def test_labels_run_on_pictures_stay_and_every_task_label_is_zero():
    before, after = stream(), running_labels(stream())
    for name in ("train_stream", "test_stream"):
        for number, (old, new) in enumerate(zip(getattr(before, name), getattr(after, name), strict=True)):
            first = sum(COUNTS[:number])
            assert list(new.dataset.targets) == [label + first for label in old.dataset.targets]
            for ours, theirs in zip(new.dataset.eval(), old.dataset.eval(), strict=True):
                assert torch.equal(ours[0], theirs[0]) and ours[1:] == [theirs[1] + first, 0]
            assert set(new.classes_in_this_experience) == set(range(first, first + COUNTS[number]))
            assert (new.task_label, new.class_names, new.templates) == (0, old.class_names, old.templates)
            assert new.task_name == old.task_name and new.learning_rate == old.learning_rate
            assert new.benchmark.n_classes_per_exp == list(COUNTS) and new.benchmark.classes_order == list(range(12))


def test_augmentation_is_still_that_of_the_group_asked_for():
    marked = running_labels(stream(train_transform=lambda _: torch.zeros(1), eval_transform=lambda _: torch.ones(1)))
    dataset = marked.train_stream[1].dataset
    assert (dataset.train()[0][0], dataset.eval()[0][0], dataset.eval().train()[3][1]) == (0, 1, 3)


def test_a_class_incremental_stream_keeps_its_labels():
    old = stream(class_incremental=True)
    new = running_labels(old)
    for a, b in zip(old.train_stream, new.train_stream, strict=True):
        assert list(a.dataset.targets) == list(b.dataset.targets)


# ---- the loss


def test_each_row_is_compared_with_the_classes_of_its_own_experience():
    logits = torch.randn(6, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 2, 3, 7, 8, 11])
    loss = OwnTaskLoss(ClassificationLoss(0.2), COUNTS)(logits, labels)
    parts = [
        smoothed_cross_entropy(logits[:2, :3], labels[:2], 0.2),
        smoothed_cross_entropy(logits[2:4, 3:8], labels[2:4] - 3, 0.2),
        smoothed_cross_entropy(logits[4:, 8:], labels[4:] - 8, 0.2),
    ]
    torch.testing.assert_close(loss, torch.stack(parts).mean())
    loss.backward()
    assert (logits.grad[:2, 3:] == 0).all() and (logits.grad[:2, :3] != 0).all()


def test_the_columns_may_be_those_of_the_classes_seen_so_far():
    logits, labels = torch.randn(4, 8), torch.tensor([0, 1, 3, 6])
    loss, whole = OwnTaskLoss(ClassificationLoss(), COUNTS), torch.cat([logits, torch.randn(4, 4)], dim=1)
    torch.testing.assert_close(loss(logits, labels), loss(whole, labels))


# ---- the strategies


@pytest.mark.parametrize("name", ["avalanche-lwf", "avalanche-ewc", "avalanche-replay"])
def test_accuracy_is_that_among_the_classes_of_each_experience(name):
    strategy, rows = trained(name)
    zero_shot = [by_hand(tiny_model(), experience) for experience in stream().test_stream]
    assert rows[0] == pytest.approx(zero_shot)
    assert rows[3] == pytest.approx([by_hand(strategy.model, experience) for experience in stream().test_stream])
    assert len(rows) == 4 and all(len(row) == 3 for row in rows)


@pytest.mark.parametrize(
    ("name", "off"), [("avalanche-ewc", {"ewc_lambda": 0.0}), ("avalanche-lwf", {"alpha": 0.0}), ("avalanche-lwf", None)]
)
def test_with_their_terms_off_they_are_our_fine_tuning(name, off):
    """LwF is compared less exactly: it encodes the old classes too, in one batch with the new. On, it must differ."""
    (theirs, their_rows), (ours, our_rows) = trained(name, **off or {}), finetuned()
    theirs, ours = (_vector(strategy.model) for strategy in (theirs, ours))
    if off is None:
        assert (theirs - ours).abs().max() > 1e-3
        return
    torch.testing.assert_close(theirs, ours, rtol=0, atol=0 if name == "avalanche-ewc" else 2e-4)
    assert their_rows == our_rows


def test_lwf_distils_the_columns_of_every_old_class():
    strategy, _ = trained("avalanche-lwf")
    lwf = next(plugin.lwf for plugin in strategy.plugins if hasattr(plugin, "lwf"))
    assert dict(lwf.prev_classes_by_task) == {0: set(range(12))}


def test_ewc_takes_the_texts_of_its_own_experience_for_its_fisher_pass_after_a_nested_evaluation():
    def fisher(**nested):
        strategy, benchmark = avalanche_strategy("avalanche-ewc", tiny_model(), stream(), evaluator=quiet(), **SMALL)
        strategy.eval_every = 0 if nested else -1
        for plugin in strategy.plugins:
            if hasattr(plugin, "eval_every"):
                plugin.eval_every = strategy.eval_every
                plugin.do_final = bool(nested)
        strategy.train(benchmark.train_stream[0], eval_streams=nested.get("eval_streams", []))
        ewc = next(plugin for plugin in strategy.plugins if hasattr(plugin, "importances"))
        return torch.cat([importance.data.flatten() for importance in ewc.importances[0].values()])

    torch.manual_seed(0)
    alone = fisher()
    torch.manual_seed(0)
    assert torch.equal(alone, fisher(eval_streams=[list(stream().test_stream)]))


def test_replayed_pictures_meet_their_own_classes_in_batches_twice_as_large():
    spy = Spy(before_backward=lambda s: (s.mb_y.clone(), s.mb_task_id.clone(), (s.mb_output > MASKED_LOGIT / 2).sum(1)))
    strategy, _ = trained("avalanche-replay", mem_size=9, plugins=[spy])
    _, tasks, columns = (torch.cat(parts) for parts in zip(*spy.seen.before_backward, strict=True))
    assert torch.equal(columns, torch.tensor(COUNTS)[tasks])
    assert [len(batch[0]) for batch in spy.seen.before_backward[:5]] == [8, 7, 8, 7, 8]
    assert len(spy.seen.before_backward[5][0]) == 16
    assert footprint(strategy) == {"extra_parameters": 0, "stored_pictures": 9, "stored_bytes": 9 * 3 * 16 * 16}


def test_icarl_classifies_by_the_nearest_mean_among_the_classes_of_the_experience():
    shown = Spy(after_eval_iteration=lambda s: (s.experience.current_experience, s.mb_output.clone(), s.mb_y.clone()))
    strategy, rows = trained("avalanche-icarl", plugins=[shown], memory_size=24)
    for number, output, labels in shown.seen.after_eval_iteration:
        first = sum(COUNTS[:number])
        own = output[:, first : first + COUNTS[number]]
        assert own.shape[1] == COUNTS[number] and (own > MASKED_LOGIT).all()
        outside = torch.cat([output[:, :first], output[:, first + COUNTS[number] :]], dim=1)
        assert (outside == MASKED_LOGIT).all() and labels.min() >= first
    means = strategy.model.eval_classifier.class_means
    features = strategy.model.feature_extractor.eval()
    for number, experience in enumerate(stream().test_stream):
        first = sum(COUNTS[:number])
        images, labels = images_and_labels(experience)
        with torch.no_grad():
            nearest = torch.cdist(features(images), means[first : first + COUNTS[number]]).argmin(1)
        assert rows[3][number] == pytest.approx(100 * (nearest == labels).float().mean().item())
    pictures = 24  # 12 classes, two of each
    assert footprint(strategy)["stored_bytes"] >= pictures * 3 * 16 * 16 * 4
    assert footprint(strategy)["stored_pictures"] >= pictures


def test_icarls_head_begins_as_the_class_texts_and_is_trained():
    spy = Spy(before_training_exp=lambda s: s.model.train_classifier.weight.detach().clone())
    strategy, _ = trained("avalanche-icarl", plugins=[spy])
    model, expected = tiny_model(), []
    for experience in stream().train_stream:
        prompts = [experience.templates[0].replace("{c}", name) for name in experience.class_names]
        expected.append(model.encode_text(model.tokenize(prompts)))
    torch.testing.assert_close(spy.seen.before_training_exp[0], 10 * torch.cat(expected).detach())
    assert not torch.equal(strategy.model.train_classifier.weight, spy.seen.before_training_exp[0])


@pytest.mark.parametrize("name", AVALANCHE_STRATEGIES)
def test_all_run_on_a_class_incremental_stream_among_all_classes_seen(name):
    shown = Spy(after_eval_iteration=lambda s: (s.mb_output > MASKED_LOGIT / 2).sum(1))
    _, rows = trained(name, class_incremental=True, stream_of=stream(class_incremental=True), plugins=[shown])
    assert len(rows) == 4
    assert shown.seen.after_eval_iteration[-3].tolist()[0] == 12


def test_runs_repeat_bit_for_bit_and_leave_the_callers_list_of_plugins_alone():
    given = [Spy(before_update=lambda s: None)]
    results = []
    for _ in range(2):
        torch.manual_seed(1)
        results.append(weights_of(trained("avalanche-replay", plugins=given)[0].model))
    assert equal_weights(*results) and len(given) == 1


class Cut(Exception):
    pass


def cut_in(experience):
    def cut(strategy):
        if (strategy.clock.train_exp_counter, strategy.clock.train_exp_iterations) == (experience, 3):
            raise Cut

    return Spy(before_update=cut)


def run_with_checkpoints(name, folder, *plugins, class_incremental):
    torch.manual_seed(1)
    matrix, given = AccuracyMatrix(figure=False), stream(class_incremental=class_incremental)
    arguments = {**SMALL, "evaluator": quiet(matrix), "plugins": plugins, "class_incremental": class_incremental}
    if name == "avalanche-replay":
        arguments["mem_size"] = 7
    strategy, benchmark = avalanche_strategy(name, tiny_model(), given, **arguments)
    config = RunConfig(strategy=name, benchmark="made", model="tiny")
    train_and_evaluate(strategy, benchmark, config, RunState(config, benchmark, folder), None)
    return strategy.model.state_dict(), matrix.rows(), footprint(strategy)


@pytest.mark.parametrize("class_incremental", [False, True], ids=["own classes", "all classes"])
@pytest.mark.parametrize("name", AVALANCHE_STRATEGIES)
def test_all_go_on_from_the_start_of_the_experience_they_were_cut_off_in(name, class_incremental, tmp_path):
    setting = {"class_incremental": class_incremental}
    wanted = run_with_checkpoints(name, tmp_path / "whole", Spy(before_update=lambda strategy: None), **setting)
    for experience in range(3):
        torch.manual_seed(experience)  # what a new process would not have either
        with pytest.raises(Cut):
            run_with_checkpoints(name, tmp_path / "cut", cut_in(experience), **setting)
    watched = Spy(before_update=lambda strategy: strategy.clock.train_exp_counter)
    found = run_with_checkpoints(name, tmp_path / "cut", watched, **setting)
    assert set(watched.seen.before_update) == {2}
    assert equal_weights(wanted[0], found[0])
    assert wanted[1:] == found[1:]


def test_a_misspelled_name_or_argument_is_refused():
    with pytest.raises(ValueError, match="did you mean 'avalanche-ewc'"):
        avalanche_strategy("avalanche-ewcc", tiny_model(), stream())
    with pytest.raises(TypeError, match="ewc_lamda"):
        avalanche_strategy("avalanche-ewc", tiny_model(), stream(), ewc_lamda=1.0)
