"""The README's own lines, run as they stand."""

import re
from pathlib import Path

import pytest
import torch
from avalanche.training.plugins import EvaluationPlugin
from PIL import Image
from test_generation import tiny_pipeline
from test_streams import make_folders
from torch.utils.data import Dataset
from world import COUNTS, made_stream, tiny_model

import avalanche_gift
from avalanche_gift import GIFT, CLIPClassifier, benchmarks, generation
from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import read_results
from avalanche_gift.generation import DiffusersGenerator
from avalanche_gift.training import STRATEGIES

README = Path(__file__).parents[1] / "README.md"


def blocks(containing: str) -> str:
    found = [
        text for text in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S) if containing in text
    ]
    assert len(found) == 1, f"the README has {len(found)} Python blocks with {containing!r}"
    return found[0]


@pytest.mark.filterwarnings("ignore:Call to deprecated function update:DeprecationWarning")  # Avalanche's ReplayPlugin
def test_the_script_trains_gift_with_tensorboard_and_replay(tmp_path, monkeypatch, capsys):
    script = blocks("ReplayPlugin")
    assert len(script.splitlines()) <= 25
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(script, names)
    assert 0 <= float(capsys.readouterr().out.strip().splitlines()[-1]) <= 100
    assert list((tmp_path / "runs" / "script").glob("events.*"))
    assert len(names["strategy"].evaluator.metrics[-1].rows()) == 6


class Flat(Dataset):
    """Four red and four blue pictures."""

    def __init__(self):
        self.targets = [0, 1] * 4

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return Image.new("RGB", (32, 32), ("red", "blue")[self.targets[index]]), self.targets[index]


def test_the_extensions_train_in_under_fifteen_lines_each():
    names: dict = {}
    for part in ("AlignedFeatures", "Colours"):
        text = blocks(part)
        definitions = re.split(r"\n\n\n", text)
        assert all(len(definition.strip().splitlines()) < 15 for definition in definitions)
        exec(text, names)
    model = CLIPClassifier.from_open_clip("clip-tiny")
    before = model.clip.state_dict()["visual.proj"].clone()
    strategy = GIFT(
        model,
        synthetic=names["Colours"](),
        base_prompts=["the colour green.", "the colour white."],
        synthetic_images=8,
        synthetic_mb_size=4,
        train_mb_size=4,
        train_iterations=2,
        lr=1e-3,
        plugins=[names["AlignedFeatures"]()],
        evaluator=lambda: EvaluationPlugin(loggers=[_NoLogger()]),
    )
    metrics = strategy.train(names["colour_stream"](Flat(), Flat(), model).train_stream)
    assert 0 < metrics["LossTerm/aligned_features/train_phase/train_stream"] < 0.2
    assert not torch.equal(before, model.clip.state_dict()["visual.proj"])


def test_a_new_baseline_in_sixty_lines_runs_to_results(tmp_path, monkeypatch):
    text = blocks("L1Plugin")
    assert len(text.splitlines()) < 60
    monkeypatch.chdir(tmp_path)
    config = RunConfig
    small = {"tasks": ("shapes", "letters"), "train_iterations": 2, "train_mb_size": 4}
    monkeypatch.setattr("avalanche_gift.config.RunConfig", lambda *names, model, **_: config(*names, model=model, **small))
    try:
        exec(text, {})
    finally:
        STRATEGIES.pop("l1", None)
    assert read_results(tmp_path / "runs" / "l1" / "results.json")["strategy"] == "l1"


def shortened(monkeypatch, **settings):
    """Has the examples' GIFT train for a moment, and their CLIP be a tiny one."""
    small = {"train_iterations": 2, "train_mb_size": 4, "synthetic_images": 4, "synthetic_mb_size": 4, **settings}
    logged = {"evaluator": lambda: EvaluationPlugin(loggers=[_NoLogger()])}
    monkeypatch.setattr(avalanche_gift, "GIFT", lambda model, **given: GIFT(model, **{**given, **small, **logged}))
    monkeypatch.setattr(CLIPClassifier, "from_open_clip", lambda name, pretrained: tiny_model())


def in_ten_lines(containing):
    text = blocks(containing)
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
    return text


def test_stable_diffusion_in_ten_lines(tmp_path, monkeypatch):
    shortened(monkeypatch, device="cpu")
    asked: list = []

    def tiny(name, half_precision, **options):
        asked.append(name)
        return DiffusersGenerator(tiny_pipeline(tmp_path), num_inference_steps=2, scheduler="own", device="cpu", **options)

    monkeypatch.setattr(generation, "DiffusersGenerator", tiny, raising=False)
    monkeypatch.setattr(benchmarks, "MTIL", lambda root, **transforms: made_stream(COUNTS), raising=False)
    names: dict = {}
    exec(in_ten_lines("stable_diffusion"), names)
    assert asked == ["stable-diffusion-v1-5/stable-diffusion-v1-5"]
    assert names["strategy"].clock.train_exp_counter == len(COUNTS)


def test_ones_own_folders_in_ten_lines(tmp_path, monkeypatch):
    shortened(monkeypatch)
    monkeypatch.chdir(tmp_path)
    make_folders(tmp_path / "my_tasks", {"birds": ["owl", "jay"], "trees": ["elm", "oak"]})
    for name in ("cat", "dog"):
        (tmp_path / "my_pictures" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), "red").save(tmp_path / "my_pictures" / name / "a.jpg")
    names: dict = {}
    exec(in_ten_lines('"my_pictures"'), names)
    assert names["strategy"].clock.train_exp_counter == 2


class _NoLogger:
    """Avalanche warns of an evaluator without loggers."""

    def log_metrics(self, values):
        """Says nothing."""
