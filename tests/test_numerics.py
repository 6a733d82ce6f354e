"""Arithmetic that is asked for: towers in bfloat16 and float16, blocks computed again, blocks compiled, TF32."""

import copy
import dataclasses
from itertools import pairwise

import pytest
import torch
from avalanche.core import SupervisedPlugin
from test_resume import SMALL, STRATEGIES, After, run_small
from world import MadePictures, made_stream, quiet, tiny_model, weights_of

from avalanche_gift import GIFT
from avalanche_gift.config import RunConfig, differences
from avalanche_gift.interruption import Interrupted
from avalanche_gift.models import set_numerics
from avalanche_gift.models.loss_scaling import LossScaling, NonFiniteGradientsError
from avalanche_gift.run import run
from avalanche_gift.training.checkpoint_files import CheckpointError, Checkpoints
from avalanche_gift.training.plugins.consolidation import ConsolidationPlugin
from avalanche_gift.training.state import restore_strategy, strategy_state


def trained(*, scale=None, **numerics):
    """A GIFT strategy after two short tasks. scale: of losses in float16, to begin with."""
    torch.manual_seed(0)
    model = tiny_model()
    set_numerics(model, **numerics)
    if scale is not None:
        model.loss_scaling = LossScaling(scale)
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


@pytest.mark.parametrize("numerics", [{"precision": "bf16"}, {"precision": "fp16", "scale": 1024.0}], ids=["bf16", "fp16"])
def test_towers_of_two_bytes_train_near_those_in_float32_with_float32_weights_and_losses(usual, numerics):
    strategy = trained(**numerics)
    if scaling := strategy.model.loss_scaling:
        assert scaling.scale == 1024.0  # no step was left out
    assert {tensor.dtype for tensor in strategy.model.state_dict().values()} == {torch.float32}
    assert all(torch.isfinite(term) and term.dtype == torch.float32 for term in strategy.loss_terms.values())
    for name, term in usual.loss_terms.items():
        assert float(strategy.loss_terms[name]) == pytest.approx(float(term), rel=0.1, abs=1e-3), name
    # Adam moves each weight by at most about the rate a step: twelve of up to 1e-3 in either run.
    assert 1e-6 < largest_difference(strategy, usual) < 2.4e-2


def test_losses_of_towers_in_float16_find_a_scale_that_their_gradients_bear():
    strategy = trained(precision="fp16", scale=2.0**20)
    assert 1.0 < strategy.model.loss_scaling.scale < 2.0**20
    assert all(tensor.isfinite().all() for tensor in strategy.model.state_dict().values())
    assert strategy.model.loss_scaling.state_dict()["_growth_tracker"] > 0  # and trained with it


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_the_precision_is_what_the_towers_compute_in_and_nothing_else(usual, precision, dtype):
    model = copy.deepcopy(usual.model)
    set_numerics(model, precision=precision)
    seen = []
    model.clip.visual.transformer.resblocks[0].mlp.c_fc.register_forward_hook(lambda _, inputs, out: seen.append(out.dtype))
    logits = model(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert seen == [dtype] and logits.dtype == torch.float32


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


def weights_after(strategy, scale=None, tasks=2, iterations=6):
    """Of a strategy in float32, whose losses are scaled nevertheless where a scale is given."""
    torch.manual_seed(0)
    model = tiny_model()
    if scale is not None:
        model.loss_scaling = LossScaling(scale)
    trained = strategy(model=model, evaluator=quiet(), train_iterations=iterations, train_mb_size=4, lr=1e-3, seed=3)
    for experience in made_stream((3, 2)[:tasks], per_class=3).train_stream:
        trained.train(experience, eval_streams=[])
    return trained, weights_of(model)


@pytest.mark.parametrize("name", ["finetune", "ewc", "ewc-v", "gift", "lwf", "zscl"])
def test_scaling_and_its_undoing_between_the_passes_leave_every_weight_as_it_is(name):
    _, wanted = weights_after(STRATEGIES[name])
    strategy, found = weights_after(STRATEGIES[name], scale=2.0**16)
    # Only the smallest numbers differ: scaled, they are not yet so small that float32 has fewer digits for them.
    assert strategy.model.loss_scaling.scale == 2.0**16
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["finetune", "gift", "zscl"])
def test_a_step_whose_gradient_overflows_is_left_out_and_the_scale_halved(name):
    seen = []

    class Watching(SupervisedPlugin):
        def before_update(self, strategy, **kwargs):
            self.before = weights_of(strategy.model)
            assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in strategy.model.parameters())

        def after_update(self, strategy, **kwargs):
            moved = any(not torch.equal(self.before[key], value) for key, value in weights_of(strategy.model).items())
            seen.append((moved, strategy.model.loss_scaling.scale))

    begin = 2.0**127  # times a loss above two this is infinite in float32
    weights_after(lambda **common: STRATEGIES[name](plugins=[Watching()], **common), begin, tasks=1, iterations=25)
    assert not seen[0][0] and seen[-1][0]
    scales = [begin, *(scale for _, scale in seen)]
    assert [after / before for before, after in pairwise(scales)] == [1.0 if moved else 0.5 for moved, _ in seen]


