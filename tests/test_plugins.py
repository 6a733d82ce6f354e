"""Each plugin alone in plain Avalanche strategies, and GIFT's gradient against a slow double backward pass."""

import copy
import weakref
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.supervised import Naive
from avalanche.training.templates import SupervisedTemplate
from torch import nn
from torchvision.transforms import Compose, PILToTensor, Resize
from world import (
    BASE_PROMPTS,
    MadePictures,
    Spy,
    equal_weights,
    made_stream,
    names_of,
    plain,
    prompts_of,
    quiet,
    template_of,
    tiny_model,
    weights_of,
)

from avalanche_gift.schedule import warmup_cosine
from avalanche_gift.training import GIFT
from avalanche_gift.training.plugins import (
    AdaptiveWeightConsolidationPlugin,
    ClassTextsPlugin,
    ContrastiveDistillationPlugin,
    FreshOptimizerPlugin,
    ImageTextAlignmentPlugin,
    IterationsPlugin,
    L2ConsolidationPlugin,
    LossTermsPlugin,
    NonFiniteLossError,
    SyntheticReplayPlugin,
    WarmupCosinePlugin,
    clip_optimizer,
    consolidation,
    synthetic_replay,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),  # DataLoader workers, Python 3.12
]


def plain_strategy(*plugins, model=None, strategy=Naive, evaluator=None, lr=1e-3, **kwargs):
    model = tiny_model() if model is None else model
    return strategy(
        model=model,
        optimizer=clip_optimizer(model, lr=lr),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=8,
        train_epochs=1,
        plugins=[ClassTextsPlugin(), *plugins],
        evaluator=quiet() if evaluator is None else evaluator,
        **kwargs,
    )


def replay(source=None, **kwargs):
    settings = {"images": 12, "batch_size": 5, "base_prompts": BASE_PROMPTS, **kwargs}
    return SyntheticReplayPlugin(MadePictures() if source is None else source, **settings)


class Own(SupervisedPlugin):
    """A user's own synthetic loss; `look` sees the strategy and the batch."""

    def __init__(self, look=None):
        super().__init__()
        self.look, self.sizes = look, []

    def synthetic_loss(self, strategy, batch):
        self.sizes.append(len(batch.image_features))
        if self.look is not None:
            self.look(strategy, batch)
        return {"own": 1 - (batch.image_features * batch.text_features).sum(1).mean()}


def gradients(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.clip.named_parameters()}


# ---- the synthetic plugins in plain strategies


@pytest.mark.parametrize("strategy", [Naive, SupervisedTemplate])
@pytest.mark.parametrize(
    ("loss", "term"),
    [
        (ContrastiveDistillationPlugin, "distillation"),
        (ImageTextAlignmentPlugin, "alignment"),
        (Own, "own"),
    ],
)
def test_each_synthetic_loss_works_alone_and_changes_the_course_of_training(strategy, loss, term):
    benchmark = made_stream((3, 2))
    spy = Spy(before_update=lambda s: {name: float(value) for name, value in s.loss_terms.items()})
    with_it = plain_strategy(replay(), loss(), spy, strategy=strategy)
    without = plain_strategy(strategy=strategy)
    for each in (with_it, without):
        torch.manual_seed(0)
        each.train(benchmark.train_stream)
    assert spy.seen.before_update and all(set(terms) == {term} for terms in spy.seen.before_update)
    assert not equal_weights(weights_of(with_it.model), weights_of(without.model))


def test_strategy_loss_holds_the_task_and_all_synthetic_terms():
    spy = Spy(
        before_backward=lambda s: s.loss.item(),
        before_update=lambda s: (s.loss.item(), {name: float(value) for name, value in s.loss_terms.items()}),
    )
    plugins = [replay(), ContrastiveDistillationPlugin(), ImageTextAlignmentPlugin(), AdaptiveWeightConsolidationPlugin()]
    plain_strategy(*plugins, spy).train(made_stream((3, 2)).train_stream)
    for task, (total, terms) in zip(spy.seen.before_backward, spy.seen.before_update, strict=True):
        assert set(terms) == {"distillation", "alignment", "awc"}
        assert total == pytest.approx(task + sum(terms.values()), rel=1e-5)
    assert any(terms["awc"] > 0 for _, terms in spy.seen.before_update)


