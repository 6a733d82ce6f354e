"""Arithmetic that is asked for: bfloat16 towers, blocks computed again, blocks compiled, TF32."""

import copy

import pytest
import torch
from world import MadePictures, made_stream, quiet, tiny_model, weights_of

from avalanche_gift import GIFT
from avalanche_gift.config import RunConfig, differences
from avalanche_gift.models import set_numerics


def trained(**numerics):
    """A GIFT strategy after two short tasks."""
    torch.manual_seed(0)
    model = tiny_model()
    set_numerics(model, **numerics)
    sizes = {"train_mb_size": 6, "synthetic_mb_size": 5, "synthetic_images": 8, "train_iterations": 6}
    strategy = GIFT(model, synthetic=MadePictures(), lr=1e-3, evaluator=quiet(), **sizes)
    stream = made_stream((3, 2))
    for experience in stream.train_stream:
        strategy.train(experience, eval_streams=[])
    strategy.eval(stream.test_stream)
    return strategy


def largest_difference(a, b):
    a, b = weights_of(a.model), weights_of(b.model)
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.fixture(scope="module")
def usual():
    return trained()


def test_bf16_towers_train_near_those_in_float32_with_float32_weights_and_losses(usual):
    strategy = trained(precision="bf16")
    assert {tensor.dtype for tensor in strategy.model.state_dict().values()} == {torch.float32}
    assert all(torch.isfinite(term) and term.dtype == torch.float32 for term in strategy.loss_terms.values())
    for name, term in usual.loss_terms.items():
        assert float(strategy.loss_terms[name]) == pytest.approx(float(term), rel=0.1, abs=1e-3), name
    # Adam moves each weight by at most about the rate a step: twelve of up to 1e-3 in either run.
    assert 1e-6 < largest_difference(strategy, usual) < 2.4e-2


def test_bf16_is_what_the_towers_compute_in_and_nothing_else(usual):
    model = copy.deepcopy(usual.model)
    set_numerics(model, precision="bf16")
    seen = []
    model.clip.visual.transformer.resblocks[0].mlp.c_fc.register_forward_hook(lambda _, inputs, out: seen.append(out.dtype))
    logits = model(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert seen == [torch.bfloat16] and logits.dtype == torch.float32


def test_blocks_computed_again_give_the_same_weights(usual):
    strategy = trained(gradient_checkpointing=True)
    assert strategy.model.clip.transformer.grad_checkpointing and strategy.model.clip.visual.transformer.grad_checkpointing
    assert largest_difference(strategy, usual) < 1e-6


@pytest.mark.slow
def test_compiled_blocks_give_the_same_weights_to_rounding(usual):
    strategy = trained(compile=True)
    assert largest_difference(strategy, usual) < 1e-3


def test_tf32_is_asked_of_pytorch_and_taken_back():
    set_numerics(tiny_model(), tf32=True)
    assert torch.get_float32_matmul_precision() == "high"
    set_numerics(tiny_model())
    assert torch.get_float32_matmul_precision() == "highest"


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"unknown precision 'fp8'.*Available: bf16, float32"):
        set_numerics(tiny_model(), precision="fp8")


def test_configurations_without_numerics_stay_what_they_were_and_those_with_differ():
    usual, fast = (RunConfig(strategy="gift", benchmark="mini", model="mini", numerics=each) for each in ({}, {"tf32": True}))
    assert "numerics" not in usual.settings() and fast.settings()["numerics"] == {"tf32": True}
    assert differences(found=usual.settings(), wanted=fast.settings()) == "numerics: there None, asked {'tf32': True}"
