"""Snapshots, Fisher weights and the penalty against hand-worked values and against autograd."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from gauges import LiveBytes

from avalanche_gift.consolidation import (
    NO_GRADIENT_FISHER,
    consolidate_,
    consolidate_adaptively_,
    consolidation_gradient,
    consolidation_penalty,
    fisher_weights,
    interpolate,
    snapshot,
    trainable_parameters,
)


def test_fisher_has_the_hand_worked_weights():
    # Squares 1, 0, 9, 4; their mean 14 / 4 = 3.5.
    weights = fisher_weights(torch.tensor([[1.0, 0.0], [-3.0, 2.0]]))
    torch.testing.assert_close(weights, torch.tensor([[1 / 3.5, 0.0], [9 / 3.5, 4 / 3.5]]))


@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_fisher_has_unit_mean_per_tensor_whatever_the_scale_of_the_gradient(generator, shape, scale):
    gradient = torch.randn(shape, generator=generator) * scale
    weights = fisher_weights(gradient)
    assert weights.shape == gradient.shape
    assert weights.mean().item() == pytest.approx(1, rel=1e-5)


def test_fisher_is_zero_where_the_whole_gradient_is_zero():
    assert torch.equal(fisher_weights(torch.zeros(3, 2)), torch.zeros(3, 2))


def test_fisher_is_a_constant_where_there_is_no_gradient():
    assert fisher_weights(None) == NO_GRADIENT_FISHER == 1e-6


def test_fisher_carries_no_gradient():
    assert not fisher_weights(torch.ones(2, requires_grad=True)).requires_grad


def test_penalty_and_gradient_have_the_hand_worked_values():
    # Differences (2, -1), weights (0.5, 3): 0.5 * 4 + 3 * 1 = 5; gradient 2 * (0.5 * 2, 3 * -1) = (2, -6). Plain: 5, (4, -2).
    parameter, anchor = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 2.0])
    fisher = torch.tensor([0.5, 3.0])
    assert consolidation_penalty(parameter, anchor, fisher).item() == 5
    assert consolidation_gradient(parameter, anchor, fisher).tolist() == [2, -6]
    fisher = torch.tensor([2.0, 3.0])
    assert consolidation_penalty(parameter, anchor, fisher).item() == 11
    assert consolidation_penalty(parameter, anchor).item() == 5
    assert consolidation_gradient(parameter, anchor).tolist() == [4, -2]


@pytest.mark.parametrize("fisher", [1.0, NO_GRADIENT_FISHER, "tensor"])
def test_the_closed_form_is_the_gradient_of_the_penalty(generator, fisher):
    parameter, anchor, weights = (torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    fisher = weights.square() if fisher == "tensor" else fisher
    parameter.requires_grad_()
    (autograd,) = torch.autograd.grad(consolidation_penalty(parameter, anchor, fisher), parameter)
    closed = consolidation_gradient(parameter, anchor, fisher)
    torch.testing.assert_close(closed, autograd, rtol=1e-13, atol=0)
    assert torch.autograd.gradcheck(lambda theta: consolidation_penalty(theta, anchor, fisher), parameter)


def small_network(generator: torch.Generator) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


@pytest.mark.parametrize("adaptive", [True, False])
def test_consolidate_gives_the_net_gradient_of_two_backward_passes(generator, adaptive):
    weight = 0.7
    network = small_network(generator)
    anchors = {
        name: parameter.detach() + 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        for name, parameter in network.named_parameters()
    }
    synthetic, task = (torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(2))

    def synthetic_loss() -> torch.Tensor:
        return network(synthetic).square().sum(1).mean()

    def task_loss() -> torch.Tensor:
        return network(task).log_softmax(1)[:, 0].neg().mean()

    # The reference, in its own words: one backward for the Fisher weights, a second one of the task and the penalty on top.
    network.zero_grad()
    synthetic_loss().backward()
    penalty = torch.zeros((), dtype=torch.float64)
    for name, parameter in network.named_parameters():
        squares = parameter.grad.detach().clone() ** 2
        fisher = squares * squares.numel() / squares.sum() if adaptive else torch.ones_like(squares)
        penalty = penalty + weight * (fisher * (parameter - anchors[name]) ** 2).sum()
    (task_loss() + penalty).backward()
    expected = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}

    network.zero_grad()
    synthetic_loss().backward()
    parts = [
        consolidate_(parameter, anchors[name], weight=weight, fisher=fisher_weights(parameter.grad) if adaptive else 1.0)
        for name, parameter in network.named_parameters()
    ]
    task_loss().backward()
    assert penalty.item() > 0.1
    torch.testing.assert_close(sum(parts), penalty.detach(), rtol=1e-12, atol=0)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_adaptive_consolidation_is_that_of_its_fisher_weights(generator, scale):
    anchor = torch.randn(30, 40, generator=generator, dtype=torch.float64)
    start = anchor + 0.1 * torch.randn(30, 40, generator=generator, dtype=torch.float64)
    gradient = scale * torch.randn(30, 40, generator=generator, dtype=torch.float64)
    pulled = []
    for adaptively in (True, False):
        parameter = nn.Parameter(start.clone())
        parameter.grad = gradient.clone()
        if adaptively:
            penalty = consolidate_adaptively_(parameter, anchor, weight=0.7)
        else:
            penalty = consolidate_(parameter, anchor, weight=0.7, fisher=fisher_weights(gradient))
        pulled.append((penalty, parameter.grad))
    assert pulled[0][0] > 1
    torch.testing.assert_close(pulled[0], pulled[1], rtol=1e-10, atol=1e-10)


def test_adaptive_consolidation_needs_one_temporary_of_the_size_of_the_parameter(generator):
    parameter = nn.Parameter(torch.randn(1000, 100, generator=generator))
    parameter.grad, anchor = torch.randn(1000, 100, generator=generator), torch.randn(1000, 100, generator=generator)
    size = 4 * 1000 * 100
    with LiveBytes() as live:
        live.add([parameter, parameter.grad, anchor])
        live.switch("adaptive")
        consolidate_adaptively_(parameter, anchor, weight=1.0)
        live.switch("stored")
        consolidate_(parameter, anchor, weight=1.0, fisher=fisher_weights(parameter.grad))
    assert size <= live.peak["adaptive"] < 1.1 * size
    assert live.peak["stored"] >= 3 * size


@pytest.mark.parametrize("gradient", [None, torch.zeros(2)])
def test_adaptive_consolidation_without_gradient_pulls_by_the_constant_and_at_a_zero_one_not_at_all(gradient):
    parameter = nn.Parameter(torch.tensor([3.0, 4.0]))
    parameter.grad = gradient
    penalty = consolidate_adaptively_(parameter, torch.zeros(2), weight=2.0)
    share = NO_GRADIENT_FISHER if gradient is None else 0.0
    assert penalty.item() == pytest.approx(2 * share * 25)
    assert parameter.grad.tolist() == pytest.approx([4 * share * 3, 4 * share * 4])


def test_consolidate_uses_the_constant_where_the_synthetic_losses_do_not_reach():
    # Difference 3, weight 2, Fisher 1e-6: penalty 2 * 1e-6 * 9, gradient 2 * 2 * 1e-6 * 3.
    parameter = nn.Parameter(torch.tensor([3.0]))
    penalty = consolidate_(parameter, torch.zeros(1), weight=2.0, fisher=fisher_weights(parameter.grad))
    assert penalty.item() == pytest.approx(1.8e-5)
    assert parameter.grad.item() == pytest.approx(1.2e-5)


def test_consolidate_without_gradient_and_without_fisher_is_plain_l2():
    parameter = nn.Parameter(torch.tensor([[3.0, -1.0]]))
    penalty = consolidate_(parameter, torch.zeros(1, 2), weight=2.0)
    assert penalty.item() == 20  # 2 * (9 + 1)
    assert parameter.grad.tolist() == [[12, -4]]


def test_consolidate_adds_nothing_where_the_gradient_is_zero_and_leaves_the_weights_alone():
    parameter = nn.Parameter(torch.tensor([3.0, 4.0]))
    parameter.grad = torch.zeros(2)
    anchor = torch.zeros(2)
    assert consolidate_(parameter, anchor, weight=1.0, fisher=fisher_weights(parameter.grad)).item() == 0
    assert parameter.grad.tolist() == [0, 0]
    assert parameter.tolist() == [3, 4]
    assert anchor.tolist() == [0, 0]


def test_trainable_parameters_leaves_frozen_ones_out_and_keeps_the_order():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].bias.requires_grad_(False)
    assert [name for name, _ in trainable_parameters(network)] == ["0.weight", "1.weight", "1.bias"]
    assert trainable_parameters(network)[0][1] is network[0].weight


def test_a_snapshot_does_not_follow_the_weights(generator):
    network = small_network(generator)
    taken = snapshot(network.named_parameters())
    kept = {name: tensor.clone() for name, tensor in taken.items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert taken.keys() == dict(network.named_parameters()).keys()
    assert all(torch.equal(taken[name], kept[name]) for name in kept)
    assert not any(tensor.requires_grad for tensor in taken.values())
    taken["0.bias"].zero_()
    assert network[0].bias.abs().min() > 0


def test_interpolate_has_the_hand_worked_value():
    a, b = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([0.0, 10.0])}
    torch.testing.assert_close(interpolate(a, b, share_a=0.2)["w"], torch.tensor([0.2, 8.0]))
    assert torch.equal(interpolate(a, b, share_a=1)["w"], a["w"])
    assert torch.equal(interpolate(a, b, share_a=0)["w"], b["w"])
    assert a["w"].tolist() == [1, 0]
    assert b["w"].tolist() == [0, 10]


def test_interpolate_takes_whole_numbers_from_the_second():
    mixed = interpolate({"steps": torch.tensor(4)}, {"steps": torch.tensor(9)}, share_a=0.5)
    assert mixed["steps"].item() == 9
    assert mixed["steps"].dtype == torch.int64


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_interpolate_refuses_a_share_outside_zero_and_one(share):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {share}"):
        interpolate({"w": torch.ones(1)}, {"w": torch.ones(1)}, share_a=share)


def test_interpolate_names_the_weights_that_only_one_side_has():
    both = torch.ones(1)
    with pytest.raises(ValueError, match=r"only one side has \['bias', 'scale'\]"):
        interpolate({"w": both, "scale": both}, {"w": both, "bias": both}, share_a=0.5)
