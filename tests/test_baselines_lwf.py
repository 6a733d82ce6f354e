"""Distillation on reference pictures and texts, and the two forms of learning without forgetting."""

import copy
from types import SimpleNamespace

import pytest
import slow_reference as slow
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset
from world import (
    CONTEXT,
    SIDE,
    VOCABULARY,
    Spy,
    equal_weights,
    made_stream,
    naive,
    named_stock_stream,
    plain,
    prompts_of,
    quiet,
    tiny_model,
    weights_of,
)

from avalanche_gift.losses import contrastive_distillation
from avalanche_gift.training import FineTune, LwF, LwFVR
from avalanche_gift.training.plugins import (
    LwFPlugin,
    LwFVRPlugin,
    ReferenceDistillationPlugin,
)
from avalanche_gift.training.plugins.lwf import random_texts

COMMON = {"train_iterations": 3, "lr": 1e-3, "train_mb_size": 6, "evaluator": quiet}
TEXTS = ["a red thing.", "a blue thing.", "a thing of no colour at all.", "two things."]


def pictures(count=5, seed=0):
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def trained(strategy, stream=None, **kwargs):
    strategy.train((made_stream((3, 2)) if stream is None else stream).train_stream, **kwargs)
    return weights_of(strategy.model)


def fine_tune(*plugins, model=None, **kwargs):
    return FineTune(tiny_model() if model is None else model, method_plugins=plugins, **{**COMMON, **kwargs})


class Logged(Dataset):
    """Notes which pictures are asked for."""

    def __init__(self, images):
        self.images, self.asked = images, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.images[index]


# ---- the loss


def test_rectangular_distillation_has_the_hand_worked_value_over_texts_over_images_and_both():
    # T = 1, M = 0: rows have softmax 1/3 and columns 1/2 whatever the targets, so log 3 and log 2.
    student, teacher = torch.zeros(2, 3), torch.randn(2, 3, generator=torch.Generator().manual_seed(0))

    def value(**which):
        return contrastive_distillation(student_logits=student, teacher_logits=teacher, temperature=1.0, **which).item()

    assert value(over_images=False) == pytest.approx(1.0986123)
    assert value(over_texts=False) == pytest.approx(0.6931472)
    assert value() == pytest.approx(1.7917595)
    # T = 2: rows of the teacher (0, 2 log 3) have targets 1/4 and 3/4; student (0, 2 log 2) has 1/3 and 2/3.
    student, teacher = torch.tensor([[0.0, 2 * 0.6931472]]), torch.tensor([[0.0, 2 * 1.0986123]])
    loss = contrastive_distillation(student_logits=student, teacher_logits=teacher, temperature=2.0, over_images=False)
    assert loss.item() == pytest.approx(4 * (0.25 * 1.0986123 + 0.75 * 0.4054651), rel=1e-5)