def test_synthetic_batches_go_through_all_pairs_in_every_pass_and_the_last_one_is_short():
    rows = []
    own = Own(lambda strategy, batch: rows.append(batch.teacher_image_features))
    plain_strategy(replay(), own, IterationsPlugin(6)).train(made_stream((3, 2)).train_stream[:1])
    assert own.sizes == [5, 5, 2, 5, 5, 2]
    first, second = torch.cat(rows[:3]), torch.cat(rows[3:])
    assert not torch.equal(first, second)
    torch.testing.assert_close(first[first[:, 0].argsort()], second[second[:, 0].argsort()])
    assert len(first[:, 0].unique()) == 12


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        (lambda: [ContrastiveDistillationPlugin()], "SyntheticReplayPlugin beside ContrastiveDistillationPlugin"),
        (lambda: [ImageTextAlignmentPlugin()], "SyntheticReplayPlugin beside ImageTextAlignmentPlugin"),
        (lambda: [replay()], "plugin with synthetic_loss"),
        (lambda: [AdaptiveWeightConsolidationPlugin()], "gradient of a synthetic loss, got none"),
        (lambda: [AdaptiveWeightConsolidationPlugin(), replay(), Own()], "got none: list a SyntheticReplayPlugin"),
        (lambda: [replay(teacher=None), ContrastiveDistillationPlugin()], "teacher=None"),
    ],
)
def test_plugins_without_what_they_need_say_so(plugins, message):
    with pytest.raises(ValueError, match=message):
        plain_strategy(*plugins()).train(made_stream((3, 2)).train_stream[:1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContrastiveDistillationPlugin(-1.0),
        lambda: ContrastiveDistillationPlugin(float("nan")),
        lambda: ContrastiveDistillationPlugin(temperature=0.0),
        lambda: ContrastiveDistillationPlugin(form="contrastiv"),
        lambda: ImageTextAlignmentPlugin(-1.0),
        lambda: ImageTextAlignmentPlugin(label_smoothing=1.0),
        lambda: AdaptiveWeightConsolidationPlugin(-1.0),
        lambda: L2ConsolidationPlugin(-1.0),
        lambda: replay(images=0),
        lambda: replay(batch_size=0),
        lambda: replay(towers=()),
        lambda: replay(towers=("image", "sound")),
        lambda: replay(towers=("image",), teacher=None),
        lambda: replay(teacher="wise:1.5"),
        lambda: replay(teacher="wise:"),
        lambda: IterationsPlugin(0),
        lambda: WarmupCosinePlugin(-1e-3),
        lambda: WarmupCosinePlugin([]),
        lambda: WarmupCosinePlugin(iterations=0),
        lambda: WarmupCosinePlugin(warmup=-1),
    ],
)
def test_values_out_of_range_are_refused_when_the_plugin_is_made(make):
    with pytest.raises(ValueError, match=r"expected|unknown"):
        make()


# ---- consolidation


def test_l2_alone_adds_twice_the_weight_times_the_way_from_where_the_experience_began():
    kept = SimpleNamespace()

    def begin(strategy):
        kept.theta = weights_of(strategy.model)

    def compare(strategy):
        model = strategy.model
        ours = gradients(model)
        logits = copy.deepcopy(model)
        loss = F.cross_entropy(logits(strategy.mb_x), strategy.mb_y)
        loss.backward()
        moved = 0.0
        for name, parameter in logits.clip.named_parameters():
            if parameter.requires_grad:
                way = parameter.detach() - kept.theta[name]
                task = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                torch.testing.assert_close(ours[name], task + 2 * 0.3 * way, rtol=1e-4, atol=1e-6)
                moved += float(way.square().sum())
        assert strategy.loss.item() == pytest.approx(loss.item() + 0.3 * moved, rel=1e-5)
        return moved

    spy = Spy(before_training_exp=begin, before_update=compare)
    plain_strategy(L2ConsolidationPlugin(0.3), spy).train(made_stream((3, 2)).train_stream)
    moved = spy.seen.before_update
    assert moved[0] == 0 and moved[1] > 0 and 0 in moved[1:], "theta_prev is taken anew in the second experience"


