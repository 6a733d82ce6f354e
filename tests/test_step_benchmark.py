"""The step benchmark: its plain step and ours agree, and its gauges count what they say."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torchvision.transforms import ToTensor
from world import BASE_PROMPTS, SIDE, MadePictures, names_of, template_of, tiny_model

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import scale
import step
from gauges import Flops, LiveBytes, ReadBack
from side_by_side import Noise, Pairs, side_by_side, stream_of

from avalanche_gift.benchmarks import Task

ITERATIONS = 5


def in_double(picture):
    return ToTensor()(picture.resize((SIDE, SIDE))).double() * 4 - 2


def trained_side_by_side(change, **options):
    """Both sides after some iterations in float64 on batches with equal prompts, one of them short."""
    model = tiny_model().double()
    model.train_transform = model.eval_transform = in_double
    task = Task("task", Noise(6, SIDE, 3), Noise(3, SIDE, 3), names_of(0), (template_of(0),))
    prompts = [*BASE_PROMPTS, *BASE_PROMPTS[:2], BASE_PROMPTS[0]]
    pairs = Pairs([MadePictures.picture(prompt, seed) for seed, prompt in enumerate(prompts)], prompts)
    sizes = {"train_mb_size": 6, "synthetic_mb_size": 5}
    strategy, beside = side_by_side(model, task, pairs, iterations=ITERATIONS, lr=1e-3, **sizes, **options)
    for name, value in change.items():
        setattr(beside.plain, name, value)
    strategy.train(stream_of(model, [task]).train_stream, shuffle=False)
    ours, plain = model.clip.state_dict(), beside.plain.clip.state_dict()
    return beside.terms, max(float((ours[name] - plain[name]).abs().max()) for name in ours)


@pytest.mark.parametrize("options", [{}, {"alpha": 2.0, "beta": 0.5, "awc_weight": 200.0, "temperature": 1.0}])
def test_losses_and_weights_are_those_of_the_plain_step(options):
    terms, difference = trained_side_by_side({}, **options)
    assert len(terms) == ITERATIONS
    for ours, plain in terms:
        assert ours.keys() == plain.keys() == {"cross_entropy", "distillation", "alignment", "awc"}
        assert all(float((ours[name] - plain[name]).abs()) < 1e-10 for name in ours)
    assert float(terms[-1][0]["awc"]) > 0
    assert difference < 1e-10


@pytest.mark.parametrize(
    "change", [{"awc_weight": 2.0}, {"alpha": 1.1}, {"beta": 0.3}, {"temperature": 1.9}, {"label_smoothing": 0.1}]
)
def test_comparison_notices_a_plain_step_of_other_settings(change):
    assert trained_side_by_side(change)[1] > 1e-8


@pytest.fixture(scope="module")
def count_only_line():
    small = ["--count-only", "--pictures", "8", "--batch", "8", "--synthetic", "8"]
    return json.loads(json.dumps(step.measure(step.parse(small))))


def test_tiny_step_takes_at_most_six_tenths_of_the_plain_flops(count_only_line):
    assert 0.2 < count_only_line["flop_ratio"] <= 0.6
    assert count_only_line["memory_ratio"] < 1


def test_count_only_line_is_complete(count_only_line):
    line, ours = count_only_line, count_only_line["ours"]
    assert {"model", "classes", "batch", "synthetic", "date", "device", "versions", "text_lengths"} <= line.keys()
    assert line["versions"].keys() >= {"python", "torch", "open_clip"} and "meta" in line["device"]
    assert ours["flops"] == ours["flops_synthetic_pass"] + ours["flops_task_pass"] + ours["flops_once_a_task"] // 1000
    assert line["flop_ratio"] == round(ours["flops"] / line["plain"]["flops"], 4)
    assert line["flop_ratio_without_once_a_task"] <= line["flop_ratio"]
    assert "seconds" not in ours


def test_memory_does_not_grow_with_tasks():
    points = scale.tasks(5, classes=2, pictures=4)["points"]
    few, many = points[0], points[-1]
    assert (few["tasks"], many["tasks"]) == (2, 5)
    assert many["bytes"] - few["bytes"] < 1e-3 * few["bytes"]  # the tokens of each task's class texts


def test_live_bytes_are_those_of_what_is_still_held_by_whoever_made_it():
    with LiveBytes() as live:
        live.switch("ours task")
        kept = torch.ones(10)
        kept * 2 + 1  # a temporary for the sum: 40 bytes beside 40 beside 40
        live.switch("plain")
        other = kept.clone().view(2, 5)[0]
    assert live.now == {"ours": 40, "plain": 40} and live.peak["ours"] == 120
    del kept, other
    assert live.now == {"ours": 0, "plain": 0}


def test_flops_are_told_apart_and_meta_tensors_can_be_read():
    with Flops() as flops, ReadBack():
        flops.switch("ours")
        product = torch.ones(2, 3, device="meta") @ torch.ones(3, 4, device="meta")
        flops.switch("plain")
        assert product.sum().item() == 0 and product.tolist() == [[0.0] * 4] * 2
        assert torch.ones(3, device="meta", dtype=torch.long).unique().tolist() == [0]
        flops.switch("")
    assert (flops.of["ours"], flops.of["plain"]) == (2 * 2 * 3 * 4, 0)
