"""A few features of a model, kept beside its weights: whether a config rebuilds the model that was saved.

Weights fit many models: activations (QuickGELU or GELU) and the number of heads change no tensor, but every feature.
"""

import copy
import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avalanche_gift.files import parse_json, write_aside
from avalanche_gift.modes import evaluation_mode

PROBE_FILE = "probe.json"
_VALUES = 32
"""Kept of each feature."""
_TOLERANCE, _TOLERANCE_ON_GPU = 1e-4, 1e-3
"""Of normalised features, whose values are about 1/sqrt(D). Processors differ by 1e-6, TF32 of GPUs by 1e-4; GELU in place of
QuickGELU makes 2e-3 and more."""


def write_probe(clip: nn.Module, folder: Path) -> None:
    """Writes `probe.json`; none for a model whose features are no numbers or that takes no plain images and token ids."""
    features = _features(clip)
    path = folder / PROBE_FILE
    if features is None:
        path.unlink(missing_ok=True)  # of a model saved there before
        return
    on_gpu = next(clip.parameters()).device.type != "cpu"
    values = {name: [round(value, 7) for value in feature] for name, feature in features.items()}
    write_aside(path, json.dumps({**values, "tolerance": _TOLERANCE_ON_GPU if on_gpu else _TOLERANCE}, indent=2).encode())


def check_probe(clip: nn.Module, folder: Path) -> None:
    """Raises ValueError if there is a `probe.json` and the model's features are others, or the file is none of ours."""
    path = folder / PROBE_FILE
    if not path.is_file():
        return
    wanted = _read(path)
    found = _features(clip)
    off = [
        max(abs(a - b) for a, b in zip(found[name], wanted[name], strict=True))
        if found is not None and len(found[name]) == len(wanted[name])
        else math.inf
        for name in ("image", "text")
    ]
    if max(off) > wanted["tolerance"]:
        raise ValueError(
            f"expected from the model in {folder} the features it had when it was saved ({path.name}), got others (image off "
            f"by {off[0]:.2g}, text by {off[1]:.2g}): the config describes another model of the same weights (quick_gelu, "
            f"heads?), or the weights were replaced; restore the files, or remove {path.name} if the change is meant"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_bytes())
        numbers = [*found["image"], *found["text"], found["tolerance"]]
        if not all(isinstance(value, float | int) and math.isfinite(value) for value in numbers):
            raise ValueError("values that are no finite numbers")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"expected features of an image and a text in {path}, got {error!r}; remove it") from None
    return found


@torch.no_grad()
def _features(clip: Any) -> dict[str, list[float]] | None:
    """The first values of the normalised features of one made image and one made row of token ids."""
    inputs = _inputs(clip)
    if inputs is None:
        return None
    weight = next(clip.parameters())
    if weight.dtype not in (torch.float32, torch.float64):
        clip = copy.deepcopy(clip).float()  # as it will be loaded
        weight = next(clip.parameters())
    with evaluation_mode(clip):
        features = {
            "image": clip.encode_image(inputs[0].to(weight)),
            "text": clip.encode_text(inputs[1].to(weight.device)),
        }
    if not all(bool(feature.isfinite().all()) for feature in features.values()):
        return None
    return {name: F.normalize(feature.float(), dim=-1)[0, :_VALUES].tolist() for name, feature in features.items()}


def _inputs(clip: Any) -> tuple[Tensor, Tensor] | None:
    """[1, 3, H, W] and [1, context], the same for every model of these sizes."""
    size, context = getattr(getattr(clip, "visual", None), "image_size", None), getattr(clip, "context_length", None)
    if size is None or not isinstance(context, int) or context < 6:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    waves = torch.arange(3 * height * width, dtype=torch.float64).mul(0.37).sin()  # no random numbers: the same on any machine
    tokens = torch.zeros(1, context, dtype=torch.long)
    tokens[0, :6] = torch.tensor([1, 5, 9, 3, 7, 11])  # the last and largest is where CLIP reads the text
    return waves.reshape(1, 3, height, width), tokens