def test_adaptive_weights_average_one_in_each_tensor_and_follow_the_synthetic_gradient():
    kept = SimpleNamespace()

    class Before(SupervisedPlugin):  # between replay and consolidation: the synthetic gradient alone
        def before_forward(self, strategy, **kwargs):
            kept.synthetic = gradients(strategy.model)

    def compare(strategy):
        for name, grad in gradients(strategy.model).items():
            synthetic = kept.synthetic[name]
            if synthetic is None:
                continue
            way = dict(strategy.model.clip.named_parameters())[name].detach() - kept.theta[name]
            squares = synthetic.square()
            fisher = squares / squares.mean()
            assert float(fisher.mean()) == pytest.approx(1, rel=1e-4)
            torch.testing.assert_close(grad - synthetic, 2 * 0.5 * fisher * way, rtol=1e-3, atol=1e-5)

    spy = Spy(
        before_training_exp=lambda s: setattr(kept, "theta", weights_of(s.model)),
        after_forward=compare,
    )
    plugins = [replay(), ImageTextAlignmentPlugin(), Before(), AdaptiveWeightConsolidationPlugin(0.5)]
    plain_strategy(*plugins, spy).train(made_stream((3, 2)).train_stream)
    assert len(spy.seen.after_forward) > 2


# ---- the whole step against a double backward pass


def to_double(picture):
    return (Compose([Resize((16, 16)), PILToTensor()])(picture).double() / 255 - 0.5) / 0.25


class DoubleBackward(SupervisedPlugin):
    """GIFT's formula by autograd: `grad CE + grad(CD + ITA) + 2 lambda F (theta - theta_prev)`, teacher run at each step."""

    def __init__(self, generator, *, alpha, beta, weight, temperature):
        super().__init__()
        self.generator, self.alpha, self.beta = generator, alpha, beta
        self.weight, self.temperature = weight, temperature
        self.errors, self.moved, self.names, self.totals = [], [], [], []

    def before_training_exp(self, strategy, **kwargs):
        self.teacher = copy.deepcopy(strategy.model.clip).requires_grad_(False)

    def before_update(self, strategy, **kwargs):
        student = copy.deepcopy(strategy.model.clip)
        parameters = {name: p for name, p in student.named_parameters() if p.requires_grad}
        theta_prev = dict(self.teacher.named_parameters())
        tokenizer, scale = strategy.model.tokenizer, student.logit_scale.exp().detach()
        prompts, seeds = self.generator.calls[-1]
        pictures = torch.stack([to_double(MadePictures.picture(p, s)) for p, s in zip(prompts, seeds, strict=True)])

        def similarities(clip):
            images = F.normalize(clip.encode_image(pictures), dim=-1)
            texts = F.normalize(clip.encode_text(tokenizer(prompts)), dim=-1)
            return scale * images @ texts.t()

        m, a = similarities(student), similarities(self.teacher).detach()
        t = self.temperature
        distilled = (
            -t
            * t
            * (
                ((a / t).softmax(1) * (m / t).log_softmax(1)).sum(1).mean()
                + ((a.t() / t).softmax(1) * (m.t() / t).log_softmax(1)).sum(1).mean()
            )
        )
        equal = torch.tensor([[p == q for q in prompts] for p in prompts], dtype=torch.float64)
        targets = 0.8 * equal / equal.sum(1, keepdim=True) + 0.2 / len(prompts)
        aligned = -(targets * m.log_softmax(1)).sum(1).mean() - (targets * m.t().log_softmax(1)).sum(1).mean()
        synthetic = self.alpha * distilled + self.beta * aligned
        of_pairs = torch.autograd.grad(synthetic, list(parameters.values()), retain_graph=True)

        task = strategy.experience.current_experience
        texts = [template_of(task).replace("{c}", name) for name in names_of(task)]
        logits = (
            scale
            * F.normalize(student.encode_image(strategy.mb_x), dim=-1)
            @ F.normalize(student.encode_text(tokenizer(texts)), dim=-1).t()
        )
        loss = F.cross_entropy(logits, strategy.mb_y, label_smoothing=0.2)
        penalty = 0.0
        for (name, parameter), g in zip(parameters.items(), of_pairs, strict=True):
            fisher = g.square() / g.square().mean()
            penalty = penalty + self.weight * (fisher * (parameter - theta_prev[name]).square()).sum()
        expected = torch.autograd.grad(loss + penalty, list(parameters.values()))
        ours = dict(strategy.model.clip.named_parameters())
        self.errors.append(
            {
                name: float((ours[name].grad - g - e).abs().max() / (g + e).abs().max())
                for name, g, e in zip(parameters, of_pairs, expected, strict=True)
            }
        )
        self.moved.append(float(torch.as_tensor(penalty).detach()))
        self.totals.append((strategy.loss.item(), (loss + synthetic + penalty).item()))


