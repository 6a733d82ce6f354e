"""Reading and writing CLIP models: open_clip's names and folders of JSON and safetensors; nothing that could run code."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from textwrap import shorten
from typing import Any

import open_clip
import torch
from open_clip.transformer import QuickGELU
from safetensors import SafetensorError
from torch import nn
from torchvision.transforms import Normalize

from avalanche_gift.files import write_aside
from avalanche_gift.models.folder_check import HF_CONFIG, check_model_folder
from avalanche_gift.models.probe import check_probe, write_probe
from avalanche_gift.names import check_name

OWN_CONFIGS = Path(__file__).parent / "configs"
CONFIG_FILE, WEIGHTS_FILE = "open_clip_config.json", "open_clip_model.safetensors"


def from_open_clip(name: str, pretrained: str | None, seed: int) -> dict[str, Any]:
    """The parts of a `CLIPClassifier` by open_clip's name and tag; random weights from `seed` without a tag."""
    open_clip.add_model_config(OWN_CONFIGS)
    check_name("model", name, open_clip.list_models())
    if pretrained:
        check_name(f"pretrained tag of {name}", pretrained, open_clip.list_pretrained_tags_by_model(name))
    # The OpenAI weights were trained with QuickGELU; a plain config of the same name computes GELU without complaint.
    quick_gelu = bool(pretrained and open_clip.get_pretrained_cfg(name, pretrained).get("quick_gelu"))
    with torch.random.fork_rng(devices=[]), _quiet() if not pretrained else nullcontext():
        torch.manual_seed(seed)
        clip, train_transform, eval_transform = open_clip.create_model_and_transforms(
            name, pretrained=pretrained, force_quick_gelu=quick_gelu
        )
    return {
        "clip": clip,
        "tokenizer": open_clip.get_tokenizer(name),
        "train_transform": train_transform,
        "eval_transform": eval_transform,
        "name": f"{name}:{pretrained}" if pretrained else name,
    }


def from_folder(folder: str | Path) -> dict[str, Any]:
    """The parts of a `CLIPClassifier` from a local folder.

    open_clip would take pickled weights if they have the better-known name; here they are never opened. The configurations
    are checked by `check_model_folder` before anything else reads them.

    Raises:
        FileNotFoundError: naming what is missing.
        ValueError: for files that are damaged, or name code, a remote or a file outside the folder, and for a folder of
            `save_folder` whose config no longer rebuilds the model that was saved.
    """
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        raise FileNotFoundError(f"expected a model folder with {CONFIG_FILE} and a .safetensors file, got {folder}")
    name = f"local-dir:{folder}"
    weights = _weights(folder)
    config = check_model_folder(folder, CONFIG_FILE)
    text = config.get("model_cfg", {}).get("text_cfg", {})
    # A tower of transformers is built from the folder's own config.json, which only the checked copy of text_cfg names.
    checked = {"text_cfg": text} if isinstance(text, dict) and text.get("hf_model_name") else {}
    try:
        with torch.random.fork_rng(devices=[]), _quiet():
            clip, train_transform, eval_transform = open_clip.create_model_and_transforms(
                name, load_weights=False, pretrained_text=False, **checked
            )
    except (ArithmeticError, AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"expected open_clip's description of a model in {folder / CONFIG_FILE}, got {_brief(error)}"
        ) from error
    _load_weights(clip, weights)
    check_probe(clip, folder)
    try:
        # Beside the check of the files: transformers is told in so many words to run none of the folder's code.
        tokenizer = open_clip.get_tokenizer(name, **({"trust_remote_code": False} if text.get("hf_tokenizer_name") else {}))
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"expected the files of this model's tokenizer in {folder}, got {_brief(error)}") from error
    return {
        "clip": clip,
        "tokenizer": tokenizer,
        "train_transform": train_transform,
        "eval_transform": eval_transform,
        "name": folder.name,
    }


def _load_weights(clip: nn.Module, path: Path) -> None:
    try:
        open_clip.load_checkpoint(clip, str(path))
    except (SafetensorError, AssertionError, RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"expected the weights of this model as safetensors in {path}, got {_brief(error)}") from error
    if strange := [name for name, tensor in clip.state_dict().items() if not tensor.isfinite().all()]:
        raise ValueError(
            f"expected finite weights in {path}, got NaN or infinity in {len(strange)} tensors, first {strange[0]}"
        )


def _brief(error: Exception) -> str:
    """On one line: open_clip and torch list every parameter."""
    return shorten(f"{type(error).__name__}: {error}", 300, placeholder=" ...")


def _weights(folder: Path) -> Path:
    """The safetensors file: open_clip's own name, or the only one."""
    found = sorted(folder.glob("*.safetensors"))
    if folder / WEIGHTS_FILE in found or len(found) == 1:
        return folder / WEIGHTS_FILE if folder / WEIGHTS_FILE in found else found[0]
    if found:
        raise FileNotFoundError(f"expected {WEIGHTS_FILE} or a single .safetensors file in {folder}, found {len(found)}")
    others = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth"))
    reason = f"{others}: pickled weights are not read, convert them to safetensors" if others else "no weights"
    raise FileNotFoundError(f"expected a .safetensors file in {folder}, found {reason}")


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip warns of random weights even where they are what was asked for."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def save_folder(clip: nn.Module, folder: Path, config: dict[str, Any], *, transform: Any = None) -> None:
    """`config`: `{"model_cfg": {...}, "preprocess_cfg": {...}}` as open_clip's. Each file is written aside, then renamed.

    Written is what the model is: `quick_gelu` as its layers have it, whatever the config says, and without a preprocess_cfg
    the model's own, with the mean and deviation of `transform` if that ends in Normalize. `probe.json` holds a few of its
    features, by which `from_folder` sees whether it gets the same model.
    """
    from safetensors.torch import save

    if "model_cfg" not in config:
        raise ValueError(f"expected a config with 'model_cfg', got the keys {sorted(config)}")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in clip.state_dict().items()}
    written = {**config, "model_cfg": _with_activation(clip, config["model_cfg"])}
    written["preprocess_cfg"] = config.get("preprocess_cfg") or _preprocessing(clip, transform)
    write_aside(folder / WEIGHTS_FILE, save(tensors))
    tower: Any = getattr(getattr(clip, "text", None), "config", None)
    if hasattr(tower, "to_json_string"):  # of transformers: `from_folder` builds it from this file
        write_aside(folder / HF_CONFIG, tower.to_json_string().encode())
    write_aside(folder / CONFIG_FILE, json.dumps(written, indent=2).encode())
    write_probe(clip, folder)


def _preprocessing(clip: Any, transform: Any) -> dict[str, Any]:
    """What open_clip noted in the model it made, and what the transform says itself."""
    found = dict(getattr(getattr(clip, "visual", None), "preprocess_cfg", None) or {})
    last = (getattr(transform, "transforms", None) or [None])[-1]
    if isinstance(last, Normalize):
        found |= {"mean": torch.as_tensor(last.mean).tolist(), "std": torch.as_tensor(last.std).tolist()}
    return found


def _with_activation(clip: nn.Module, sizes: dict[str, Any]) -> dict[str, Any]:
    """The config's sizes with `quick_gelu` as the layers of the model have it; open_clip has it for both towers in one."""
    kinds = {type(module) for module in clip.modules()}
    if not kinds & {QuickGELU, nn.GELU}:
        return sizes
    quick = QuickGELU in kinds
    return sizes if bool(sizes.get("quick_gelu")) == quick else {**sizes, "quick_gelu": quick}