class FisherOfTheSecondTask(SupervisedPlugin):
    """What a strategy has measured before its second task begins, where it begins to measure with this scale."""

    def __init__(self, scale):
        super().__init__()
        self.begin = scale

    def after_training_exp(self, strategy, **kwargs):
        strategy.model.loss_scaling = LossScaling(self.begin)

    def before_training_iteration(self, strategy, **kwargs):
        if (strategy.clock.train_exp_counter, strategy.clock.train_exp_iterations) == (1, 0):
            plugin = next(each for each in strategy.plugins if isinstance(each, ConsolidationPlugin))
            self.fisher, self.scale = dict(plugin._fisher), strategy.model.loss_scaling.scale


@pytest.mark.parametrize("name", ["ewc", "ewc-v"])
def test_fisher_weights_outside_a_step_are_measured_again_at_half_the_scale(name):
    usual, scaled = FisherOfTheSecondTask(1.0), FisherOfTheSecondTask(2.0**127)
    for plugin in (usual, scaled):
        weights_after(lambda plugin=plugin, **common: STRATEGIES[name](plugins=[plugin], **common), scale=1.0)
    assert usual.scale == 1.0 and 2.0**16 < scaled.scale < 2.0**127
    assert any(float(value.sum()) > 0 for value in usual.fisher.values())
    torch.testing.assert_close(scaled.fisher, usual.fisher)


def test_the_scale_grows_after_two_thousand_good_steps():
    scaling, parameter = LossScaling(4.0), torch.nn.Parameter(torch.ones(2))
    for step in range(2000):
        assert scaling.scale == 4.0, step
        for _ in range(2):
            with scaling.around(parameter.sum(), [parameter]) as loss:
                loss.backward()
        assert scaling.finish()
    assert scaling.scale == 8.0 and parameter.grad.tolist() == [4000.0, 4000.0]


def test_gradients_that_are_not_finite_at_any_scale_are_an_error():
    scaling, parameter = LossScaling(2.0), torch.nn.Parameter(torch.ones(2))

    def step():
        with scaling.around((parameter * torch.inf).sum(), [parameter]) as loss:
            loss.backward()
        return scaling.finish()

    assert not step() and scaling.scale == 1.0
    with pytest.raises(NonFiniteGradientsError, match="expected finite gradients, got NaN or infinity although"):
        step()


def test_a_run_in_float16_that_is_cut_off_goes_on_with_its_scale(tmp_path):
    config = dataclasses.replace(SMALL, numerics={"precision": "fp16"})
    wanted = run_small(tmp_path / "whole", config=config)
    with pytest.raises(Interrupted):
        run_small(tmp_path / "cut", After(asks=5), config)
    checkpoints = Checkpoints(tmp_path / "cut" / "checkpoints")
    kept = checkpoints.read(*checkpoints.newest())["loss_scaling"]
    assert kept["scale"] <= 2.0**16 and (kept["scale"] < 2.0**16 or kept["_growth_tracker"] == 5)
    found = run_small(tmp_path / "cut", config=config)
    assert found["accuracy"] == wanted["accuracy"]
    losses = [(tmp_path / folder / "csv" / "scalars.csv").read_text() for folder in ("whole", "cut")]
    assert losses[0] == losses[1]


def test_a_state_of_another_precision_is_refused(usual):
    half = trained(precision="fp16")
    half.model.loss_scaling = LossScaling(8.0)
    state = strategy_state(half)
    with pytest.raises(CheckpointError, match="its towers are of another precision"):
        restore_strategy(usual, state)
    half.model.loss_scaling = LossScaling()
    restore_strategy(half, state)
    assert half.model.loss_scaling.scale == 8.0


def test_strategies_whose_steps_cannot_be_left_out_refuse_float16(tmp_path):
    with pytest.raises(ValueError, match="expected float32 or bf16 for static_fisher=reference"):
        weights_after(STRATEGIES["ewc-v reference"], scale=1.0)
    config = RunConfig(strategy="avalanche-ewc", benchmark="mini", model="mini", numerics={"precision": "fp16"})
    with pytest.raises(ValueError, match="expected --precision float32 or bf16 for avalanche-ewc"):
        run(config, tmp_path, lambda _: None)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"unknown precision 'fp8'.*Available: bf16, float32, fp16"):
        set_numerics(tiny_model(), precision="fp8")


def test_configurations_without_numerics_stay_what_they_were_and_those_with_differ():
    usual, fast = (RunConfig(strategy="gift", benchmark="mini", model="mini", numerics=each) for each in ({}, {"tf32": True}))
    assert "numerics" not in usual.settings() and fast.settings()["numerics"] == {"tf32": True}
    assert differences(found=usual.settings(), wanted=fast.settings()) == "numerics: there None, asked {'tf32': True}"