@pytest.mark.parametrize(
    ("alpha", "beta", "weight", "temperature"), [(1.0, 0.25, 1.0, 2.0), (2.0, 0.5, 2.0, 1.5), (0.0, 1.0, 0.7, 2.0)]
)
def test_gradient_of_every_step_is_that_of_a_double_backward_pass(alpha, beta, weight, temperature):
    model, generator = tiny_model().double(), MadePictures()
    model.eval_transform = to_double
    reference = DoubleBackward(generator, alpha=alpha, beta=beta, weight=weight, temperature=temperature)
    strategy = GIFT(
        model,
        synthetic=generator,
        alpha=alpha,
        beta=beta,
        awc_weight=weight,
        temperature=temperature,
        lr=1e-3,
        train_iterations=4,
        warmup_iterations=0,
        train_mb_size=6,
        synthetic_images=10,
        synthetic_mb_size=10,
        base_prompts=BASE_PROMPTS,
        plugins=[reference],
        evaluator=quiet,
    )
    strategy.train(made_stream((3, 2), train_transform=to_double, eval_transform=to_double).train_stream)
    assert len(set(generator.calls[0][0])) < 10, "equal prompts are among the pairs"
    assert len(reference.errors) == 8
    for step, (errors, moved) in enumerate(zip(reference.errors, reference.moved, strict=True)):
        assert (moved == 0) == (step in (0, 4)), "theta_prev is where each experience began"
        assert max(errors.values()) < 1e-8, f"step {step}: {errors}"
    # Avalanche keeps the loss in float32
    assert [ours for ours, _ in reference.totals] == pytest.approx([total for _, total in reference.totals], rel=1e-5)


# ---- what is computed, kept and dropped


def test_synthetic_graph_is_gone_before_the_forward_pass_of_the_task():
    features = []

    def keep(strategy, batch):
        features.extend([weakref.ref(batch), weakref.ref(batch.image_features), weakref.ref(batch.student_logits)])

    alive = Spy(after_forward=lambda s: [reference() is not None for reference in features])
    plugins = [replay(), ContrastiveDistillationPlugin(), ImageTextAlignmentPlugin(), Own(keep)]
    model = tiny_model()
    forward, at_forward = model.forward, []

    def watched(images):
        at_forward.append([reference() is not None for reference in features])
        return forward(images)

    model.forward = watched
    plain_strategy(*plugins, AdaptiveWeightConsolidationPlugin(), alive, model=model).train(made_stream((3, 2)).train_stream)
    assert at_forward and all(states and not any(states) for states in at_forward)


