"""What many tests start from: a tiny CLIP, seeded random numbers, and the folder of shared facts where there is one."""

import os
from pathlib import Path

import pytest
import torch

from avalanche_gift.models import CLIPClassifier


@pytest.fixture
def tiny_model() -> CLIPClassifier:
    """A two-layer CLIP of width 64 over 32-pixel pictures, random weights from seed 0."""
    return CLIPClassifier.from_open_clip("clip-tiny", seed=0)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def shared_folder() -> Path:
    """`AVALANCHE_GIFT_SHARED`, or `shared` beside the repository; tests that need it are skipped without it."""
    folder = Path(os.environ.get("AVALANCHE_GIFT_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared folder at {folder}; set AVALANCHE_GIFT_SHARED")
    return folder
