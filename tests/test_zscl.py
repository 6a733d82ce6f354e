"""ZSCL's ensemble, references and loss."""

import copy
from types import SimpleNamespace

import pytest
import torch
from avalanche.training.supervised import Naive
from torch import nn
from world import Pictures, Spy, equal_weights, made_stream, plain, quiet, tiny_model, weights_of

from avalanche_gift.training import ZSCL, FineTune
from avalanche_gift.training.plugins import ReferenceDistillationPlugin, WeightEnsemblePlugin, clip_optimizer

TEXTS = ["a sun.", "a red moon.", "two stars."]
SMALL = {"train_mb_size": 8, "train_iterations": 6, "lr": 1e-3}


def references():
    return Pictures(classes=4, per_class=3, seed=70)


def zscl(model=None, **kwargs):
    settings = {"pictures": references(), "texts": TEXTS, "reference_mb_size": 5, "ensemble_every": 2, **SMALL, **kwargs}
    return ZSCL(tiny_model() if model is None else model, evaluator=quiet(), **settings)


def finetune():
    return FineTune(tiny_model(), evaluator=quiet(), **SMALL)


def vector(model):
    return nn.utils.parameters_to_vector(model.clip.parameters()).detach().double()


# ---- the ensemble


@pytest.mark.parametrize(
    ("every", "iterations", "taken"),
    [
        (1, 4, [0, 1, 2, 3, 4, 4]),  # the call at learning rate zero that the reference adds repeats the last
        (2, 6, [0, 1, 3, 5, 6]),  # weights after so many updates; 0: as the experience began; the last because 6 = 3 x 2
        (4, 6, [0, 1, 5]),
        (100, 6, [0, 1]),
    ],
)
@pytest.mark.parametrize("strategy", [Naive, FineTune])
def test_what_remains_is_the_plain_mean_of_the_snapshots_and_starts_the_next_experience(every, iterations, taken, strategy):
    stream = made_stream((3, 2), per_class=8).train_stream
    model = tiny_model()
    spy = Spy(before_training_exp=lambda s: vector(s.model), after_update=lambda s: vector(s.model))
    plugins = [spy, WeightEnsemblePlugin(every)]
    if strategy is Naive:  # batches enough for one epoch
        made = Naive(
            model=model,
            optimizer=clip_optimizer(model, lr=1e-3),
            criterion=nn.CrossEntropyLoss(),
            train_mb_size=-(-24 // iterations),
            plugins=[*plugins],
            evaluator=quiet(),
        )
    else:
        made = FineTune(model, plugins=plugins, evaluator=quiet(), **{**SMALL, "train_iterations": iterations})
    made.train(stream[0])
    course = torch.stack([*spy.seen.before_training_exp, *spy.seen.after_update])
    assert len(course) == iterations + 1
    torch.testing.assert_close(vector(model), course[taken].mean(0), rtol=0, atol=1e-6)
    mean = weights_of(model)
    starts = Spy(before_training_exp=lambda s: weights_of(s.model))
    made.plugins.insert(0, starts)
    made.train(stream[1])
    assert equal_weights(starts.seen.before_training_exp[0], mean)


@pytest.mark.parametrize(("iterations", "every"), [(6, 3), (6, 2), (5, 3), (5, 6), (6, 7), (6, 1)])
def test_the_extra_call_of_the_reference_gives_the_same_ensemble(iterations, every):
    ours, theirs = (
        zscl(reference_schedule=extra, ensemble_every=every, train_iterations=iterations) for extra in (False, True)
    )
    for strategy in (ours, theirs):
        strategy.train(made_stream((3, 2)).train_stream)
    torch.testing.assert_close(vector(ours.model), vector(theirs.model), rtol=0, atol=1e-6)


class Counter(nn.Module):
    """A model of one weight, the number of optimiser calls so far."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))


def snapshots(every, calls, *, reference_schedule):
    """Calls after which a snapshot was taken, as `calls` of them count a weight up; and the mean that remains."""
    strategy = SimpleNamespace(model=Counter(), reference_schedule=reference_schedule)
    plugin, taken = WeightEnsemblePlugin(every), []
    take = plugin._take
    plugin._take = lambda strategy: (taken.append(int(strategy.model.weight.item())), take(strategy))
    plugin.before_training_exp(strategy)
    for _ in range(calls):
        with torch.no_grad():
            strategy.model.weight += 1
        plugin.after_update(strategy)
    plugin.after_training_exp(strategy)
    return taken, strategy.model.weight.item()


@pytest.mark.parametrize(
    ("iterations", "every", "taken"),  # taken: after so many calls, with the N + 1 calls of the reference
    [
        (1000, 100, [1, 101, 201, 301, 401, 501, 601, 701, 801, 901, 1001]),  # i = 0, 100, ..., 1000
        (99, 100, [1]),  # i = 0 alone: 100 calls, but no call number 100
        (100, 100, [1, 101]),
        (101, 100, [1, 101]),
        (9, 10, [1]),
        (10, 10, [1, 11]),
        (19, 10, [1, 11]),
        (4, 1, [1, 2, 3, 4, 5]),
    ],
)
def test_snapshots_are_those_after_the_calls_numbered_by_multiples_up_to_n(iterations, every, taken):
    found, mean = snapshots(every, iterations + 1, reference_schedule=True)
    assert found == taken
    assert mean == pytest.approx(sum(taken) / (len(taken) + 1)), "with the start, of weight 0"
    # N calls: the same snapshots, the last of N + 1 at the weights of call N - 1, since call N would not move them.
    shorter, mean = snapshots(every, iterations, reference_schedule=False)
    assert shorter == [min(number, iterations) for number in taken]
    assert mean == pytest.approx(sum(shorter) / (len(shorter) + 1))


def test_the_paper_has_twelve_models_in_the_mean_whichever_way_the_calls_are_counted():
    for reference_schedule in (False, True):
        taken, _ = snapshots(100, 1000 + reference_schedule, reference_schedule=reference_schedule)
        assert 1 + len(taken) == 12


def test_training_goes_on_from_its_own_weights():
    begun = Spy(after_update=lambda s: weights_of(s.model))
    with_ensemble, without = zscl(plugins=[begun]), zscl(ensemble_every=None)
    for strategy in (with_ensemble, without):
        strategy.train(made_stream((3, 2)).train_stream[:1])
    assert equal_weights(begun.seen.after_update[-1], weights_of(without.model))
    assert not equal_weights(weights_of(with_ensemble.model), weights_of(without.model))


# ---- the strategy


def test_without_weights_and_ensemble_it_is_fine_tuning_bit_for_bit():
    strategies = zscl(distillation_weight=0, l2_weight=0, ensemble_every=None), finetune()
    for strategy in strategies:
        strategy.train(made_stream().train_stream)
    assert equal_weights(*(weights_of(strategy.model) for strategy in strategies))


@pytest.mark.parametrize("l2_weight", [1.0, 0.0])
def test_the_gradient_of_a_step_is_that_of_the_formula(l2_weight):
    initial, kept, seen = tiny_model().double(), {}, []

    def begin(strategy):
        kept["theta"] = {name: p.detach().double() for name, p in strategy.model.clip.named_parameters()}
        kept["rows"] = []

    def compare(strategy):
        model = copy.deepcopy(strategy.model).double()
        images = kept["images"].double()
        with torch.no_grad():
            texts = initial.encode_text(initial.tokenize(TEXTS))
            wanted = initial.logit_scale * initial.encode_image(images) @ texts.t() / 2
        found = model.logit_scale * model.encode_image(images) @ texts.t() / 2
        distillation = sum(-4 * (wanted.softmax(dim) * found.log_softmax(dim)).sum() / found.shape[1 - dim] for dim in (0, 1))
        pull = sum((p - kept["theta"][name]).square().sum() for name, p in model.clip.named_parameters() if p.requires_grad)
        loss = strategy._criterion(model(strategy.mb_x.double()), strategy.mb_y) + distillation + l2_weight * pull
        loss.backward()
        seen.append(loss.item() - float(strategy.loss))
        for name, parameter in strategy.model.clip.named_parameters():
            exact = dict(model.clip.named_parameters())[name].grad
            if exact is not None and "in_proj_bias" not in name:
                torch.testing.assert_close(parameter.grad.double(), exact, rtol=1e-3, atol=1e-5)

    strategy = zscl(l2_weight=l2_weight, plugins=[Spy(before_training_exp=begin, before_update=compare)])
    distil = next(plugin for plugin in strategy.plugins if isinstance(plugin, ReferenceDistillationPlugin))
    whole = distil._distil
    distil._distil = lambda student, images: (kept.update(images=images), whole(student, images))[1]
    strategy.train(made_stream((3, 2)).train_stream)
    assert len(seen) == 12 and max(map(abs, seen)) < 1e-3


def test_reference_batches_are_a_function_of_seed_experience_and_step():
    def batches(seed, *, disturbed=False):
        found = []
        strategy = zscl(seed=seed)
        distil = next(plugin for plugin in strategy.plugins if isinstance(plugin, ReferenceDistillationPlugin))
        whole = distil._distil
        distil._distil = lambda student, images: (found.append(images), whole(student, images))[1]
        for experience in made_stream((3, 2)).train_stream:
            if disturbed:
                torch.rand(7)
                strategy.eval(experience)
            strategy.train(experience, eval_streams=[])
        return torch.cat(found)

    first = batches(1)
    assert torch.equal(first, batches(1, disturbed=True))
    assert not torch.equal(first, batches(2))
    assert not torch.equal(*first.chunk(2))


def test_pictures_may_be_a_folder_and_texts_a_file(tmp_path):
    source = references()
    for index in range(len(source)):
        picture, label = source[index]
        (tmp_path / f"n{label}").mkdir(exist_ok=True)
        picture.save(tmp_path / f"n{label}" / f"{index:02}.png")
    (tmp_path / "captions.csv").write_text("filepath,title\n" + "".join(f"x,{text}\n" for text in TEXTS))
    given, read = zscl(), zscl(pictures=tmp_path, texts=tmp_path / "captions.csv")
    for strategy in (given, read):
        strategy.train(made_stream((3, 2)).train_stream)
    assert equal_weights(weights_of(given.model), weights_of(read.model))


def test_tensors_as_the_model_reads_them_will_do_for_pictures():
    stacked = torch.stack([plain()(picture) for picture, _ in (references()[index] for index in range(12))])
    given, tensors = zscl(), zscl(pictures=stacked)
    for strategy in (given, tensors):
        strategy.train(made_stream((3, 2)).train_stream[:1])
    assert equal_weights(weights_of(given.model), weights_of(tensors.model))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"pictures": None}, "a folder or a data set of reference pictures"),
        ({"pictures": "/no/such/folder"}, "there is no folder"),
        ({"ensemble_every": 0}, "at least one iteration"),
        ({"distillation_weight": -1.0}, "distillation weight >= 0"),
        ({"l2_weight": -1.0}, "consolidation weight >= 0"),
    ],
)
def test_what_can_not_work_is_refused_when_the_strategy_is_made(kwargs, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        zscl(**kwargs)
