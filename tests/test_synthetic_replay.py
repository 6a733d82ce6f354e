"""What synthetic replay asks for, computes, keeps and drops, and its teachers."""

import weakref

import pytest
import torch
from avalanche.core import SupervisedPlugin
from plain_strategies import Own, gradients, plain_strategy, replay
from world import BASE_PROMPTS, MadePictures, Spy, made_stream, prompts_of, tiny_model, weights_of

from avalanche_gift.training.plugins import (
    AdaptiveWeightConsolidationPlugin,
    ContrastiveDistillationPlugin,
    ImageTextAlignmentPlugin,
    IterationsPlugin,
    synthetic_replay,
)


def test_synthetic_graph_is_gone_before_the_forward_pass_of_the_task():
    features = []

    def keep(strategy, batch):
        features.extend([weakref.ref(batch), weakref.ref(batch.image_features), weakref.ref(batch.student_logits)])

    alive = Spy(after_forward=lambda s: [reference() is not None for reference in features])
    plugins = [replay(), ContrastiveDistillationPlugin(), ImageTextAlignmentPlugin(), Own(keep)]
    model = tiny_model()
    forward, at_forward = model.forward, []

    def watched(*given):
        at_forward.append([reference() is not None for reference in features])
        return forward(*given)

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
