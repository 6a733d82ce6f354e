"""Teachers, references and Fisher passes of a model with dropout and batch norm: in evaluation mode, and without a trace."""

import copy

import pytest
import torch
from noisy_model import modes, noisy_model, norms, statistics
from torch import nn
from world import BASE_PROMPTS, MadePictures, Pictures, Spy, made_stream, quiet, tiny_model

from avalanche_gift.generation.filters import clip_similarity
from avalanche_gift.models.moe_adapters import attach_adapters
from avalanche_gift.models.task_selector import make_backbone
from avalanche_gift.modes import evaluation_mode
from avalanche_gift.training import EWC, EWCV, GIFT, ZSCL, ICaRL, LwF, LwFVR
from avalanche_gift.training.plugins import (
    OnlineEWCPlugin,
    ReferenceDistillationPlugin,
    StaticFisherPlugin,
    SyntheticReplayPlugin,
)
from avalanche_gift.training.plugins.herded_memory import _image_features
from avalanche_gift.training.synthetic_pairs import SyntheticPairs
from avalanche_gift.training.teacher import FixedTeacher, Teacher

COMMON = {"train_iterations": 3, "lr": 1e-3, "train_mb_size": 6, "evaluator": quiet}
SYNTHETIC = {"synthetic_images": 8, "synthetic_mb_size": 4, "base_prompts": BASE_PROMPTS}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def means(statistics):
    """Without the counters, which a teacher from interpolated weights has of its student, and which nothing reads."""
    return {name: buffer for name, buffer in statistics.items() if "running" in name}


def plugin_of(strategy, kind):
    return next(plugin for plugin in strategy.plugins if isinstance(plugin, kind))


def half_frozen(model):
    """Training, but for one batch norm that its user holds in evaluation mode."""
    model.train()
    norms(model)[0].eval()
    return model


@torch.no_grad()
def features_in_evaluation(model, images, tokens):
    calm = copy.deepcopy(model).eval()
    return calm.encode_image(images), calm.encode_text(tokens)


def images(count=6, seed=3):
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


# ---- the model and the tool themselves


@torch.no_grad()
def test_the_noisy_model_is_another_in_training():
    model, tokens = noisy_model(), noisy_model().tokenize(BASE_PROMPTS)
    for encode, rows in ((model.encode_image, images()), (model.encode_text, tokens)):
        model.eval()
        before = statistics(model)
        calm = encode(rows)
        assert torch.equal(encode(rows), calm) and same(before, statistics(model))
        model.train()
        assert not torch.equal(encode(rows), encode(rows)), "dropout"
        assert not same(before, statistics(model)), "batch norm"


@torch.no_grad()
def test_a_batch_norm_in_the_last_block_sees_all_tokens():
    model, tokens = noisy_model().train(), noisy_model().tokenize(BASE_PROMPTS)
    for dropout in (module for module in model.modules() if isinstance(module, nn.Dropout)):
        dropout.p = 0.0
    other = copy.deepcopy(model)
    full = torch.zeros(len(tokens), 16, dtype=torch.long)
    full[:, : tokens.shape[1]] = tokens
    torch.testing.assert_close(model.encode_text(full), nn.functional.normalize(other.clip.encode_text(full), dim=-1))
    assert same(statistics(model), statistics(other))


def test_evaluation_mode_ends_with_each_part_as_it_was_also_after_an_error():
    model = half_frozen(noisy_model())
    before = modes(model)
    assert True in before and False in before
    with pytest.raises(RuntimeError, match="in between"), evaluation_mode(model):
        assert not any(modes(model))
        raise RuntimeError("in between")
    assert modes(model) == before