def test_no_tensor_of_the_synthetic_graph_is_saved_for_the_task_graph():
    shapes = []

    class Watch(SupervisedPlugin):
        def before_backward(self, strategy, **kwargs):
            seen, stack = set(), [strategy.loss.grad_fn]
            while stack:
                node = stack.pop()
                if node is None or node in seen:
                    continue
                seen.add(node)
                stack.extend(function for function, _ in node.next_functions)
            shapes.append(sum("Convolution" in type(node).__name__ for node in seen))

    plain_strategy(replay(), ContrastiveDistillationPlugin(), Watch()).train(made_stream((3, 2)).train_stream)
    assert set(shapes) == {1}, "one picture batch, the task's, goes through the image tower in the task's graph"


@pytest.mark.parametrize("teacher", ["previous", "initial", "wise:0.5"])
def test_teacher_embeds_the_pictures_once_an_experience(teacher, monkeypatch):
    from avalanche_gift.models import CLIPClassifier

    encode, calls = CLIPClassifier.encode_image, []

    def counted(self, images):
        calls.append((torch.is_grad_enabled(), len(images)))
        return encode(self, images)

    monkeypatch.setattr(CLIPClassifier, "encode_image", counted)
    strategy = plain_strategy(replay(teacher=teacher), ContrastiveDistillationPlugin(), IterationsPlugin(4))
    strategy.train(made_stream((3, 2)).train_stream)
    assert [size for grad, size in calls if not grad] == [12, 12]
    assert sum(grad for grad, _ in calls) == 2 * 2 * 4, "pairs and task pictures, four steps, two experiences"


def test_pairs_are_dropped_after_the_experience(monkeypatch):
    made, kept = synthetic_replay.SyntheticPairs, []

    def watched(*args):
        pairs = made(*args)
        kept.append(weakref.ref(pairs))
        return pairs

    monkeypatch.setattr(synthetic_replay, "SyntheticPairs", watched)
    spy = Spy(before_update=lambda s: kept[-1]() is not None, after_training=lambda s: [r() for r in kept])
    plugins = [replay(), ContrastiveDistillationPlugin(), AdaptiveWeightConsolidationPlugin()]
    plain_strategy(*plugins, spy).train(made_stream((3, 2)).train_stream)
    assert all(spy.seen.before_update)
    assert spy.seen.after_training == [[None, None]]


@pytest.mark.parametrize("plugin", [AdaptiveWeightConsolidationPlugin, L2ConsolidationPlugin])
def test_theta_prev_is_dropped_after_the_experience(plugin, monkeypatch):
    take, kept = consolidation.snapshot, []

    def watched(named):
        theta = take(named)
        kept.extend(weakref.ref(tensor) for tensor in theta.values())
        return theta

    monkeypatch.setattr(consolidation, "snapshot", watched)
    alive = Spy(after_training=lambda s: sum(reference() is not None for reference in kept))
    plain_strategy(replay(), Own(), plugin(), alive).train(made_stream((3, 2)).train_stream)
    assert kept and alive.seen.after_training == [0]


def test_generator_is_asked_once_before_each_experience_with_the_seeds_of_the_reference():
    source = MadePictures()
    calls_so_far = Spy(before_training_iteration=lambda s: len(source.calls))
    plain_strategy(replay(source, images=7), Own(), calls_so_far).train(made_stream().train_stream)
    assert [seeds for _, seeds in source.calls] == [
        list(range(first, first + 7)) for first in (419_900_000, 420_000_000, 420_100_000)
    ]
    assert all(len(prompts) == 7 for prompts, _ in source.calls)
    assert calls_so_far.seen.before_training_iteration[0] == 1 and set(calls_so_far.seen.before_training_iteration) == {1, 2, 3}


def test_prompts_are_of_base_and_learned_classes_and_never_of_the_current_experience():
    source = MadePictures()
    plain_strategy(replay(source, images=150), Own(), IterationsPlugin(1)).train(made_stream().train_stream)
    for experience, (prompts, _) in enumerate(source.calls):
        learned = [prompt for task in range(experience) for prompt in prompts_of(task)]
        assert set(prompts) == {*BASE_PROMPTS, *learned}


