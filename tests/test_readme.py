"""The README's own lines, run as they stand."""

import re
from pathlib import Path

import pytest
import torch
from avalanche.training.plugins import EvaluationPlugin
from PIL import Image
from torch.utils.data import Dataset

from avalanche_gift import GIFT, CLIPClassifier

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


class _NoLogger:
    """Avalanche warns of an evaluator without loggers."""

    def log_metrics(self, values):
        """Says nothing."""