@pytest.mark.parametrize(("image_term", "text_term"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("teacher", ["initial", "wise:0.3"])
def test_gradient_and_value_are_those_of_the_slow_formula_with_the_teachers_texts_on_both_sides(image_term, text_term, teacher):
    model, other, images = tiny_model(), tiny_model(1), pictures()
    plugin = ReferenceDistillationPlugin(
        images,
        TEXTS,
        weight=1.5,
        teacher=teacher,
        theta_initial=weights_of(other),
        image_term=image_term,
        text_term=text_term,
        batch_size=5,
        shuffle=False,
    )
    spy = Spy(
        after_forward=lambda s: {name: p.grad.clone() for name, p in s.model.clip.named_parameters() if p.grad is not None},
        before_update=lambda s: (s.loss.item(), float(s.loss_terms["cross_entropy"]), float(s.loss_terms["distillation"])),
    )
    fixed, student = slow.double(other), slow.double(model)
    if teacher != "initial":
        share = {name: 0.3 * value + 0.7 * slow.weights(student)[name] for name, value in slow.weights(fixed).items()}
        fixed.load_state_dict(share, strict=False)
    fine_tune(plugin, spy, model=model, train_iterations=1).train(made_stream((3, 2)).train_stream[:1])

    tokens = model.tokenizer(TEXTS)
    scores = slow.logits(student, images.double(), tokens, texts_by=fixed)
    targets = slow.logits(fixed, images.double(), tokens)
    rows, columns = slow.soft_rows(scores, targets), slow.soft_rows(scores.T, targets.T)
    loss = 1.5 * (rows * image_term + columns * text_term)
    total, task, term = spy.seen.before_update[0]
    assert term == pytest.approx(loss.item(), rel=1e-5)
    assert total == pytest.approx(task + term, rel=1e-6)
    expected = slow.gradients(student, loss)
    found = spy.seen.after_forward[0]
    assert not any(name.startswith(("token", "positional", "transformer", "ln_final", "text_projection")) for name in found)
    for name, gradient in found.items():
        scale = expected[name].abs().max()
        torch.testing.assert_close(gradient.double(), expected[name], rtol=1e-4, atol=2e-5 * max(scale.item(), 1e-2))


# ---- the plugin


def test_teacher_is_a_true_copy_that_training_the_student_does_not_move():
    model, images = tiny_model(), pictures()
    at_start, students = [], []
    spy = Spy(
        before_training_exp=lambda s: at_start.append(slow.double(s.model)),
        before_forward=lambda s: students.append(slow.double(s.model)),
        before_update=lambda s: float(s.loss_terms["distillation"]),
    )
    plugin = ReferenceDistillationPlugin(images, TEXTS, batch_size=5, shuffle=False)
    trained(fine_tune(plugin, spy, model=model, lr=1e-2))
    tokens = model.tokenizer(TEXTS)
    for step, (student, found) in enumerate(zip(students, spy.seen.before_update, strict=True)):
        teacher = at_start[step // 3]
        scores = slow.logits(student, images.double(), tokens, texts_by=teacher)
        targets = slow.logits(teacher, images.double(), tokens)
        assert found == pytest.approx(slow.distillation(scores, targets).item(), rel=1e-4)
        moved = slow.distillation(targets, targets).item()
        assert step % 3 == 0 or abs(found - moved) > 1e-3 * moved
    assert all(parameter.requires_grad for name, parameter in model.clip.named_parameters() if name != "logit_scale")


def test_batches_are_a_function_of_seed_experience_and_number_and_each_pass_has_all_pictures():
    def asked(seed=1, noise=0, **kwargs):
        data = Logged(pictures(7))
        torch.manual_seed(noise)
        trained(fine_tune(ReferenceDistillationPlugin(data, TEXTS, batch_size=3, seed=seed), **kwargs))
        return data.asked

    first = asked()
    assert len(first) == 2 * 7 and sorted(first[:7]) == sorted(first[7:]) == list(range(7)) != first[:7] != first[7:]
    assert asked(noise=5) == asked(train_mb_size=4) == first != asked(seed=2)
    nested = Logged(pictures(7))
    benchmark = made_stream((3, 2))
    plugin = ReferenceDistillationPlugin(nested, TEXTS, batch_size=3, seed=1)
    strategy = fine_tune(plugin, eval_every=1, peval_mode="iteration")
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    assert nested.asked == first
    in_order = Logged(pictures(7))
    trained(fine_tune(ReferenceDistillationPlugin(in_order, TEXTS, batch_size=3, shuffle=False)))
    assert in_order.asked == [*range(7)] * 2


def test_the_tasks_batches_are_those_of_fine_tuning():
    seen = []
    for plugins in ([], [ReferenceDistillationPlugin(pictures(), TEXTS)], [LwFPlugin(batch_size=4)]):
        spy = Spy(after_forward=lambda s: s.mb_x.sum().item())
        trained(fine_tune(*plugins, spy))
        seen.append(spy.seen.after_forward)
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_that_read_ahead_change_nothing():
    ours = [trained(LwF(tiny_model(), **COMMON), made_stream((3, 2), **slow.PLAIN), num_workers=number) for number in (0, 1)]
    assert equal_weights(*ours)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_distilled_images_can_be_draws_of_the_training_transform_which_are_functions_of_their_place():
    def seen(noise=0, plugins=(), workers=0, **kwargs):
        """The images of the distillation, batch by batch, which come before the task's."""
        torch.manual_seed(noise)
        batches = []
        strategy = LwF(tiny_model(), plugins=list(plugins), **{**COMMON, "train_iterations": 8, "seed": 1, **kwargs})
        plugin = next(plugin for plugin in strategy.plugins if isinstance(plugin, LwFPlugin))
        distil = plugin._distil
        plugin._distil = lambda student, images: (batches.append(images.clone()), distil(student, images))[1]
        trained(strategy, num_workers=workers)
        return batches

    first = seen(reference_transform="train")
    assert len(first) == 16
    spy = Spy(before_forward=lambda s: torch.rand(3))
    for other in ({"noise": 5}, {"plugins": [spy]}, {"workers": 1}):
        assert all(map(torch.equal, first, seen(**other, reference_transform="train"))), other
    plain_images = seen()
    assert not any(torch.equal(a, b) for a, b in zip(first, plain_images, strict=True))
    assert not any(map(torch.equal, first, seen(reference_transform="train", seed=2)))
    # 18 images in batches of 6: a pass is three batches, and the next one draws its images anew.
    passes = [sorted(torch.cat(first[start : start + 3]).flatten(1).tolist()) for start in (0, 3)]
    assert len(passes[0]) == 18 and passes[0] != passes[1]
    plain_passes = [sorted(torch.cat(plain_images[start : start + 3]).flatten(1).tolist()) for start in (0, 3)]
    assert plain_passes[0] == plain_passes[1]
    with pytest.raises(ValueError, match="unknown transform of the reference images 'test'"):
        LwF(tiny_model(), reference_transform="test", **COMMON)


@pytest.mark.parametrize("nothing", [None, pictures(0), lambda strategy: None], ids=["None", "empty", "function"])
def test_without_pictures_or_weight_it_is_fine_tuning_bit_for_bit(nothing):
    expected = trained(fine_tune())
    assert equal_weights(trained(fine_tune(ReferenceDistillationPlugin(nothing, TEXTS))), expected)
    assert equal_weights(trained(fine_tune(ReferenceDistillationPlugin(pictures(), TEXTS, weight=0.0))), expected)
    assert not equal_weights(trained(fine_tune(ReferenceDistillationPlugin(pictures(), TEXTS))), expected)


def test_pictures_may_be_pil_or_tuples_and_texts_may_be_tokens_or_functions():
    model = tiny_model()
    drawn = [Image.new("RGB", (20, 24), colour) for colour in ("red", "green", "blue")]
    ready = torch.stack([model.eval_transform(picture) for picture in drawn])
    forms = [
        (drawn, TEXTS),
        (ready, model.tokenize(TEXTS)),
        ([(picture, 0, 1) for picture in drawn], lambda strategy: TEXTS),
        (lambda strategy: ready, lambda strategy: model.tokenize(TEXTS)),
    ]
    ours = [trained(fine_tune(ReferenceDistillationPlugin(*form, batch_size=2))) for form in forms]
    assert all(equal_weights(ours[0], each) for each in ours[1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -1.0}, "distillation weight >= 0, got -1"),
        ({"temperature": 0.0}, "temperature above 0, got 0"),
        ({"batch_size": 0}, "at least one reference picture a batch, got 0"),
        ({"image_term": False, "text_term": False}, "image_term, text_term or both"),
        ({"teacher": None}, "expected the teacher .* got None"),
        ({"teacher": "first"}, "expected the teacher .* got 'first'"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ReferenceDistillationPlugin(pictures(), TEXTS, **change)


def test_no_texts_are_an_error_that_says_so():
    with pytest.raises(ValueError, match="at least one reference text, got none"):
        trained(fine_tune(ReferenceDistillationPlugin(pictures())))


# ---- LwF and LwF-VR


@pytest.mark.parametrize("strategy", [LwF, LwFVR])
def test_steps_are_those_of_the_slow_formula(strategy):
    model, counts, lr = tiny_model(), (3, 2), 0.02
    benchmark = made_stream(counts, **slow.PLAIN)
    experience = benchmark.train_stream[0]
    images, labels = slow.whole_task(experience)
    clip = slow.double(model)
    teacher, tokens = copy.deepcopy(clip), slow.class_tokens(model, 0, counts)
    drawn = []

    class Keep(Spy):
        def before_training_exp(self, strategy, **kwargs):
            (plugin,) = [each for each in strategy.plugins if isinstance(each, LwFPlugin)]
            texts = plugin.reference_texts(strategy)
            drawn.append(model.tokenizer(texts) if isinstance(texts, list) else full(texts))

    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    ours = strategy(
        model,
        optimizer=optimizer,
        train_iterations=3,
        warmup_iterations=0,
        train_mb_size=len(labels),
        evaluator=quiet,
        plugins=[Keep()],
    )
    ours.train(experience)
    for rate in (lr, 0.75 * lr, 0.25 * lr):  # half a cosine over three steps
        scores = slow.logits(clip, images, drawn[0], texts_by=teacher)
        term = slow.distillation(scores, slow.logits(teacher, images, drawn[0]))
        loss = slow.cross_entropy(slow.logits(clip, images, tokens), labels) + term
        slow.descend(clip, slow.gradients(clip, loss), rate)
    assert (drawn[0].shape[0], strategy is LwF) in ((3, True), (1000, False))
    assert slow.close(weights_of(model), clip)
    assert not equal_weights(weights_of(model), trained(FineTune(tiny_model(), **COMMON), benchmark))


def full(tokens):
    return nn.functional.pad(tokens, (0, CONTEXT - tokens.shape[1]))


def test_lwf_takes_the_pictures_as_evaluation_sees_them_and_a_prompt_a_class():
    stream = made_stream((3, 2)).train_stream
    for task, experience in enumerate(stream):
        strategy = SimpleNamespace(experience=experience)
        data = LwFPlugin().reference_pictures(strategy)
        assert len(data) == len(experience.dataset)
        raw = experience.dataset.replace_current_transform_group(None)[4][0]
        assert torch.equal(data[4][0], plain()(raw))
        assert LwFPlugin().reference_texts(strategy) == prompts_of(task, (3, 2))


def test_random_texts_are_framed_as_the_tokenizer_does_and_padded():
    texts = full(random_texts(tiny_model(), 200, 10, seed=3))
    assert texts.shape == (200, CONTEXT)
    assert set(texts[:, 0].tolist()) == {VOCABULARY - 2} and set(texts[:, 11].tolist()) == {VOCABULARY - 1}
    assert not texts[:, 12:].any()
    inside = texts[:, 1:11]
    assert inside.min() < 5 and inside.max() > VOCABULARY - 5 and len(inside.unique()) > 400
    assert torch.equal(texts, full(random_texts(tiny_model(), 200, 10, seed=3)))
    assert not torch.equal(texts, full(random_texts(tiny_model(), 200, 10, seed=4)))


def test_random_texts_fit_clips_own_tokenizer(request):
    texts = random_texts(request.getfixturevalue("tiny_model"), 50, 10, seed=0)
    assert texts.shape[1] == 12
    assert set(texts[:, 0].tolist()) == {49406} and set(texts[:, 11].tolist()) == {49407}
    assert texts.min() >= 0 and len(texts[:, 1:11].unique()) > 450


def test_random_texts_are_shorter_where_the_context_is():
    model = tiny_model()
    model.tokenizer = lambda texts, tokenizer=model.tokenizer: tokenizer(texts)[:, :6]
    assert random_texts(model, 3, 10, seed=0).shape == (3, 6)
    model.tokenizer = lambda texts: torch.zeros(len(texts), 6, dtype=torch.long)
    with pytest.raises(ValueError, match="marks the end of an empty text"):
        random_texts(model, 3, 10, seed=0)


def test_random_texts_differ_from_class_texts_and_are_drawn_once_an_experience():
    calls = []

    class Counting(LwFVRPlugin):
        def reference_texts(self, strategy):
            calls.append(super().reference_texts(strategy))
            return calls[-1]

    model = tiny_model()
    trained(fine_tune(Counting(batch_size=4), model=model))
    assert len(calls) == 2 and not torch.equal(full(calls[0]), full(calls[1]))
    own = {tuple(row) for task in (0, 1) for row in model.tokenizer(prompts_of(task, (3, 2))).tolist()}
    assert own.isdisjoint({tuple(row) for texts in calls for row in full(texts).tolist()})


@pytest.mark.parametrize("plugin", [LwFPlugin, LwFVRPlugin, lambda: ReferenceDistillationPlugin(pictures(), TEXTS)])
def test_each_plugin_works_alone_in_naive_and_changes_the_course_of_training(plugin):
    ours = []
    for plugins in ([plugin()], []):
        torch.manual_seed(0)
        ours.append(trained(naive(*plugins)))
    assert not equal_weights(*ours)


def test_lwf_works_on_streams_of_avalanches_own_and_class_incrementally():
    stock = FineTune(
        tiny_model(),
        method_plugins=[LwFPlugin()],
        **COMMON,
    )
    assert not equal_weights(trained(stock, named_stock_stream()), weights_of(tiny_model()))
    stream = made_stream(class_incremental=True)
    ours = trained(LwF(tiny_model(), class_incremental=True, **COMMON), stream)
    assert not equal_weights(ours, trained(FineTune(tiny_model(), class_incremental=True, **COMMON), stream))