# ---- teachers


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("teacher", ["previous", "initial", "wise:0.5"])
def test_the_teachers_features_of_synthetic_pairs_are_those_of_evaluation(teacher, training):
    student = half_frozen(noisy_model()) if training else noisy_model().eval()
    lender = Teacher(teacher)
    lender.meet(student)
    pairs = SyntheticPairs([MadePictures.picture(p, k) for k, p in enumerate(BASE_PROMPTS)], BASE_PROMPTS, student)
    before, how = statistics(student), modes(student)
    inputs = pairs.preparation.model_input(pairs.images)
    wanted = features_in_evaluation(student, inputs, pairs.tokens)  # all three teachers are this model, since none has learned
    for _ in range(2):
        pairs.encode_by(lender, student, torch.device("cpu"))
        for found, right in zip((pairs._teacher_images, pairs._teacher_texts), wanted, strict=True):
            torch.testing.assert_close(found, right, rtol=0, atol=1e-6)
    assert same(before, statistics(student)) and modes(student) == how


def test_a_fixed_teacher_is_left_as_it_was():
    teacher = half_frozen(noisy_model())
    pairs = SyntheticPairs([MadePictures.picture(p, 1) for p in BASE_PROMPTS], BASE_PROMPTS, teacher)
    before, how = statistics(teacher), modes(teacher)
    pairs.encode_by(FixedTeacher(teacher), tiny_model(), torch.device("cpu"))
    wanted = features_in_evaluation(teacher, pairs.preparation.model_input(pairs.images), pairs.tokens)
    assert torch.equal(pairs._teacher_images, wanted[0]) and torch.equal(pairs._teacher_texts, wanted[1])
    assert same(before, statistics(teacher)) and modes(teacher) == how