def test_an_experience_trained_again_sees_no_prompts_of_its_own():
    source, train = MadePictures(), made_stream().train_stream
    strategy = plain_strategy(replay(source, images=150), Own(), IterationsPlugin(1))
    strategy.train([train[0], train[1], train[0]])
    assert set(source.calls[2][0]) == {*BASE_PROMPTS, *prompts_of(1)}


def test_imagenet_is_the_broad_vocabulary_where_none_is_given():
    from open_clip import IMAGENET_CLASSNAMES

    source = MadePictures()
    plain_strategy(replay(source, base_prompts=None, images=30), Own(), IterationsPlugin(1)).train(
        made_stream().train_stream[:1]
    )
    assert set(source.calls[0][0]) <= {f"a photo of a {name}." for name in IMAGENET_CLASSNAMES}


def test_equal_seeds_ask_for_equal_pairs_and_other_seeds_for_others():
    def calls(seed, disturb):
        source = MadePictures()
        torch.manual_seed(disturb)
        plain_strategy(replay(source, seed=seed), Own(), IterationsPlugin(1)).train(made_stream().train_stream)
        return source.calls

    assert calls(1, 0) == calls(1, 99) != calls(2, 0)


@pytest.mark.parametrize(("teacher", "share"), [("previous", 0.0), ("initial", 1.0), ("wise:0.5", 0.5), ("wise:0.2", 0.2)])
@pytest.mark.parametrize("given", [False, True])
def test_teacher_embeddings_are_those_of_a_hand_interpolated_model(teacher, share, given):
    model, source, kept = tiny_model(), MadePictures(), []
    theta_initial = weights_of(tiny_model(seed=7)) if given else weights_of(model)
    own = Own(lambda strategy, batch: kept.append((batch.teacher_image_features, batch.teacher_text_features)))
    began = Spy(before_training_exp=lambda s: weights_of(s.model))
    plugin = replay(source, teacher=teacher, theta_initial=theta_initial if given else None, batch_size=12)
    strategy = plain_strategy(plugin, own, IterationsPlugin(2), began, model=model, lr=1e-2)
    strategy.train(made_stream((3, 2)).train_stream, shuffle=False)
    for experience in range(2):
        by_hand = tiny_model(seed=3).eval()
        previous = began.seen.before_training_exp[experience]
        by_hand.clip.load_state_dict({n: share * theta_initial[n] + (1 - share) * previous[n] for n in previous})
        prompts, seeds = source.calls[experience]
        pictures = torch.stack([by_hand.eval_transform(source.picture(p, s)) for p, s in zip(prompts, seeds, strict=True)])
        for images, texts in kept[2 * experience : 2 * experience + 2]:
            with torch.no_grad():
                torch.testing.assert_close(images, by_hand.encode_image(pictures), atol=1e-5, rtol=1e-4)
                torch.testing.assert_close(texts, by_hand.encode_text(by_hand.tokenizer(prompts)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("tower", "other"), [("image", "text"), ("text", "image")])
def test_one_tower_alone_sees_the_pairs(tower, other):
    def reached(strategy):
        return {
            "image" if name.startswith("visual") else "text"
            for name, grad in gradients(strategy.model).items()
            if grad is not None and grad.abs().max() > 0
        }

    kept = []
    own = Own(lambda s, batch: kept.append((batch.text_features, batch.image_features, batch)))
    spy = Spy(after_forward=reached)
    plain_strategy(replay(towers=(tower,)), own, ContrastiveDistillationPlugin(), spy).train(made_stream((3, 2)).train_stream)
    assert spy.seen.after_forward and all(towers == {tower} for towers in spy.seen.after_forward)
    for texts, images, batch in kept:
        assert texts.requires_grad == (tower == "text") and images.requires_grad == (tower == "image")
        stand_in = batch.teacher_text_features if other == "text" else batch.teacher_image_features
        assert torch.equal(texts if other == "text" else images, stand_in)


# ---- iterations


def batches(*plugins, iterations=7, seed=42, disturb=0, stream=None, **train):
    spy = Spy(before_training_iteration=lambda s: (s.mb_x.clone(), s.mb_y.clone()))
    strategy = plain_strategy(*plugins, IterationsPlugin(iterations, seed=seed), spy, **train.pop("strategy", {}))
    torch.manual_seed(disturb)
    strategy.train((made_stream((3, 2)) if stream is None else stream).train_stream, **train)
    return strategy, spy.seen.before_training_iteration


def same(a, b):
    return len(a) == len(b) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(a, b, strict=True) if x.shape == u.shape
    )


