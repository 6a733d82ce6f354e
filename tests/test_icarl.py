"""iCaRL's memory, its herding with both slips, and its loss."""

import copy
from types import SimpleNamespace

import pytest
import torch
from avalanche.training.supervised import Naive
from torch import nn
from torchvision.transforms import Compose, PILToTensor, Resize
from world import Spy, equal_weights, made_stream, plain, prompts_of, quiet, tiny_model, weights_of

from avalanche_gift.benchmarks.defaults import strategy_options
from avalanche_gift.evaluation import footprint
from avalanche_gift.models import PicturePreparation
from avalanche_gift.strategy_options import option_values
from avalanche_gift.training import FineTune, ICaRL
from avalanche_gift.training.herding import herd, places_after_removal
from avalanche_gift.training.picture_memory import PictureMemory
from avalanche_gift.training.plugins import HerdedMemoryPlugin, ReferenceDistillationPlugin, clip_optimizer
from avalanche_gift.training.seeded_draws import SeededDraws

SMALL = {"train_mb_size": 8, "train_iterations": 6, "lr": 1e-3, "memory_mb_size": 5}


def icarl(model=None, **kwargs):
    return ICaRL(tiny_model() if model is None else model, evaluator=quiet(), **{**SMALL, **kwargs})


# ---- herding


def test_herding_by_hand():
    # Mean (1, 0). Alone 3 and 4 are the nearest; 3 with 2 makes (1, 0.05), with 4 (1, 0); 0 then leads as far astray as 1.
    features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 0.2], [1.0, -0.1], [1.0, -0.1]])
    assert features.mean(0).tolist() == pytest.approx([1.0, 0.0])
    assert herd(features, 5).tolist() == [3, 2, 4, 0, 1]


def slow_herd(features, count):
    mean, chosen = features.double().mean(0), []
    for _ in range(count):
        left = [row for row in range(len(features)) if row not in chosen]
        means = [features.double()[[*chosen, row]].mean(0) for row in left]
        chosen.append(min(zip(left, means, strict=True), key=lambda pair: float((pair[1] - mean).square().sum()))[0])
    return chosen


def test_herding_agrees_with_a_slow_reference_and_a_short_list_begins_a_long_one():
    features = torch.nn.functional.normalize(torch.randn(40, 6, generator=torch.Generator().manual_seed(3)), dim=1)
    assert herd(features, 25).tolist() == slow_herd(features, 25)
    assert herd(features, 10).tolist() == herd(features, 40)[:10].tolist()
    assert sorted(herd(features, 100).tolist()) == list(range(40))


def test_the_places_of_the_picks_in_a_list_that_loses_them():
    assert places_after_removal(torch.tensor([2, 0, 3])).tolist() == [2, 0, 1]
    picks = torch.randperm(30, generator=torch.Generator().manual_seed(0))[:20]
    left, places = list(range(30)), []
    for pick in picks.tolist():
        places.append(left.index(pick))
        left.remove(pick)
    assert places_after_removal(picks).tolist() == places


# ---- the memory


def pictures(count, value=0):
    numbers = torch.arange(count * 3 * 4 * 4).reshape(count, 3, 4, 4)
    return PicturePreparation(plain()).model_input(((numbers + value) % 256).to(torch.uint8))


def memory_of(size, **kwargs):
    memory = PictureMemory(size, **kwargs)
    memory.prepare(plain())
    return memory