STRATEGIES = {
    "lwf": lambda model, **kwargs: LwF(model, **COMMON, **kwargs),
    "lwf-vr": lambda model, **kwargs: LwFVR(model, **COMMON, **kwargs),
    "zscl": lambda model, **kwargs: ZSCL(model, pictures=Pictures(3, 3, seed=70), texts=BASE_PROMPTS, **COMMON, **kwargs),
    "icarl": lambda model, **kwargs: ICaRL(model, memory_size=8, **COMMON, **kwargs),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_teachers_of_reference_distillation_stay_in_evaluation_mode_and_do_not_move(name):
    """Before every step, in the second experience too, when the student has trained and been evaluated."""
    seen = []

    def look(strategy):
        distil = plugin_of(strategy, ReferenceDistillationPlugin)
        if (teacher := distil._teacher) is not None:
            assert teacher is not strategy.model and strategy.model.training
            seen.append((modes(teacher), statistics(teacher), distil._text_features))

    strategy = STRATEGIES[name](noisy_model(), plugins=[Spy(before_forward=look, before_update=look)])
    begun = statistics(strategy.model)
    for number, experience in enumerate(made_stream((3, 2)).train_stream):
        entered = statistics(strategy.model)
        strategy.train(experience)
        wanted = entered if name.startswith("lwf") else begun  # its teacher is the previous model, the others' the initial one
        assert all(same(means(found), means(wanted)) for _, found, _ in seen), number
        assert seen or (name == "icarl" and number == 0), "iCaRL has no memory yet"
        assert not any(any(how) for how, *_ in seen)
        seen.clear()
        strategy.eval(experience)
    assert not same(begun, statistics(strategy.model)), "the student's own statistics are trained"


def test_the_texts_of_reference_distillation_are_encoded_without_noise():
    seen = Spy(before_training_epoch=lambda s: plugin_of(s, ReferenceDistillationPlugin)._text_features.clone())
    strategy = STRATEGIES["zscl"](noisy_model(), plugins=[seen])
    _, wanted = features_in_evaluation(strategy.model, images(), strategy.model.tokenize(BASE_PROMPTS))
    strategy.train(made_stream((3, 2)).train_stream[0])
    torch.testing.assert_close(seen.seen.before_training_epoch[0], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("evaluated_before", [False, True])
def test_gift_takes_its_teachers_features_without_noise_however_the_model_comes_in(evaluated_before):
    seen = []

    def look(strategy):
        pairs = plugin_of(strategy, SyntheticReplayPlugin)._pairs
        inputs = pairs.preparation.model_input(pairs.images)
        seen.append((pairs._teacher_images, features_in_evaluation(strategy.model, inputs, pairs.tokens)[0]))
        seen.append((statistics(strategy.model), entered))

    strategy = GIFT(noisy_model(), synthetic=MadePictures(), plugins=[], **COMMON, **SYNTHETIC)
    strategy.plugins.append(Spy(before_training_epoch=look))
    stream = made_stream((3, 2)).train_stream
    if evaluated_before:
        strategy.eval(stream)
    entered = statistics(strategy.model)
    strategy.train(stream[0])
    (features, wanted), (found, kept) = seen
    assert torch.equal(features, wanted) and same(found, kept)


# ---- Fisher passes


def fishers_of(strategy, kind):
    plugin = plugin_of(strategy, kind)
    return {name: tensor.clone() for name, tensor in plugin._fisher.items() if isinstance(tensor, torch.Tensor)}


def test_ewc_v_measures_without_noise_and_leaves_no_trace():
    results = []
    for seed in (1, 2):  # of torch's own generator, which dropout would draw from
        begin = Spy(before_training_exp=lambda s: (half_frozen(s.model), statistics(s.model), modes(s.model))[1:])
        strategy = EWCV(noisy_model(), static_fisher=8, synthetic=MadePictures(), plugins=[begin], **COMMON, **SYNTHETIC)
        end = Spy(before_training_exp=lambda s: (statistics(s.model), modes(s.model), fishers_of(s, StaticFisherPlugin)))
        strategy.plugins.append(end)  # behind the method's own
        torch.manual_seed(seed)
        strategy.train(made_stream((3, 2)).train_stream[0])
        ((before, how),), ((after, then, fisher),) = begin.seen.before_training_exp, end.seen.before_training_exp
        assert same(before, after) and then == how and True in how and False in how
        results.append(fisher)
    assert len(results[0]) > 10 and same(*results)


def test_ewc_measures_without_noise_and_leaves_no_trace():
    experience = made_stream((3, 2)).train_stream[0]
    results = []
    for seed in (1, 2):
        strategy = EWC(noisy_model(), **COMMON)
        strategy.train(experience)
        plugin, model = plugin_of(strategy, OnlineEWCPlugin), half_frozen(noisy_model())
        model.class_texts = strategy.model.class_texts
        strategy.model, strategy.experience = model, experience
        before, how = statistics(model), modes(model)
        torch.manual_seed(seed)
        results.append(plugin._measure(strategy, 0))
        assert same(before, statistics(model)) and modes(model) == how
    assert same(*results)


# ---- references


@torch.no_grad()
def test_herding_looks_at_features_without_noise_and_leaves_no_trace():
    model = half_frozen(noisy_model())
    before, how = statistics(model), modes(model)
    found = [_image_features(model, iter([images(4), images(2, seed=8)]), torch.device("cpu")) for _ in range(2)]
    wanted = [features_in_evaluation(model, batch, model.tokenize(BASE_PROMPTS))[0] for batch in (images(4), images(2, seed=8))]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], torch.cat(wanted))
    assert same(before, statistics(model)) and modes(model) == how


@torch.no_grad()
def test_the_features_of_the_task_selector_have_no_noise_and_leave_no_trace():
    model = noisy_model()
    attach_adapters(model, experts=2, bottleneck=2)
    half_frozen(model)
    before, how = statistics(model), modes(model)
    backbone = make_backbone("clip", model)
    first = backbone(images())
    assert torch.equal(first, backbone(images()))
    assert same(before, statistics(model)) and modes(model) == how


def test_the_filter_by_similarity_looks_without_noise_and_leaves_no_trace():
    model = half_frozen(noisy_model())
    before, how = statistics(model), modes(model)
    pictures = [MadePictures.picture(prompt, 1) for prompt in BASE_PROMPTS]
    found = [clip_similarity(model)(pictures, BASE_PROMPTS) for _ in range(2)]
    assert torch.equal(*found) and same(before, statistics(model)) and modes(model) == how
