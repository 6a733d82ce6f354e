"""Which task a batch belongs to: autoencoders over fixed features, chosen by their error, never by a label."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.supervised import Naive
from safetensors.torch import load, save
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from world import Pictures, made_stream, quiet, tiny_model

from avalanche_gift.benchmarks.pictures import ArrayPictures
from avalanche_gift.config import RunConfig
from avalanche_gift.models import task_selector
from avalanche_gift.models.moe_adapters import attach_adapters
from avalanche_gift.models.task_selector import REFERENCE, Autoencoder, TaskSelector, make_backbone
from avalanche_gift.strategy_arguments import own_arguments
from avalanche_gift.training import MoEAdapters
from avalanche_gift.training.moe_adapters import FEW_SHOT_RATES
from avalanche_gift.training.plugins import MoEAdaptersPlugin, TaskSelectionPlugin, clip_optimizer
from avalanche_gift.training.plugins.grouped_batches import GroupedBatches
from avalanche_gift.training.plugins.task_selection import fit_autoencoder

SMALL = {"code": 8, "iterations": 30, "reference_iterations": 30, "batch_size": 6}


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, dtype=np.float64)))


def constant_autoencoder(value, size=2):
    """Reconstructs everything as `value`."""
    autoencoder = Autoencoder(size, 1)
    nn.init.zeros_(autoencoder.decoder.weight)
    nn.init.constant_(autoencoder.decoder.bias, float(np.log(value / (1 - value))))
    return autoencoder


def selector_of(threshold, **values):
    selector = TaskSelector(lambda images: images, threshold=threshold)
    for slot, value in values.items():
        selector.autoencoders[slot.removeprefix("task")] = constant_autoencoder(value)
    return selector


def logit(value, count=3):
    """Pictures whose features are all `value`."""
    return torch.full((count, 2), float(np.log(value / (1 - value))))


# ---- autoencoders


def test_the_error_of_an_autoencoder_worked_by_hand():
    autoencoder = Autoencoder(2, 2)
    with torch.no_grad():
        autoencoder.encoder.weight.copy_(torch.tensor([[1.0, -1.0], [-4.0, 0.0]]))
        autoencoder.encoder.bias.copy_(torch.tensor([0.5, 1.0]))
        autoencoder.decoder.weight.copy_(torch.tensor([[2.0, 9.0], [-1.0, 9.0]]))
        autoencoder.decoder.bias.copy_(torch.tensor([0.0, 0.25]))
    # code: relu([.5 - .2 + .5, -2 + 1]) = [.8, 0]; reconstruction: sigmoid([1.6, -.55])
    first = ((sigmoid([1.6, -0.55]) - [0.5, 0.2]) ** 2).sum()
    # code: relu([.1 - .6 + .5, -.4 + 1]) = [0, .6]; reconstruction: sigmoid([5.4, 5.65])
    second = ((sigmoid([5.4, 5.65]) - [0.1, 0.6]) ** 2).sum()
    error = autoencoder.error(torch.tensor([[0.5, 0.2], [0.1, 0.6]]))
    assert error.item() == pytest.approx((first + second) / 4, rel=1e-5)


def test_fitting_is_adam_with_a_tenth_of_the_rate_after_every_ten_passes():
    torch.manual_seed(0)
    start = Autoencoder(3, 2).double()
    batches = [torch.rand(4, 3, dtype=torch.float64) for _ in range(23)]
    fitted, slow = copy.deepcopy(start), copy.deepcopy(start)
    fit_autoencoder(fitted, batches, batches_a_pass=2, lr=0.01, weight_decay=0.1)
    first = {name: torch.zeros_like(p) for name, p in slow.named_parameters()}
    second = copy.deepcopy(first)
    for step, batch in enumerate(batches, start=1):
        rate = 0.01 if step <= 20 else 0.001
        slow.zero_grad()
        slow.error(batch).backward()
        for name, p in slow.named_parameters():
            gradient = p.grad + 0.1 * p.detach()
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            p.data -= rate * first[name] / (1 - 0.9**step) / ((second[name] / (1 - 0.999**step)).sqrt() + 1e-8)
    for a, b in zip(fitted.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(a, b)


# ---- the choice


def test_the_best_reconstruction_names_the_task():
    selector = selector_of(0.1, reference=0.5, task0=0.2, task4=0.9)
    assert selector.select(logit(0.25)) == 0 and selector.select(logit(0.85)) == 4
    assert selector.errors(logit(0.25)) == pytest.approx({REFERENCE: 0.0625, "0": 0.0025, "4": 0.4225})


def test_the_plain_model_gets_what_looks_like_the_reference_or_like_nothing():
    selector = selector_of(0.01, reference=0.5, task0=0.2)
    assert selector.select(logit(0.45)) is None
    assert selector.select(logit(0.05)) is None, "error 0.0225 is above the threshold"
    assert selector.select(logit(0.11)) == 0
    assert selector_of(0.01).select(logit(0.5)) is None


def test_the_choice_is_made_for_the_mean_of_the_batch():
    selector = selector_of(1.0, task0=0.2, task1=0.8)
    mixed = torch.cat([logit(0.2, 2), logit(0.8, 3)])
    assert [selector.select(row[None]) for row in mixed] == [0, 0, 1, 1, 1] and selector.select(mixed) == 1


def test_the_state_of_a_selector_goes_through_named_tensors_and_back():
    selector = selector_of(0.1, reference=0.5, task0=0.2, task4=0.9)
    other = TaskSelector(lambda images: images, code=1, threshold=0.1)
    other.load_state_dict(load(save(selector.state_dict())))
    assert other.errors(logit(0.3)) == selector.errors(logit(0.3))


# ---- backbones


def test_alexnet_ends_with_its_fifth_convolution_before_the_relu(monkeypatch):
    from torchvision import models

    original = models.alexnet
    monkeypatch.setattr(models, "alexnet", lambda weights: original(weights=None))
    backbone = task_selector.alexnet_features()
    assert isinstance(backbone[-1], nn.Conv2d) and sum(isinstance(layer, nn.Conv2d) for layer in backbone) == 5
    selector = TaskSelector(backbone)
    features = selector.features(torch.randn(2, 3, 224, 224))
    assert features.shape == (2, 43264) and features.min() > 0 and features.max() < 1
    assert not any(parameter.requires_grad for parameter in selector.parameters())


def test_alexnet_without_its_weights_says_what_to_do(monkeypatch):
    from torchvision import models

    def offline(weights):
        raise OSError("no network")

    monkeypatch.setattr(models, "alexnet", offline)
    with pytest.raises(OSError, match=r"no network.*backbone='clip'"):
        make_backbone("alexnet", tiny_model())
    with pytest.raises(ValueError, match="did you mean 'pixels'"):
        make_backbone("pixel", tiny_model())


@torch.no_grad()
def test_clip_tokens_are_those_of_the_frozen_tower_whatever_the_adapters_do():
    model = tiny_model().eval().requires_grad_(False)
    backbone = make_backbone("clip", model)
    images = torch.randn(3, 3, 16, 16)
    before = backbone(images)
    assert before.shape == (3, 5, 16)
    adapters = attach_adapters(model, experts=2, bottleneck=2)
    adapters.add_task(0)
    for parameter in adapters.parameters():
        nn.init.normal_(parameter)
    adapters.use(0)
    assert torch.equal(backbone(images), before) and adapters.task == 0


# ---- as a plugin


def trained(*, reference=None, backbone="pixels", threshold=1.0, tasks=2, **kwargs):
    model = tiny_model()
    attach_adapters(model, experts=3, bottleneck=2)
    select = TaskSelectionPlugin(backbone, reference_pictures=reference, threshold=threshold, **{**SMALL, **kwargs})
    strategy = Naive(
        model=model,
        optimizer=clip_optimizer(model),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=9,
        eval_mb_size=12,
        plugins=[MoEAdaptersPlugin(), select],
        evaluator=quiet(),
    )
    benchmark = made_stream((3, 2, 4))
    strategy.eval(benchmark.test_stream)
    assert set(select.chosen) == {(0, None), (1, None), (2, None)}
    strategy.train(benchmark.train_stream[:tasks])
    strategy.eval(benchmark.test_stream)
    return select, strategy


@pytest.mark.parametrize("backbone", ["pixels", "clip"])
def test_in_plain_naive_batches_go_to_the_router_of_their_task(backbone):
    select, _ = trained(backbone=backbone, tasks=3)
    assert {evaluated: task for evaluated, task in select.chosen} == {0: 0, 1: 1, 2: 2}
    assert len(select.chosen) == 3, "every batch of an experience to the same"


@pytest.mark.parametrize(
    ("rows", "batch_size", "size", "lengths", "groups"),
    [
        (300, 128, 128, [128, 128, 44], [0, 1, 2]),
        (300, 256, 128, [128, 128, 44], [0, 1, 2]),
        (300, 64, 128, [64, 64, 64, 64, 44], [0, 0, 1, 1, 2]),
        (300, 100, 128, [100, 28, 72, 56, 44], [0, 0, 1, 1, 2]),  # 0-99 | 100-127, 128-199 | 200-255, 256-299
        (5, 3, 2, [2, 1, 1, 1], [0, 1, 1, 2]),
        (4, 8, 2, [2, 2], [0, 1]),
        (2, 1, 128, [1, 1], [0, 0]),
    ],
)
def test_batches_are_cut_where_a_group_is_full_and_no_row_is_lost_or_moved(rows, batch_size, size, lengths, groups):
    images, labels = torch.arange(rows)[:, None].float(), torch.arange(rows)
    loader = DataLoader(TensorDataset(images, labels), batch_size)
    grouped = GroupedBatches(loader, size, rows=rows, batch_size=batch_size)
    found = [(batch, grouped.number, grouped.images) for batch in grouped]
    assert [len(batch[1]) for batch, *_ in found] == lengths and len(grouped) == len(lengths)
    assert [number for _, number, _ in found] == groups
    assert torch.equal(torch.cat([batch[1] for batch, *_ in found]), labels)
    for batch, number, group in found:
        assert torch.equal(batch[0][:, 0], batch[1].float())
        assert torch.equal(group, images[number * size : (number + 1) * size]), "the whole group, read before its first batch"


def test_the_choice_is_for_128_images_whatever_the_batches_of_evaluation():
    """Of 130 images the first 3 look like task 1, the others like task 0: a batch of 3 would go elsewhere."""
    features = torch.cat([logit(0.8, 3), logit(0.2, 127)])
    seen = {}
    for eval_mb_size in (3, 64, 100, 128, 256):
        plugin = TaskSelectionPlugin("pixels", threshold=1.0)
        plugin.selector = selector_of(1.0, task0=0.2, task1=0.8)
        model = tiny_model()
        attach_adapters(model, experts=2, bottleneck=2)
        for task in (0, 1):
            model.adapters.add_task(task)
        strategy = SimpleNamespace(
            model=model,
            device="cpu",
            eval_mb_size=eval_mb_size,
            adapted_dataset=features,
            dataloader=DataLoader(TensorDataset(features), eval_mb_size),
            experience=SimpleNamespace(current_experience=5),
        )
        plugin.before_eval_exp(strategy)
        tasks = []
        for (images,) in strategy.dataloader:
            plugin.before_eval_forward(strategy)
            tasks += [model.adapters.task] * len(images)
        # Group 0: 3 of task 1 and 125 of task 0, mean error to 0.2 (3 x 0.36) / 128, to 0.8 (125 x 0.36) / 128.
        assert tasks == [0] * 130
        seen[eval_mb_size] = dict(plugin.chosen)
    assert all(chosen == {(5, 0): 2} for chosen in seen.values())


def test_accuracies_do_not_depend_on_the_batches_of_evaluation():
    _, strategy = trained(tasks=3, selection_mb_size=5)
    results = []
    for eval_mb_size in (1, 4, 5, 12, 100):
        strategy.eval_mb_size = eval_mb_size
        strategy.evaluator = quiet(accuracy_metrics(experience=True))
        strategy.plugins[-1] = strategy.evaluator
        found = strategy.eval(made_stream((3, 2, 4)).test_stream)
        results.append({key: value for key, value in found.items() if "Top1" in key})
    assert len(results[0]) == 3 and all(result == results[0] for result in results)


def test_task_labels_are_never_looked_at():
    select, strategy = trained(tasks=3)
    experience = made_stream((3, 2, 4)).test_stream[1]
    experience.current_experience = 7
    strategy.eval(experience)
    assert {task for _, task in select.chosen} == {1}


def test_pictures_of_no_task_are_left_to_the_plain_model_and_references_are_not_kept():
    references = Pictures(4, 6, seed=20)
    select, strategy = trained(reference=references)
    assert {evaluated: task for evaluated, task in select.chosen} == {0: 0, 1: 1, 2: None}
    assert strategy.model.adapters.task is None
    assert list(select.selector.autoencoders) == [REFERENCE, "0", "1"] and select.reference_pictures is None
    strict, _ = trained(threshold=1e-6)
    assert {task for _, task in strict.chosen} == {None}


def test_selection_and_global_randomness_leave_each_other_alone():
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        select, _ = trained(reference=Pictures(4, 6, seed=20))
        states.append(select.selector.state_dict())
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name])


def test_footprint_counts_autoencoders_and_a_backbone_of_its_own():
    def count(backbone):
        select, _ = trained(backbone=backbone)
        return select.footprint()["extra_parameters"]

    one = 768 * 8 + 8 + 8 * 768 + 768
    assert TaskSelectionPlugin("pixels").footprint() == {"extra_parameters": 0}
    assert count("pixels") == 2 * one
    assert count(nn.AvgPool2d(1)) == 2 * one
    assert count(nn.Conv2d(3, 3, 1)) == 2 * one + 12


def test_the_strategy_selects_by_a_folder_of_reference_pictures(tmp_path):
    for number in range(6):
        Pictures(4, 6, seed=20)[number][0].save(tmp_path / f"{number}.png")
    strategy = MoEAdapters(
        tiny_model(),
        experts=3,
        bottleneck=2,
        backbone="pixels",
        reference_pictures=tmp_path,
        threshold=1.0,
        code=8,
        selector_iterations=20,
        reference_iterations=20,
        train_iterations=3,
        train_mb_size=6,
        evaluator=quiet(),
    )
    benchmark = made_stream((3, 2, 4))
    strategy.train(benchmark.train_stream[:2])
    strategy.eval(benchmark.test_stream)
    select = next(plugin for plugin in strategy.plugins if isinstance(plugin, TaskSelectionPlugin))
    assert {(0, 0), (1, 1)} <= set(select.chosen) and REFERENCE in select.selector.autoencoders


def test_arguments_by_benchmark(tmp_path):
    def arguments(benchmark, **kwargs):
        return own_arguments(RunConfig(strategy="moe-adapters", benchmark=benchmark, model="mini", **kwargs))

    assert isinstance(arguments("mini")["reference_pictures"], ArrayPictures)
    assert arguments("mini", class_incremental=True) == {}
    assert arguments("mini", options={"oracle": True}) == {"oracle": True}
    with pytest.raises(ValueError, match="expected TinyImageNet"):
        arguments("mtil", data=str(tmp_path))
    (tmp_path / "tiny-imagenet-200" / "train").mkdir(parents=True)
    assert arguments("mtil", data=str(tmp_path)) == {"reference_pictures": tmp_path / "tiny-imagenet-200" / "train"}
    given = {"rates": FEW_SHOT_RATES, "threshold": 0.0585, "reference_pictures": None}
    for iterations, warmup in ((500, 100), (1000, 100), (10, 2)):  # 500 and 100 are the reference's
        few = arguments("mtil", shots=5, options={"reference_pictures": None}, train_iterations=iterations)
        assert few == {**given, "warmup_iterations": warmup}
    assert "warmup_iterations" not in arguments("mtil", options={"reference_pictures": None})


def test_numbers_out_of_range_are_refused():
    for wrong in ({"code": 0}, {"iterations": 0}, {"threshold": 0.0}, {"lr": 0.0}, {"batch_size": 0}, {"selection_mb_size": 0}):
        with pytest.raises(ValueError, match="expected code, iterations"):
            TaskSelectionPlugin(**wrong)


def test_a_restored_plugin_selects_as_the_one_that_was_trained():
    select, strategy = trained(reference=Pictures(4, 6, seed=20))
    other = TaskSelectionPlugin("pixels", reference_pictures=Pictures(4, 6, seed=20), threshold=1.0, **SMALL)
    other.load_state_dict(select.state_dict())
    chosen = dict(select.chosen)
    strategy.plugins[strategy.plugins.index(select)] = other
    strategy.eval(made_stream((3, 2, 4)).test_stream)
    assert dict(other.chosen) == chosen and other.reference_pictures is None