@pytest.mark.parametrize("iterations", [1, 3, 8])
def test_each_experience_has_exactly_the_iterations_asked_for(iterations):
    strategy, seen = batches(iterations=iterations)
    assert len(seen) == 2 * iterations == strategy.clock.train_iterations


def test_batches_are_the_same_with_and_without_nested_evaluation_and_whatever_the_global_generator():
    stream = made_stream((3, 2))
    _, alone = batches(stream=stream)
    _, nested = batches(
        stream=stream,
        disturb=5,
        strategy={"eval_every": 2, "peval_mode": "iteration"},
        eval_streams=[stream.test_stream],
    )
    _, other = batches(stream=stream, seed=1)
    assert same(alone, nested)
    assert not same(alone, other)


def test_batches_depend_on_the_experience_and_augmentation_on_the_iteration():
    stream = made_stream((2, 2))
    _, seen = batches(stream=stream, iterations=4)
    labels = [labels for _, labels in seen]
    assert not all(torch.equal(a, b) for a, b in zip(labels[:4], labels[4:], strict=True))


def test_without_shuffling_the_batches_go_round_in_order():
    _, seen = batches(iterations=5, shuffle=False, stream=made_stream((3, 2)))
    expected = [label for label in range(3) for _ in range(6)]
    assert [labels.tolist() for _, labels in seen[:5]] == [
        expected[:8],
        expected[8:16],
        expected[16:],
        expected[:8],
        expected[8:16],
    ]


def test_batches_are_the_same_with_workers():
    no_augmentation = made_stream((3, 2), train_transform=plain())
    _, alone = batches(stream=no_augmentation)
    _, workers = batches(stream=no_augmentation, num_workers=2)
    assert same(alone, workers)


def test_loader_that_replay_installed_is_the_one_gone_round():
    _, seen = batches(ReplayPlugin(mem_size=18), iterations=9)
    assert len(seen) == 18
    assert {len(labels) for _, labels in seen[:9]} == {8, 2}
    assert max(len(labels) for _, labels in seen[9:]) == 16


def test_several_epochs_are_each_as_long_as_asked():
    model, spy = tiny_model(), Spy(after_training_iteration=lambda s: s.clock.train_exp_iterations)
    strategy = Naive(
        model=model,
        optimizer=clip_optimizer(model),
        train_mb_size=8,
        train_epochs=2,
        plugins=[ClassTextsPlugin(), IterationsPlugin(3), spy],
        evaluator=quiet(),
    )
    strategy.train(made_stream((3, 2)).train_stream[:1])
    assert len(spy.seen.after_training_iteration) == 6


# ---- learning rate and optimiser


def rates(plugin, stream, iterations=6):
    spy = Spy(after_update=lambda s: {group["lr"] for group in s.optimizer.param_groups})
    plain_strategy(plugin, IterationsPlugin(iterations), spy, lr=0.5).train(stream.train_stream)
    assert all(len(each) == 1 for each in spy.seen.after_update)
    return [each.pop() for each in spy.seen.after_update]


def schedule(base, iterations=6, length=5, warmup=2):
    return [warmup_cosine(i, base_lr=base, iterations=length, warmup=warmup) for i in range(iterations)]


@pytest.mark.parametrize(
    ("lr", "own", "bases"),
    [
        (2e-4, None, (2e-4, 2e-4)),
        ([1e-4, 3e-4], None, (1e-4, 3e-4)),
        (None, (5e-5, None), (5e-5, 7e-5)),
        (2e-4, (5e-5, 6e-5), (2e-4, 2e-4)),
        (None, None, (7e-5, 7e-5)),
    ],
    ids=["one", "list", "the stream's", "one over the stream's", "default"],
)
def test_learning_rate_of_each_step_is_the_schedule_of_its_experience(lr, own, bases):
    plugin = WarmupCosinePlugin(lr, iterations=5, warmup=2, default_lr=7e-5)
    got = rates(plugin, made_stream((3, 2), learning_rates=own))
    assert got == [*schedule(bases[0]), *schedule(bases[1])]
    assert got[0] == bases[0] / 2 and got[1] == bases[0] and got[5] == 0


