"""Experts, gates and routers beside a frozen CLIP: formulas, what moves in training and what does not."""

import copy
import math

import open_clip
import pytest
import torch
import torch.nn.functional as F
from avalanche.training.supervised import Naive
from open_clip.transformer import ResidualAttentionBlock
from safetensors.torch import load, save
from torch import nn
from world import (
    Spy,
    WordTokenizer,
    augment,
    equal_weights,
    made_stream,
    named_stock_stream,
    plain,
    quiet,
    tiny_model,
    weights_of,
)

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.models.moe_adapters import BlockAdapter, Expert, attach_adapters, top_gate
from avalanche_gift.training import MoEAdapters
from avalanche_gift.training.moe_adapters import FEW_SHOT_RATES, FULL_SHOT_RATES
from avalanche_gift.training.plugins import MoEAdaptersPlugin, WarmupCosinePlugin, clip_optimizer
from avalanche_gift.training.state import restore_strategy, strategy_state

SMALL = {"experts": 4, "bottleneck": 3}


def adapted(tasks=(0,), seed=0, **kwargs):
    """A tiny model with adapters whose every weight is random, so that each one counts."""
    model = tiny_model()
    adapters = attach_adapters(model, **SMALL, **kwargs)
    for task in tasks:
        adapters.add_task(task)
    drawing = torch.Generator().manual_seed(seed)
    for parameter in adapters.parameters():
        parameter.data.normal_(generator=drawing)
    model.set_classes(["cat", "dog", "owl"])
    return model.eval()


def images(count=5, seed=1):
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def block_adapter(width=2, experts=3, bottleneck=2, dropout=0.0):
    drawing = torch.Generator().manual_seed(0)
    adapter = BlockAdapter(
        width, experts, top=2, evaluation_noise=False, bottleneck=bottleneck, dropout=dropout, drawing=drawing
    )
    adapter.add_task("0")
    adapter.task = "0"
    return adapter


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.adapters.state_dict().items()}


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


# ---- formulas


def test_the_gate_is_the_softmax_of_the_two_largest_logits_and_zero_elsewhere():
    gates = top_gate(torch.tensor([[1.0, 0.0, -1.0], [0.0, 3.0, 1.0]]), 2)
    a, b = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))
    torch.testing.assert_close(gates, torch.tensor([[a, 1 - a, 0.0], [0.0, b, 1 - b]]))


def test_noise_of_learned_strength_moves_the_gate_in_training_only():
    adapter = block_adapter()
    adapter.routers["0"].data = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]])
    adapter.noises["0"].data = torch.tensor([[0.5, -1.0, 0.0], [0.0, 0.0, 2.0]])
    first = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    torch.testing.assert_close(adapter.eval().gate(first), top_gate(torch.tensor([[1.0, 0.0, -1.0], [1.0, 2.0, -1.0]]), 2))
    adapter.train().generator = torch.Generator().manual_seed(3)
    noise = torch.randn(2, 3, generator=torch.Generator().manual_seed(3))
    strength = torch.tensor([[math.log1p(math.exp(x)) for x in row] for row in ([0.5, -1.0, 0.0], [0.5, -1.0, 2.0])]) + 0.01
    expected = top_gate(torch.tensor([[1.0, 0.0, -1.0], [1.0, 2.0, -1.0]]) + noise * strength, 2)
    torch.testing.assert_close(adapter.gate(first), expected)


def test_evaluation_noise_is_an_option():
    first = torch.randn(4, 16)
    silent, noisy = (adapted(evaluation_noise=on).adapters.image[0] for on in (False, True))
    for adapter in (silent, noisy):
        adapter.task = "0"
    assert torch.equal(silent.gate(first), silent.gate(first))
    assert not torch.equal(noisy.gate(first), noisy.gate(first))


def test_an_expert_is_a_tenth_of_up_of_relu_of_down():
    expert = Expert(2, 2, 0.1, torch.Generator()).eval()
    expert.load_state_dict(
        {
            "down.weight": torch.tensor([[1.0, 2.0], [3.0, -1.0]]),
            "down.bias": torch.tensor([0.5, -2.0]),
            "up.weight": torch.tensor([[2.0, 1.0], [-1.0, 1.0]]),
            "up.bias": torch.tensor([1.0, 0.0]),
        }
    )
    # down: [1 + 2 * 1 + .5, 3 - 1 - 2] = [3.5, 0]; up: [2 * 3.5 + 1, -3.5]
    torch.testing.assert_close(expert(torch.tensor([1.0, 1.0])), torch.tensor([0.8, -0.35]))


