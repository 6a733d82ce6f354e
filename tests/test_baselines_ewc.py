"""Elastic weight consolidation on finished tasks, WiSE-FT, and joint training."""

import copy

import pytest
import slow_reference as slow
import torch
from world import Spy, equal_weights, made_stream, naive, named_stock_stream, quiet, tiny_model, weights_of

from avalanche_gift.training import EWC, FineTune, WiSEFT
from avalanche_gift.training.plugins import OnlineEWCPlugin, WiSEFTPlugin

COMMON = {"train_iterations": 3, "lr": 1e-3, "train_mb_size": 6, "evaluator": quiet}
COUNTS = (3, 2)


def trained(strategy, stream=None):
    strategy.train((made_stream(COUNTS) if stream is None else stream).train_stream)
    return weights_of(strategy.model)


def fine_tune(*plugins, **kwargs):
    return FineTune(tiny_model(), method_plugins=plugins, **{**COMMON, **kwargs})


def fisher_of(plugin, model):
    return {name: plugin.fisher(f"clip.{name}", None) for name, _ in model.clip.named_parameters() if name != "logit_scale"}


def slow_fisher(clip, images, labels, tokens, batch):
    """By its definition: over batches, the square of the sum of the gradients of -log p(label), over the number of pictures."""
    found = {name: torch.zeros_like(p) for name, p in clip.named_parameters() if name != "logit_scale"}
    for first in range(0, len(images), batch):
        sums = {name: torch.zeros_like(value) for name, value in found.items()}
        for image, label in zip(images[first : first + batch], labels[first : first + batch], strict=True):
            loss = slow.cross_entropy(slow.logits(clip, image[None], tokens), label[None], smoothing=0.0)
            for name, gradient in slow.gradients(clip, loss).items():
                sums[name] += gradient
        for name in found:
            found[name] += sums[name] ** 2 / len(images)
    return found


def same(ours, expected, rtol=1e-3):
    for name, value in expected.items():
        torch.testing.assert_close(ours[name].double(), value, rtol=rtol, atol=1e-5 * float(value.max()))


# ---- EWC


@pytest.mark.parametrize("batch", [1, 4, 18])
def test_fisher_is_the_slow_definition_on_the_finished_task(batch):
    stream, plugin = made_stream(COUNTS), OnlineEWCPlugin(batch_size=batch)
    strategy = fine_tune(plugin)
    strategy.train(stream.train_stream[0])
    images, labels = slow.whole_task(stream.train_stream[0])
    clip, tokens = slow.double(strategy.model), slow.class_tokens(strategy.model, 0, COUNTS)
    same(fisher_of(plugin, strategy.model), slow_fisher(clip, images, labels, tokens, batch))
    assert strategy.model.training and all(p.grad is None for p in strategy.model.parameters())


def test_fisher_adds_up_with_the_decay_and_takes_no_more_room():
    stream, plugin = made_stream(COUNTS), OnlineEWCPlugin(1e-6, decay=0.25, batch_size=4)
    strategy = fine_tune(plugin)
    strategy.train(stream.train_stream[0])
    first = {name: value.double().clone() for name, value in fisher_of(plugin, strategy.model).items()}
    strategy.train(stream.train_stream[1])
    images, labels = slow.whole_task(stream.train_stream[1])
    clip, tokens = slow.double(strategy.model), slow.class_tokens(strategy.model, 1, COUNTS)
    fresh = slow_fisher(clip, images, labels, tokens, 4)
    same(fisher_of(plugin, strategy.model), {name: 0.25 * first[name] + value for name, value in fresh.items()})


def test_a_sample_of_the_pictures_is_seeded_and_smaller():
    stream, found = made_stream(COUNTS), []
    for seed in (1, 1, 2):
        plugin = OnlineEWCPlugin(images=5, batch_size=1, seed=seed)
        strategy = fine_tune(plugin)
        strategy.train(stream.train_stream[0])
        found.append(fisher_of(plugin, strategy.model)["visual.proj"])
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_steps_of_the_second_task_are_those_of_the_slow_formula():
    model, lr, weight = tiny_model(), 0.02, 0.05
    stream = made_stream(COUNTS, **slow.PLAIN)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    arguments = {"optimizer": optimizer, "train_iterations": 3, "warmup_iterations": 0, "train_mb_size": 18}
    spy = Spy(before_update=lambda s: (s.loss.item(), float(s.loss_terms.get("ewc", torch.zeros(())))))
    strategy = EWC(model, ewc_weight=weight, fisher_mb_size=2, evaluator=quiet, plugins=[spy], **arguments)
    strategy.train(stream.train_stream[0])
    clip = slow.double(model)
    anchor = slow.weights(clip)
    images, labels = slow.whole_task(stream.train_stream[0])
    fisher = slow_fisher(clip, images, labels, slow.class_tokens(model, 0, COUNTS), 2)
    strategy.train(stream.train_stream[1])

    images, labels = slow.whole_task(stream.train_stream[1])
    tokens = slow.class_tokens(model, 1, COUNTS)
    for step, rate in enumerate((lr, 0.75 * lr, 0.25 * lr)):
        penalty = weight * slow.pull(clip, anchor, fisher)
        loss = slow.cross_entropy(slow.logits(clip, images, tokens), labels) + penalty
        total, term = spy.seen.before_update[3 + step]
        assert total == pytest.approx(loss.item(), rel=1e-4)
        assert term == pytest.approx(penalty.item(), rel=1e-3, abs=1e-9)
        slow.descend(clip, slow.gradients(clip, loss), rate)
    assert spy.seen.before_update[5][1] > 0 == spy.seen.before_update[0][1]
    assert slow.close(weights_of(model), clip, atol=1e-5)