@pytest.mark.parametrize(("slips", "sizes"), [(False, [[10], [5, 5], [3, 3, 3], [2, 2, 2, 2]]), (True, None)])
def test_the_quota_holds_with_the_fix_and_is_exceeded_as_documented_without(slips, sizes):
    memory = memory_of(10, quota="rest" if slips else "equal")
    found = []
    for number in range(4):
        memory.add(pictures(memory.quota_of_next(), number))
        found.append(memory.sizes())
    if slips:
        sizes = [[10], [5, 5], [3, 3, 7], [2, 2, 2, 8]]
        assert [sum(kept) for kept in sizes] == [10 + (t - 2) * (10 // t) if t > 1 else 10 for t in (1, 2, 3, 4)]
    assert found == sizes
    assert memory.most_pictures == max(map(sum, sizes))


def test_memory_keeps_the_first_of_each_set_in_order_as_bytes_and_gives_them_back_bit_by_bit():
    memory, first, second = memory_of(6), pictures(6), pictures(3, 100)
    memory.add(first)
    memory.add(second)
    assert torch.equal(torch.stack([memory[index] for index in range(len(memory))]), torch.cat([first[:3], second]))
    assert (memory.most_pictures, memory.most_bytes) == (6, 6 * 3 * 4 * 4)
    with pytest.raises(IndexError, match="from 0 to 5, got 6"):
        memory[6]
    with pytest.raises(ValueError, match="at most 2 pictures of this experience, got 3"):
        memory.add(second)


def test_a_memory_goes_on_from_its_state():
    memory, again = memory_of(6), memory_of(6)
    memory.add(pictures(6))
    again.load_state_dict(memory.state_dict())
    for each in (memory, again):
        each.add(pictures(3, 100))
    assert torch.equal(remembered(memory), remembered(again))
    assert (again.most_pictures, again.most_bytes) == (memory.most_pictures, memory.most_bytes)


def test_what_is_no_normalised_picture_is_kept_as_it_is():
    memory, odd = memory_of(6), pictures(2) + 1e-3
    memory.add(odd)
    assert torch.equal(memory[1], odd[1])
    assert memory.most_bytes == 2 * 3 * 4 * 4 * 4


@pytest.mark.parametrize("size", [0, -3])
def test_a_memory_of_nothing_is_refused(size):
    with pytest.raises(ValueError, match="at least one picture"):
        PictureMemory(size)


# ---- the plugin


def remembered(memory):
    return torch.stack([memory[index] for index in range(len(memory))])


def dataset_of(experience):
    return torch.stack([item[0] for item in experience.dataset.eval()])


@pytest.mark.parametrize("slips", [False, True])
def test_pictures_are_herded_by_the_model_just_trained_with_one_mean_a_data_set(slips):
    stream = made_stream((3, 2)).train_stream
    model, memory = tiny_model(), PictureMemory(9, quota="rest" if slips else "equal")
    plugin = HerdedMemoryPlugin(memory, candidates=11, reference_slips=slips)
    strategy = Naive(
        model=model,
        optimizer=clip_optimizer(model, lr=1e-3),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=8,
        plugins=[plugin],
        evaluator=quiet(),
    )
    strategy.train(stream[0])
    assert torch.equal(remembered(memory), dataset_of(stream[0])[:9])
    strategy.train(stream[1])
    images = dataset_of(stream[1])[:11]
    with torch.no_grad():
        picks = slow_herd(model.encode_image(images), 5 if slips else 4)
    kept = places_after_removal(torch.tensor(picks)) if slips else picks
    assert torch.equal(remembered(memory), torch.cat([dataset_of(stream[0])[:4], images[kept]]))
    assert plugin.footprint() == {"stored_pictures": 9, "stored_bytes": 9 * 3 * 16 * 16}


def test_the_memory_can_be_filled_before_an_experience_by_the_model_that_comes_in():
    stream, memory = made_stream((3, 2)).train_stream, PictureMemory(8)
    model = tiny_model()
    strategy = FineTune(
        model, method_plugins=[HerdedMemoryPlugin(memory, update="before")], train_iterations=2, evaluator=quiet()
    )
    strategy.train(stream[0])
    with torch.no_grad():
        picks = herd(model.encode_image(dataset_of(stream[1])), 4)
    strategy.train(stream[1])
    assert torch.equal(remembered(memory)[4:], dataset_of(stream[1])[picks])


@pytest.mark.parametrize("kwargs", [{"candidates": 0}, {"update": "during"}])
def test_values_out_of_range_are_refused(kwargs):
    with pytest.raises(ValueError, match=r"expected|unknown"):
        HerdedMemoryPlugin(PictureMemory(3), **kwargs)


# ---- the strategy


def test_the_first_experience_is_plain_fine_tuning():
    stream = made_stream((3, 2)).train_stream
    ours, plain_one = icarl(), FineTune(tiny_model(), train_mb_size=8, train_iterations=6, lr=1e-3, evaluator=quiet())
    for strategy in (ours, plain_one):
        strategy.train(stream[0])
    assert equal_weights(weights_of(ours.model), weights_of(plain_one.model))


def slow_distillation(student, teacher, images, tokens, image_term, text_term):
    """The formula in float64: teacher's texts on both sides, cross-entropy over rows and columns, temperature 2."""
    with torch.no_grad():
        texts = teacher.encode_text(tokens)
        wanted = teacher.logit_scale * teacher.encode_image(images) @ texts.t() / 2
    found = student.logit_scale * student.encode_image(images) @ texts.t() / 2
    loss = 0.0
    for used, dim in ((image_term, 1), (text_term, 0)):
        if used:
            loss = loss - 4 * (wanted.softmax(dim) * found.log_softmax(dim)).sum() / found.shape[1 - dim]
    return loss


@pytest.mark.parametrize("terms", [(True, True), (True, False), (False, True)])
def test_a_step_adds_distillation_on_the_memory_against_the_initial_model_and_the_current_prompts(terms):
    stream, initial = made_stream((3, 2)).train_stream, tiny_model().double()
    seen = []

    def compare(strategy):
        if strategy.experience.current_experience == 0:
            return
        start = 5 * strategy.clock.train_exp_iterations % 10
        model = copy.deepcopy(strategy.model).double()
        images = torch.stack([memory[index] for index in range(start, start + 5)]).double()
        tokens = model.tokenize(prompts_of(1, (3, 2)))
        loss = slow_distillation(model, initial, images, tokens, *terms)
        (loss + strategy._criterion(model(strategy.mb_x.double()), strategy.mb_y)).backward()
        seen.append(loss.item() - float(strategy.loss_terms["distillation"]))
        for name, parameter in model.clip.named_parameters():
            mine = dict(strategy.model.clip.named_parameters())[name].grad
            if parameter.grad is not None and "in_proj_bias" not in name:
                torch.testing.assert_close(mine.double(), parameter.grad, rtol=1e-3, atol=1e-5)

    strategy = icarl(
        memory_size=10, image_distillation=terms[0], text_distillation=terms[1], plugins=[Spy(before_update=compare)]
    )
    memory = next(plugin for plugin in strategy.plugins if isinstance(plugin, HerdedMemoryPlugin)).memory
    strategy.train(stream[0])
    strategy.train(stream[1])
    assert len(seen) == 6 and max(map(abs, seen)) < 1e-3


@pytest.mark.parametrize("slips", [False, True])
def test_what_is_stored_is_reported_with_the_fix_within_the_quota(slips):
    strategy = icarl(memory_size=7, reference_slips=slips, train_iterations=1)
    strategy.train(made_stream().train_stream)
    assert footprint(strategy) == {
        "extra_parameters": 0,
        "stored_pictures": 9 if slips else 7,
        "stored_bytes": (9 if slips else 7) * 3 * 16 * 16,
    }


def test_neither_switch_is_refused():
    with pytest.raises(ValueError, match="got neither"):
        icarl(image_distillation=False, text_distillation=False)


def test_pictures_of_another_transform_are_kept_too():
    model = tiny_model()
    stream = made_stream((3, 2), eval_transform=Compose([Resize(16), PILToTensor(), lambda picture: picture / 200.0]))
    strategy = icarl(model, memory_size=4)
    strategy.train(stream.train_stream)
    assert footprint(strategy)["stored_bytes"] == 4 * 3 * 16 * 16 * 4


# ---- the class-incremental protocol


def memory_and_plugin(strategy):
    plugin = next(plugin for plugin in strategy.plugins if isinstance(plugin, HerdedMemoryPlugin))
    return plugin.memory, plugin


def test_the_newest_of_t_steps_may_have_what_the_reference_gives_it():
    memory = memory_of(5000, quota="rest")
    quotas = []
    for _ in range(5):
        quotas.append(memory.quota_of_next())
        memory.add(pictures(3))
    assert quotas == [5000, 2500, 3334, 3750, 4000]  # 5000 - floor(5000 / t), and 5000 where that is 0
    assert [memory_of(5000).quota_of_next(), memory_of(2, quota="rest").quota_of_next()] == [5000, 2]


def test_the_first_step_is_herded_by_the_model_that_comes_in_where_asked():
    stream, model = made_stream((3, 2), class_incremental=True).train_stream, tiny_model()
    images = dataset_of(stream[0])[:10]
    with torch.no_grad():
        picks = slow_herd(model.encode_image(images), 4)
    strategy = icarl(model, memory_size=4, memory_update="before", herd_first=True, candidates=10, class_incremental=True)
    memory, _ = memory_and_plugin(strategy)
    strategy.train(stream[0])
    assert picks != [0, 1, 2, 3]
    assert torch.equal(remembered(memory), images[picks])


def test_the_memory_keeps_the_draw_of_the_training_transform_that_was_herded():
    stream = made_stream((3, 2)).train_stream
    kept = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        model = tiny_model()
        strategy = icarl(model, memory_size=5, memory_update="before", herd_first=True, reference_transform="train", seed=3)
        memory, plugin = memory_and_plugin(strategy)
        draws = SeededDraws(stream[0].dataset.train(), 3, 0)
        images = torch.stack([draws[row][0] for row in range(18)])
        with torch.no_grad():
            picks = slow_herd(model.encode_image(images), 5)
        plugin.before_training_exp(SimpleNamespace(model=model, experience=stream[0], device=torch.device("cpu")))
        assert torch.equal(remembered(memory), images[picks])
        assert not torch.equal(images, dataset_of(stream[0])), "another transform than the evaluation's"
        kept.append(remembered(memory))
    assert torch.equal(*kept), "whatever torch's global generator"


def test_with_the_protocols_options_every_step_is_distilled_from_the_model_before_it():
    options = {**strategy_options("cifar100", "icarl", {}), "memory_size": 6}
    losses, teachers = [], []
    spy = Spy(
        before_training_epoch=lambda s: teachers.append(equal_weights(weights_of(teacher(s)), weights_of(s.model))),
        after_update=lambda s: losses.append(float(s.loss_terms["distillation"])),
    )

    def teacher(strategy):
        return next(plugin for plugin in strategy.plugins if isinstance(plugin, ReferenceDistillationPlugin))._teacher

    strategy = icarl(class_incremental=True, plugins=[spy], **options)
    for experience in made_stream((3, 2), class_incremental=True).train_stream:
        strategy.train(experience)
    assert teachers == [True, True]
    assert len(losses) == 2 * 7 and min(losses) > 0  # six iterations and the reference's one more


def test_on_mtil_the_first_task_is_kept_in_its_order_and_the_teacher_is_the_initial_model():
    values = option_values("icarl", strategy_options("mtil", "icarl", {}))
    assert (values["herd_first"], values["memory_quota"], values["reference_transform"]) == (False, "equal", "eval")
    assert (values["teacher"], values["memory_size"], values["candidates"]) == ("initial", 10_000, 30_000)