def test_experts_begin_with_kaiming_downs_and_zero_ups():
    expert = Expert(50, 40, 0.1, torch.Generator().manual_seed(0))
    bound = 1 / math.sqrt(50)
    assert 0.95 * bound < expert.down.weight.abs().max() <= bound
    assert not any(tensor.any() for tensor in (expert.down.bias, expert.up.weight, expert.up.bias))


def test_dropout_scales_what_it_keeps_and_draws_from_the_generator_given():
    expert = Expert(3, 1000, 0.25, torch.Generator().manual_seed(0))
    expert.up = nn.Identity()
    x = torch.ones(3)
    full = expert.eval()(x)
    once, again = (expert.train()(x, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(once, again)
    alive = full > 0
    kept = once[alive] > 0
    torch.testing.assert_close(once[alive][kept], full[alive][kept] / 0.75)
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.06)


def test_value_and_gradient_of_a_block_equal_a_slow_reference_in_float64():
    torch.manual_seed(0)
    block, adapter = ResidualAttentionBlock(8, 2).double(), block_adapter(8, 5, 3).double()
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(4, 6, 8, dtype=torch.float64)
    mlp_only = copy.deepcopy(block)
    adapter.eval().attach(block)

    def slow(x):
        stream = x + mlp_only.attn(*[mlp_only.ln_1(x)] * 3, need_weights=False)[0]
        rows = []
        for sequence in stream:
            logits = sequence[0] @ adapter.routers["0"]
            best = sorted(range(5), key=lambda e: -logits.tolist()[e])[:2]
            weights = torch.stack([logits[e].exp() for e in best])
            weights = weights / weights.sum()
            out = sequence + mlp_only.mlp(mlp_only.ln_2(sequence))
            for weight, e in zip(weights, best, strict=True):
                expert = adapter.experts[e]
                hidden = (sequence @ expert.down.weight.T + expert.down.bias).clamp(min=0)
                out = out + weight * 0.1 * (hidden @ expert.up.weight.T + expert.up.bias)
            rows.append(out)
        return torch.stack(rows)

    found = []
    for run in (block, slow):
        leaf = x.clone().requires_grad_()
        adapter.zero_grad()
        value = run(leaf)
        (value.sin() * torch.arange(8)).sum().backward()
        used = {name: p.grad.clone() for name, p in adapter.named_parameters() if p.grad is not None}
        found.append((value.detach(), leaf.grad, used))
    torch.testing.assert_close(found[0], found[1])
    assert "routers.0" in found[0][2]


def test_both_orders_of_the_axes_give_the_same():
    torch.manual_seed(0)
    first, second = ResidualAttentionBlock(8, 2), ResidualAttentionBlock(8, 2, batch_first=False)
    second.load_state_dict(first.state_dict())
    adapter = block_adapter(8, 5, 3).eval()
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    for block in (first, second):
        adapter.attach(block)
    x = torch.randn(4, 6, 8)
    torch.testing.assert_close(second(x.transpose(0, 1)).transpose(0, 1), first(x))


# ---- beside a whole CLIP


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()  # With gradients torch multiplies in another order, and the frozen model rounds otherwise than the trained.
def test_before_training_the_model_gives_what_the_plain_one_gives(tiny_model, training):
    plain_model = copy.deepcopy(tiny_model).requires_grad_(False)
    adapters = attach_adapters(tiny_model)
    adapters.add_task(0)
    adapters.use(0)
    pictures = torch.randn(6, 3, 32, 32)
    for model in (plain_model, tiny_model):
        model.set_classes(["cat", "dog", "owl"])
        model.train(training)
    # To rounding: beside adapters the last block runs for all tokens, without them for the pooled one alone.
    torch.testing.assert_close(tiny_model(pictures), plain_model(pictures), rtol=0, atol=1e-5)


@torch.no_grad()
def test_without_a_task_in_use_trained_adapters_change_nothing():
    model, bare = adapted(), tiny_model().eval().requires_grad_(False)
    bare.set_classes(["cat", "dog", "owl"])
    with_none = model(images())
    model.adapters.use(0)
    with_task = model(images())
    model.adapters.use(None)
    torch.testing.assert_close(with_none, bare(images()), rtol=0, atol=1e-5)  # the last block is computed otherwise
    assert torch.equal(with_none, model(images()))
    assert (with_task - with_none).abs().max() > 0.1


def test_all_texts_of_a_causal_tower_get_the_same_gate_and_pictures_their_own(tiny_model):
    adapters = attach_adapters(tiny_model.eval())
    adapters.add_task(0)
    adapters.use(0)
    for parameter in adapters.parameters():
        nn.init.normal_(parameter, std=0.3)
    gates = {"text": [], "image": []}
    for tower, found in gates.items():
        for block in getattr(adapters, tower):
            block.register_forward_hook(lambda b, inputs, _, found=found: found.append(b.gate(inputs[0][:, 0])))
    tiny_model.encode_text(tiny_model.tokenize(["cat", "a long photo of a dog", "owl by night"]))
    tiny_model.encode_image(torch.randn(3, 3, 32, 32))
    assert len(gates["text"]) == len(gates["image"]) == 2
    for gate in gates["text"]:
        torch.testing.assert_close(gate, gate[:1].expand_as(gate))
    assert not torch.allclose(gates["image"][1][0], gates["image"][1][1])


@torch.no_grad()
def test_kept_class_features_follow_the_router_in_use_and_the_adapters_weights():
    model = adapted(tasks=(0, 1))

    def fresh():
        return copy.deepcopy(model).eval().class_features()

    seen = []
    for task in (0, 1, None, 0):
        model.adapters.use(task)
        features = model.class_features()
        assert torch.equal(features, fresh())
        assert model.class_features() is features
        seen.append(features)
    assert torch.equal(seen[0], seen[3]) and len({float(f.sum()) for f in seen}) == 3
    for parameter in model.adapters.text.parameters():
        parameter.mul_(2)
    assert not torch.equal(model.class_features(), seen[0]) and torch.equal(model.class_features(), fresh())


def test_a_deep_copy_has_adapters_of_its_own():
    model = adapted()
    model.adapters.use(0)
    before = model(images())
    twin = copy.deepcopy(model)
    for parameter in twin.adapters.parameters():
        parameter.data.zero_()
    assert torch.equal(model(images()), before)
    twin.adapters.use(None)
    assert model.adapters.task == 0 and not torch.equal(twin(images()), before)


def test_state_goes_through_named_tensors_and_back():
    model = adapted(tasks=(0, 3))
    model.adapters.image[0].frozen[2] = True
    stored = save(model.adapters.state_dict())
    other = tiny_model()
    attach_adapters(other, **SMALL, seed=9).load_state_dict(load(stored))
    assert other.adapters.tasks == [0, 3] and other.adapters.image[0].frozen.tolist() == [False, False, True, False]
    other.set_classes(["cat", "dog", "owl"])
    for each in (model, other.eval()):
        each.adapters.use(3)
    assert torch.equal(model(images()), other(images()))
    assert model.clip.state_dict().keys() == tiny_model().clip.state_dict().keys()


def test_models_that_can_not_be_adapted_say_why():
    with pytest.raises(ValueError, match="without adapters"):
        attach_adapters(adapted())
    with pytest.raises(TypeError, match="CLIPClassifier, got Linear"):
        attach_adapters(nn.Linear(2, 2))
    resnet = open_clip.CLIP(
        8, {"layers": (1, 1, 1, 1), "width": 8, "image_size": 32}, {"width": 8, "heads": 1, "layers": 1, "vocab_size": 9}
    )
    model = CLIPClassifier(resnet, WordTokenizer(), train_transform=augment(), eval_transform=plain())
    with pytest.raises(TypeError, match=r"image tower.*got ModifiedResNet"):
        attach_adapters(model)
    for wrong in ({"experts": 1}, {"bottleneck": 0}, {"dropout": 1.0}, {"top": 0}):
        with pytest.raises(ValueError, match="expected 1 <= top"):
            attach_adapters(tiny_model(), **wrong)
    with pytest.raises(ValueError, match="expected a task with a router"):
        adapted().adapters.use(5)


# ---- training


def naive(*plugins, model, **kwargs):
    return Naive(
        model=model,
        optimizer=clip_optimizer(model, lr=1e-2, weight_decay=0.1),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=6,
        plugins=[*plugins],
        evaluator=quiet(),
        **kwargs,
    )


def strategy_of(**kwargs):
    settings = {**SMALL, "train_iterations": 5, "train_mb_size": 8, "oracle": True, "base_lr": 1e-2, "evaluator": quiet()}
    return MoEAdapters(tiny_model(), **{**settings, **kwargs})


def test_in_plain_naive_only_free_experts_and_the_routers_of_the_task_move():
    model = tiny_model()
    attach_adapters(model, **SMALL)
    clip = weights_of(model)
    strategy = naive(MoEAdaptersPlugin(freeze=1), model=model)
    states, frozen = [state_of(model)], [set()]
    for experience in made_stream((3, 2, 2)).train_stream:
        strategy.train(experience)
        states.append(state_of(model))
        frozen.append({(name, e) for name, mask in states[-1].items() if name.endswith("frozen") for e in mask.nonzero()[:, 0]})
    assert equal_weights(clip, weights_of(model))
    for task in (1, 2):
        changed = moved(states[task], states[task + 1])
        assert {name for name in changed if ".routers." in name or ".noises." in name} == set()
        new = states[task + 1].keys() - states[task].keys()
        assert {name.rsplit(".", 1)[1] for name in new} == {str(task)} and all(states[task + 1][name].any() for name in new)
        for name, number in frozen[task]:
            expert = name.replace("frozen", f"experts.{number}.")
            assert not any(name.startswith(expert) for name in changed)
        assert any(".experts." in name for name in changed)
    assert all(any(name == f"{tower}.0.frozen" for name, _ in frozen[1]) for tower in ("image", "text"))


def test_usage_counts_gates_above_zero_in_training_and_the_most_used_are_frozen():
    strategy = strategy_of(freeze=2)
    counts = {}
    hooks = Spy(before_training_exp=lambda s: [b.register_forward_hook(count) for b in s.model.adapters.blocks()])

    def count(block, inputs, _):
        if block.training:
            counts.setdefault(block, []).append(len(inputs[0]))

    strategy.plugins.insert(0, hooks)
    benchmark = made_stream((3, 2))
    strategy.train(benchmark.train_stream[0], eval_streams=[benchmark.test_stream])
    strategy.eval(benchmark.test_stream)
    for block in strategy.model.adapters.blocks():
        assert block.usage.sum() == 2 * sum(counts[block])
        order = block.usage.sort(descending=True, stable=True).indices
        assert set(block.frozen.nonzero().flatten().tolist()) == set(order[:2].tolist())
    strategy.train(benchmark.train_stream[1])
    for block in strategy.model.adapters.blocks():
        assert 2 <= block.frozen.sum() <= 4


def test_the_optimiser_of_the_strategy_trains_adapters_only_and_learns():
    strategy = strategy_of(train_iterations=40, base_lr=0.1)
    clip = weights_of(strategy.model)
    losses = Spy(before_update=lambda s: s.loss.item())
    strategy.plugins.insert(0, losses)
    strategy.train(made_stream((3,)).train_stream)
    assert equal_weights(clip, weights_of(strategy.model))
    assert sum(losses.seen.before_update[-10:]) < 0.95 * sum(losses.seen.before_update[:10])


def test_nested_evaluations_leave_training_as_it_is():
    benchmark = made_stream((3, 2))
    ends = []
    for every in (-1, 1):
        strategy = strategy_of(eval_every=every)
        for experience in benchmark.train_stream:
            strategy.train(experience, eval_streams=[benchmark.test_stream])
        ends.append(state_of(strategy.model))
    assert not moved(*ends)


def test_with_the_oracle_each_experience_has_its_own_router_and_later_ones_the_plain_model():
    strategy = strategy_of()
    benchmark = made_stream((3, 2, 2))
    used = Spy(after_eval_forward=lambda s: (s.experience.current_experience, s.model.adapters.task))
    strategy.plugins.append(used)
    strategy.eval(benchmark.test_stream)
    assert set(used.seen.after_eval_forward) == {(0, None), (1, None), (2, None)}
    used.seen.after_eval_forward.clear()
    strategy.train(benchmark.train_stream[:2])
    strategy.eval(benchmark.test_stream)
    assert set(used.seen.after_eval_forward) == {(0, 0), (1, 1), (2, None)}


def test_the_class_incremental_form_has_one_router_and_freezes_nothing():
    strategy = strategy_of(class_incremental=True, experts=None, oracle=False)
    benchmark = made_stream((3, 2, 2), class_incremental=True)
    strategy.train(benchmark.train_stream)
    strategy.eval(benchmark.test_stream)
    adapters = strategy.model.adapters
    assert adapters.tasks == [0] and adapters.task == 0
    assert all(len(block.experts) == 2 and not block.frozen.any() for block in adapters.blocks())
    assert strategy._criterion.label_smoothing == 0
    logits = torch.randn(2, 3)
    torch.testing.assert_close(strategy._criterion(logits, torch.tensor([0, 2])), F.cross_entropy(logits, torch.tensor([0, 2])))


def test_avalanches_own_streams_are_trained_on_too():
    model = tiny_model()
    attach_adapters(model, **SMALL)
    strategy = naive(MoEAdaptersPlugin(), model=model)
    stream = named_stock_stream()
    strategy.train(stream.train_stream)
    strategy.eval(stream.test_stream)
    assert model.adapters.tasks == [0, 1, 2] and model.adapters.task == 2


def test_another_stream_is_scored_without_adapters_and_not_trained():
    strategy, spy = strategy_of(train_iterations=1), Spy(after_eval_forward=lambda s: s.model.adapters.task)
    strategy.plugins.append(spy)
    strategy.train(made_stream((3, 2)).train_stream[:1])
    strategy.eval(made_stream((3, 2)).test_stream[:1])  # of equal classes: the same stream
    strategy.eval(made_stream((2, 3)).test_stream[:1])
    assert set(spy.seen.after_eval_forward) == {0, None} and spy.seen.after_eval_forward[-1] is None
    with pytest.raises(ValueError, match=r"stream that the routers belong to \(cat/dog/owl, car/bus\).*cat/dog, owl/car/bus"):
        strategy.train(made_stream((2, 3)).train_stream)


def test_learning_rates_go_by_the_name_of_the_task():
    assert FULL_SHOT_RATES.keys() == FEW_SHOT_RATES.keys() and len(FULL_SHOT_RATES) == 11
    strategy = strategy_of(rates={"task1": 0.5}, base_lr=0.25)
    schedule = next(plugin for plugin in strategy.plugins if isinstance(plugin, WarmupCosinePlugin))
    stream = made_stream((3, 2), learning_rates=(7.0, 7.0)).train_stream
    assert [schedule.base_lr(experience, 0) for experience in stream] == [0.25, 0.5]


def test_footprint_counts_experts_and_routers_but_no_noise_that_evaluation_lacks():
    experts = 4 * (16 * 3 + 3 + 3 * 16 + 16)
    for noisy, of_a_task in ((False, 16 * 4), (True, 2 * 16 * 4)):
        strategy = strategy_of(evaluation_noise=noisy)
        strategy.train(made_stream((3, 2)).train_stream)
        plugin = next(each for each in strategy.plugins if isinstance(each, MoEAdaptersPlugin))
        assert plugin.footprint() == {"extra_parameters": 2 * (experts + 2 * of_a_task)}


def test_plugins_without_adapters_or_with_wrong_numbers_say_so():
    with pytest.raises(ValueError, match="attach_adapters"):
        naive(MoEAdaptersPlugin(), model=tiny_model()).train(made_stream((3,)).train_stream)
    for wrong in ({"freeze": -1}, {"one_router": True, "oracle": True}):
        with pytest.raises(ValueError, match="expected"):
            MoEAdaptersPlugin(**wrong)


def test_a_run_goes_on_from_its_state_as_if_it_had_not_stopped():
    benchmark = made_stream((3, 2, 2))
    through = strategy_of(freeze=1)
    through.train(benchmark.train_stream[:2])
    state = copy.deepcopy(strategy_state(through))
    through.train(benchmark.train_stream[2])
    resumed = strategy_of(freeze=1)
    restore_strategy(resumed, state)
    resumed.train(benchmark.train_stream[2])
    assert not moved(state_of(through.model), state_of(resumed.model))
    shapes = [[p.shape for p in each.optimizer.param_groups[0]["params"]] for each in (through, resumed)]
    assert shapes[0] == shapes[1]
