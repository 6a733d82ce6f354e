"""Avalanche's plugins beside GIFT: each runs right, fails as it does with an MLP in Avalanche, or is refused in one line."""

import functools
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from avalanche.core import BasePlugin
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training import plugins as stock
from stock_plugins import EVERY_ITERATION, STOCK, beside_gift, combinations
from torch.func import functional_call
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR
from torch.utils.data import DataLoader
from torchvision.models.feature_extraction import create_feature_extractor
from world import BASE_PROMPTS, MadePictures, Spy, made_stream, quiet, tiny_model

from avalanche_gift.training import GIFT, FineTune
from avalanche_gift.training.criterion import ClassificationLoss
from avalanche_gift.training.plugins import UnsupportedPluginError, clip_optimizer
from avalanche_gift.training.plugins.compatibility import REFUSALS, _Layers

PROTOCOLS = pytest.mark.parametrize("class_incremental", [False, True], ids=["task-incremental", "class-incremental"])
NO_METHODS = {"SupervisedPlugin", "BasePlugin", "BaseSGDPlugin", "EvaluationPlugin", "PeriodicEval"}
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated function update:DeprecationWarning")


@functools.cache
def alone(name, class_incremental):
    return beside_gift([name], class_incremental)


def made_types():
    """The classes of the plugins in `STOCK`, by its names."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return {name: [type(plugin) for plugin in each.make(model, optimizer)] for name, each in STOCK.items()}


def test_every_plugin_that_avalanche_offers_is_tried():
    offered = {
        name for name, each in vars(stock).items() if isinstance(each, type) and issubclass(each, BasePlugin)
    } - NO_METHODS
    assert offered == {kind.__name__ for kinds in made_types().values() for kind in kinds}


@PROTOCOLS
@pytest.mark.parametrize("name", STOCK)
def test_a_plugin_alone_runs_or_is_refused(name, class_incremental):
    outcome = alone(name, class_incremental)
    assert outcome.kind in ("ran", "refused"), outcome.text


def test_the_readme_says_which_plugins_work():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+Plugin`.*) \| (.*) \|$", text.split("### Avalanche's plugins beside ours")[1], re.M)
    listed = {plugin: says for plugins, says in rows for plugin in re.findall(r"`(\w+)`", plugins)}
    found: dict[str, set] = {}
    for name, kinds in made_types().items():
        for kind in kinds:
            runs = {protocol for protocol in (False, True) if alone(name, protocol).kind == "ran"}
            found.setdefault(kind.__name__, set()).update(runs)
    expected = {frozenset({False, True}): "work", frozenset({True}): "class-incremental", frozenset(): "refused"}
    assert listed.keys() == found.keys()
    for plugin, runs in found.items():
        assert expected[frozenset(runs)] in listed[plugin] or (plugin == "GEMPlugin" and "quadprog" in listed[plugin]), plugin


@pytest.mark.citizenship
@pytest.mark.parametrize("pool", ["all plugins", "plugins that run alone"])
def test_seventy_random_combinations_run_right_fail_as_an_mlp_does_or_are_refused(pool, capsys):
    names = [name for name in STOCK if pool == "all plugins" or "ran" in {alone(name, each).kind for each in (False, True)}]
    outcomes = {(each, protocol): beside_gift(each, protocol) for each in combinations(names, 70) for protocol in (False, True)}
    with capsys.disabled():
        print(f"\n70 combinations of {pool}, on both kinds of stream: {dict(Counter(o.kind for o in outcomes.values()))}")
        for (each, protocol), outcome in outcomes.items():
            if outcome.kind not in ("ran", "refused"):
                print(f"  {', '.join(each)} ({'class' if protocol else 'task'}-incremental): {outcome.kind}, {outcome.text}")
    assert not [outcome for outcome in outcomes.values() if outcome.kind == "wrong"]


# ---- what is refused


def strategy_with(*plugins, kind=FineTune, model=None, **settings):
    settings = {"train_iterations": 3, "train_mb_size": 8, "lr": 1e-3, "evaluator": quiet(), **settings}
    if kind is GIFT:
        sizes = {"synthetic_images": 8, "synthetic_mb_size": 4, "base_prompts": BASE_PROMPTS}
        settings = {"synthetic": MadePictures(), **sizes, **settings}
    return kind(tiny_model() if model is None else model, plugins=plugins, **settings)


def with_scheduler(schedule=CosineAnnealingLR, *arguments, granularity="iteration", **settings):
    model = tiny_model()
    optimizer = clip_optimizer(model, lr=1e-3)
    plugin = stock.LRSchedulerPlugin(schedule(optimizer, *(arguments or (3,))), step_granularity=granularity)
    return strategy_with(plugin, model=model, **{"optimizer": optimizer, "lr": None, **settings})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: strategy_with(stock.BiCPlugin()), "BiCPlugin, which .*; use ReplayPlugin with LwFPlugin"),
        (lambda: strategy_with(stock.GenerativeReplayPlugin()), "GenerativeReplayPlugin.*; use generator_strategy"),
        (lambda: strategy_with(stock.RARPlugin(4, name_ext_layer="clip.visual")), "RARPlugin.*; use name_ext_layer=None"),
        (lambda: with_scheduler(granularity="epoch"), "LRSchedulerPlugin.*no effect.*; use step_granularity"),
        (lambda: with_scheduler(optimizer=None), "LRSchedulerPlugin.*another optimizer"),
        (lambda: with_scheduler(lr=1e-3), "LRSchedulerPlugin.*; use either"),
        (lambda: with_scheduler(warmup_iterations=1), "LRSchedulerPlugin.*; use either"),
        (lambda: strategy_with(stock.EarlyStoppingPlugin(1, "test")), "EarlyStoppingPlugin.*; use peval_mode"),
        (lambda: strategy_with(stock.EarlyStoppingPlugin(1, "test", peval_mode="iteration")), "; use eval_every"),
        (
            lambda: strategy_with(stock.EarlyStoppingPlugin(1, "test", peval_mode="iteration"), eval_every=1),
            "; use eval_every",
        ),
    ],
)
def test_a_refusal_is_one_line_that_names_the_plugin_and_what_to_use(make, message):
    with pytest.raises(UnsupportedPluginError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_plugin_added_after_construction_is_refused_when_training_begins():
    strategy = strategy_with()
    strategy.plugins.append(stock.LFLPlugin(0.5))
    with pytest.raises(UnsupportedPluginError, match=r"LFLPlugin.*; use LwFPlugin"):
        strategy.train(made_stream().train_stream[0])


def test_without_a_quadratic_solver_gem_is_refused_at_once(monkeypatch):
    monkeypatch.setattr("avalanche_gift.training.plugins.compatibility.find_spec", lambda name: None)
    with pytest.raises(UnsupportedPluginError, match=r"GEMPlugin.*; use AGEMPlugin, or pip install quadprog"):
        strategy_with(stock.GEMPlugin(4, 0.5))


def test_every_refusal_says_what_to_use():
    assert all(refusal.reason and refusal.instead for refusal in REFUSALS)


# ---- what works


def test_a_scheduler_among_the_plugins_sets_the_rate_alone_and_begins_anew_in_each_experience():
    strategy = with_scheduler(LambdaLR, lambda step: 1 / (1 + step))
    spy = Spy(after_update=lambda s: s.optimizer.param_groups[0]["lr"])
    strategy.plugins.append(spy)
    strategy.train(made_stream(learning_rates=(0.1, 0.2, 0.3)).train_stream)
    assert spy.seen.after_update == pytest.approx([1e-3, 1e-3 / 2, 1e-3 / 3] * 3)


def test_early_stopping_by_iteration_ends_its_own_experience_and_no_other():
    stopping = stock.EarlyStoppingPlugin(2, "test_stream", peval_mode="iteration", margin=9.0)
    steps = Spy(after_update=lambda s: s.clock.train_exp_counter)
    evaluator = quiet(accuracy_metrics(stream=True))
    strategy = strategy_with(stopping, steps, train_iterations=8, evaluator=evaluator, **EVERY_ITERATION)
    stream = made_stream()
    with pytest.warns(UserWarning, match="EarlyStopping"):
        strategy.train(stream.train_stream, eval_streams=[stream.test_stream])
    counts = Counter(steps.seen.after_update)
    assert set(counts) == {0, 1, 2} and all(2 <= count < 8 for count in counts.values())


def test_agem_projects_the_gradients_of_task_synthetic_losses_and_consolidation_together():
    def gradients(s):
        return {name: p.grad.clone() for name, p in s.model.named_parameters() if p.grad is not None}

    def contradict(s):
        if agem.buffers:  # so that it always projects
            flat = [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in s.model.parameters()]
            agem.reference_gradients = torch.cat(flat).neg() + 1e-3
        return gradients(s)

    agem = stock.AGEMPlugin(8, 6)
    before, after = Spy(after_backward=contradict), Spy(after_backward=lambda s: (gradients(s), agem.reference_gradients))
    synthetic = Spy(after_forward=gradients)
    strategy_with(synthetic, before, agem, after, kind=GIFT).train(made_stream().train_stream[:2])
    records = zip(synthetic.seen.after_forward, before.seen.after_backward, after.seen.after_backward, strict=True)
    for step, (earlier, total, (projected, reference)) in enumerate(records):
        assert earlier.keys() == total.keys()
        assert any((earlier[name] != 0).any() and not torch.equal(earlier[name], total[name]) for name in total)
        if step < 3:
            assert all(torch.equal(total[name], projected[name]) for name in total)
            continue
        names = [name for name, _ in tiny_model().named_parameters()]
        sizes = [p.numel() for p in tiny_model().parameters()]
        parts = dict(zip(names, reference.split(sizes), strict=True))
        inner = sum((total[name].flatten() * parts[name]).sum() for name in total)
        for name in total:
            expected = total[name].flatten() - inner / reference.square().sum() * parts[name]
            torch.testing.assert_close(projected[name].flatten(), expected)


@PROTOCOLS
def test_mir_adds_the_loss_of_the_samples_that_a_step_would_hurt_most(class_incremental):
    def smoothed(logits, labels):
        return ClassificationLoss()(logits, labels)

    def slowly(s):
        if mir.replay_loader is None:
            return None
        images, labels, tasks = next(mir.replay_loader)
        mir.replay_loader = iter([(images, labels, tasks)] * 2)
        trained = {name: p for name, p in s.model.named_parameters() if p.requires_grad}
        grads = torch.autograd.grad(s.loss, list(trained.values()), retain_graph=True, allow_unused=True)
        rate = s.optimizer.param_groups[0]["lr"]
        steps = zip(trained.items(), grads, strict=True)
        moved = {name: p.detach() if grad is None else p.detach() - rate * grad for (name, p), grad in steps}
        with torch.no_grad():
            ahead = functional_call(s.model, moved, (images, tasks))
            now = s.model(images, tasks)
        rows = range(len(images))
        hurt = [
            float(smoothed(ahead[k : k + 1], labels[k : k + 1]) - smoothed(now[k : k + 1], labels[k : k + 1])) for k in rows
        ]
        chosen = sorted(rows, key=lambda k: hurt[k])[-mir.batch_size_mem :]
        return float(s.loss.detach() + smoothed(now[chosen], labels[chosen]))

    mir = stock.MIRPlugin(2, mem_size=18, subsample=6)
    before, after = Spy(before_backward=slowly), Spy(before_backward=lambda s: float(s.loss.detach()))
    strategy = strategy_with(before, mir, after)
    scale = strategy.model.clip.logit_scale.clone()
    strategy.train(made_stream((3, 3, 3), class_incremental=class_incremental).train_stream)
    pairs = [pair for pair in zip(before.seen.before_backward, after.seen.before_backward, strict=True) if pair[0] is not None]
    assert len(pairs) >= 3
    for expected, found in pairs:
        assert found == pytest.approx(expected, rel=1e-4)
    assert torch.equal(strategy.model.clip.logit_scale, scale) and strategy.model.clip.logit_scale.grad is None
    assert strategy._criterion.reduction == "mean"


def test_rar_sees_the_classifier_as_features_and_logits_and_adds_a_loss():
    rar = stock.RARPlugin(4, mem_size=12)
    before, after = (Spy(before_backward=lambda s: float(s.loss.detach())) for _ in range(2))
    strategy = strategy_with(before, rar, after)
    stream = made_stream(class_incremental=True)
    strategy.train(stream.train_stream[:2])
    added = [b - a for a, b in zip(before.seen.before_backward, after.seen.before_backward, strict=True)]
    assert added[:3] == [0, 0, 0] and all(value > 0.1 for value in added[3:])
    assert rar.name_ext_layer == "features"
    model = strategy.model.eval()
    images, *_ = next(iter(DataLoader(stream.test_stream[0].dataset.eval(), batch_size=9)))
    extractor = create_feature_extractor(_Layers(model), return_nodes=["features"])
    with torch.no_grad():
        torch.testing.assert_close(_Layers(model)(images), model(images))
        torch.testing.assert_close(extractor(images)["features"], model.encode_image(images))
    images.requires_grad_()
    F.cross_entropy(_Layers(model)(images), torch.zeros(9, dtype=torch.long)).backward()
    assert (images.grad != 0).any()


@pytest.mark.parametrize("reduction", ["mean", "none", "sum"])
def test_the_reduction_of_the_task_loss_is_that_of_torch(reduction):
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(6, 4, generator=generator), torch.tensor([0, 3, 1, 1, 2, 0])
    loss = ClassificationLoss(0.2)
    loss.reduction = reduction
    expected = torch.nn.CrossEntropyLoss(label_smoothing=0.2, reduction=reduction)(logits, labels)
    torch.testing.assert_close(loss(logits, labels), expected)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="the reduction mean, sum or none, got 'max'"):
        ClassificationLoss(reduction="max")(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))