class ZeroFisher(OnlineEWCPlugin):
    def fisher(self, name, parameter):
        return torch.zeros_like(parameter)


def test_zero_fisher_zero_weight_and_the_first_task_are_fine_tuning_bit_for_bit():
    expected = trained(fine_tune())
    assert equal_weights(trained(fine_tune(ZeroFisher(1.0))), expected)
    assert equal_weights(trained(EWC(tiny_model(), ewc_weight=0.0, **COMMON)), expected)
    assert not equal_weights(trained(EWC(tiny_model(), ewc_weight=1.0, **COMMON)), expected)
    alone = made_stream((3, 2)).train_stream[:1]
    first, second = EWC(tiny_model(), **COMMON), fine_tune()
    for strategy in (first, second):
        strategy.train(alone)
    assert equal_weights(weights_of(first.model), weights_of(second.model))


def test_a_heavier_weight_keeps_the_model_nearer_to_the_first_task():
    distances = []
    for weight in (0.0, 1.0, 1e3):
        stream, strategy = made_stream(COUNTS), EWC(tiny_model(), ewc_weight=weight, **COMMON)
        strategy.train(stream.train_stream[0])
        before = weights_of(strategy.model)
        strategy.train(stream.train_stream[1])
        distances.append(
            sum(float((value - before[name]).square().sum()) for name, value in weights_of(strategy.model).items())
        )
    assert distances[0] > distances[1] > distances[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ewc_weight": -1.0}, "consolidation weight >= 0"),
        ({"decay": 1.5}, "decay between 0 and 1, got 1.5"),
        ({"fisher_images": 0}, "at least one picture for the Fisher weights, got 0"),
        ({"fisher_mb_size": 0}, "in batches of 0"),
    ],
)
def test_bad_arguments_of_ewc_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        EWC(tiny_model(), **change)


def test_ewc_works_in_naive_on_stock_streams_and_class_incrementally():
    assert not equal_weights(trained(naive(OnlineEWCPlugin(10.0))), trained(naive()))
    ours = trained(FineTune(tiny_model(), method_plugins=[OnlineEWCPlugin(10.0)], **COMMON), named_stock_stream())
    assert all(value.isfinite().all() for value in ours.values())
    stream = made_stream(class_incremental=True)
    both = [trained(kind(tiny_model(), class_incremental=True, **COMMON), stream) for kind in (EWC, FineTune)]
    assert not equal_weights(*both)


# ---- WiSE-FT


def test_share_zero_is_fine_tuning_bit_for_bit_and_share_one_gives_all_back():
    assert equal_weights(trained(WiSEFT(tiny_model(), share=0.0, **COMMON)), trained(fine_tune()))
    assert equal_weights(trained(WiSEFT(tiny_model(), share=1.0, **COMMON)), weights_of(tiny_model()))


def test_weights_are_merged_after_each_task_and_the_next_one_starts_from_there():
    stream, ours = made_stream(COUNTS), WiSEFT(tiny_model(), **COMMON)
    reference = fine_tune()
    for experience in stream.train_stream:
        before = copy.deepcopy(weights_of(reference.model))
        for strategy in (ours, reference):
            strategy.train(experience)
        with torch.no_grad():
            for name, parameter in reference.model.clip.named_parameters():
                parameter.copy_(0.8 * parameter + 0.2 * before[name])
        for name, value in weights_of(reference.model).items():
            torch.testing.assert_close(weights_of(ours.model)[name], value, rtol=1e-5, atol=1e-7)
        reference.model.clip.load_state_dict(weights_of(ours.model))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_outside_of_zero_to_one_is_refused(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        WiSEFT(tiny_model(), share=share)


def test_wise_ft_works_alone_in_naive_and_evaluation_sees_the_merged_weights():
    assert not equal_weights(trained(naive(WiSEFTPlugin())), trained(naive()))
    benchmark, seen = made_stream(COUNTS), []
    spy = Spy(after_eval_forward=lambda s: seen.append(weights_of(s.model)["visual.proj"]))
    strategy = WiSEFT(tiny_model(), share=1.0, plugins=[spy], eval_every=0, **COMMON)
    strategy.train(benchmark.train_stream, eval_streams=[benchmark.test_stream])
    assert seen and all(torch.equal(value, weights_of(tiny_model())["visual.proj"]) for value in seen)