def test_too_few_learning_rates_are_an_error_that_counts_them():
    with pytest.raises(ValueError, match=r"got 1 and now experience 1"):
        rates(WarmupCosinePlugin([1e-4], iterations=5, warmup=2), made_stream((3, 2)))


def test_adam_starts_anew_in_each_experience():
    def steps(*plugins):
        spy = Spy(after_training_exp=lambda s: {int(state["step"]) for state in s.optimizer.state.values()})
        plain_strategy(*plugins, IterationsPlugin(3), spy).train(made_stream((3, 2)).train_stream)
        return spy.seen.after_training_exp

    assert steps(FreshOptimizerPlugin()) == [{3}, {3}]
    assert steps() == [{3}, {6}], "Avalanche's own habit, which the plugin is there to change"


# ---- loss terms


def test_loss_terms_are_published_under_their_names_with_the_values_of_the_step():
    evaluator = quiet()
    spy = Spy(before_update=lambda s: {**{k: float(v) for k, v in s.loss_terms.items()}, "total": s.loss.item()})
    plugins = [replay(), ContrastiveDistillationPlugin(), ImageTextAlignmentPlugin(), AdaptiveWeightConsolidationPlugin()]
    plain_strategy(*plugins, LossTermsPlugin(), spy, evaluator=evaluator).train(made_stream((3, 2)).train_stream)
    curves = {key.split("/")[1]: curve for key, curve in evaluator.get_all_metrics().items() if key.startswith("LossTerm/")}
    assert set(curves) == {"distillation", "alignment", "awc", "total"}
    for name, (steps, values) in curves.items():
        assert steps == list(range(len(spy.seen.before_update)))
        assert values == pytest.approx([terms[name] for terms in spy.seen.before_update], rel=1e-6)
        assert all(type(value) is float for value in values)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["synthetic", "task"])
def test_non_finite_loss_stops_training_before_a_weight_moves(bad, kind):
    at_step, model = 2, tiny_model()

    class Break(SupervisedPlugin):
        def synthetic_loss(self, strategy, batch):
            broken = kind == "synthetic" and strategy.clock.train_exp_iterations == at_step
            return {"own": batch.student_logits.mean() * (bad if broken else 1.0)}

        def before_backward(self, strategy, **kwargs):
            if kind == "task" and strategy.clock.train_exp_iterations == at_step:
                strategy.loss = strategy.loss * bad

    after = Spy(after_update=lambda s: weights_of(s.model))
    strategy = plain_strategy(replay(), Break(), LossTermsPlugin(), after, model=model)
    with pytest.raises(NonFiniteLossError, match=r"at iteration 2 of experience 0"):
        strategy.train(made_stream((3, 2)).train_stream)
    assert len(after.seen.after_update) == at_step
    assert equal_weights(weights_of(model), after.seen.after_update[-1])


def test_more_prompts_drawn_than_used_move_the_stream_of_random_numbers_on():
    from avalanche_gift.prompts import PromptSampler
    from avalanche_gift.training.synthetic_pairs import obtain_pairs

    class Echo:
        def generate(self, prompts, seeds):
            return list(prompts)

    pool, sampler = [f"prompt {number}" for number in range(50)], PromptSampler(seed=42)
    common = {"pool": lambda: pool, "sampler": sampler, "own_prompts": (), "count": 3, "drawn": 7, "seed": 42}
    found = [obtain_pairs(Echo(), position=position, **common)[1] for position in (0, 1)]
    everything = PromptSampler(seed=42).draw(pool, 14)
    assert found == [everything[:3], everything[7:10]]
