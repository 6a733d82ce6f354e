"""What a configuration from somebody's folder may hold: sizes, names and switches, and nothing that leads elsewhere.

open_clip, transformers and diffusers act on their configurations: a key can have them import a module, ask a remote, or open
a file anywhere. So every configuration of a folder is read here first, and a value that is not plain is refused by its key.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

from avalanche_gift.files import parse_json


def words(text: str) -> frozenset[str]:
    """A set of keys, written as they are read."""
    return frozenset(text.split())


SWITCHED_OFF: tuple[Any, ...] = (None, False, "", [], {})
"""Values with which even a forbidden key asks for nothing."""

FORBIDDEN = words(
    """auto_map trust_remote_code custom_code custom_pipeline custom_pipelines custom_revision code_revision revision
    quantization_config compile_config attn_implementation _attn_implementation _attn_implementation_internal
    _attn_implementation_autoset experts_implementation use_kernels kernel_config chat_template init_inputs
    transformers_weights bpe_path mirror proxies token use_auth_token"""
)
"""Keys that have code, a remote or another file used, whatever their value is."""

LEADS_ELSEWHERE = re.compile(r"(^|_)(files?|paths?|dirs?|folders?|urls?|repos?|repo_ids?|modules?|kwargs_file|checkpoints?)$")
"""Endings of keys whose text would be opened or imported."""

NEVER_OPENED = words("_name_or_path name_or_path special_tokens_map_file _ignore_files")
"""Keys that record where a file once was, or what not to fetch. Nothing opens them, so their text may be a path."""

FREE_TEXT = words("id2label label2id task_specific_params finetuning_task")
"""Keys of labels and prompts: any text, since nothing is looked up by it."""

NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_+-]*|[0-9][A-Za-z0-9_.+-]*|torch\.b?float[0-9]+)?")
"""A name of an architecture, an activation, a class, or a version. Without dots, slashes and colons it can lead nowhere."""

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

TOKENIZER_TEXTS = words(
    """tokenizer_class processor_class padding_side truncation_side errors model_type language_codes src_lang tgt_lang
    source_lang target_lang language task truncation_strategy padding_strategy transformers_version tokenizer_type backend
    version"""
)
"""The keys of a tokenizer's configuration whose value may be a name."""

TOKENS = re.compile(r".*_tokens?|.*_tokens_decoder|mask_token_sent")
"""The keys of a tokenizer's configuration that hold tokens, which may be any text."""

TOKENIZER_CONFIGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
UNSAFE_CLASSES = ("Rag", "TransfoXL", "Auto")
"""Beginnings of classes of transformers that read pickles, or look up another class by what a file says."""


class NotPlain(ValueError):
    """A configuration asks for more than plain values; the message names the key."""


def check_links(folder: Path, *, deep: bool = False) -> None:
    """Raises NotPlain if a link in the folder leads out of it.

    Args:
        folder: of a model. In the Hugging Face cache, the links of a snapshot to the blobs of the same model are inside.
        deep: also in the folders below.
    """
    inside = folder.resolve()
    if inside.parent.name == "snapshots":
        inside = inside.parent.parent
    for path in sorted(folder.rglob("*") if deep else folder.iterdir()):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise NotPlain(f"expected all files of a model inside {folder}, got the link {path} to elsewhere; copy the file")


def read_config(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises NotPlain if there is none."""
    try:
        found = parse_json(path.read_bytes())
    except ValueError as error:
        raise NotPlain(f"expected JSON in {path}, got {error}") from error
    if not isinstance(found, dict):
        raise NotPlain(f"expected an object of JSON in {path}, got {type(found).__name__}")
    return found


def check_config(config: dict[str, Any], *, where: str) -> None:
    """Raises NotPlain unless a model's or scheduler's configuration holds plain values only.

    Args:
        config: as read from JSON.
        where: what the message names, usually the path.
    """
    for key, value in _leaves(config):
        if key in NEVER_OPENED and isinstance(value, str | None):
            continue
        leads = LEADS_ELSEWHERE.search(key) and not isinstance(value, bool | int | float)
        if ((key in FORBIDDEN or leads) and value not in SWITCHED_OFF) or not (value in ([], {}) or is_plain(value)):
            raise refusal(where, key, value)
    _check_class(config, where)


def check_tokenizer_config(config: dict[str, Any], *, where: str) -> None:
    """As `check_config`, for the files of a tokenizer: tokens may be any text, other text stands under known keys only."""
    for key, value in config.items():
        if TOKENS.fullmatch(key) and key not in FORBIDDEN:
            _check_tokens(key, value, where)
        elif (isinstance(value, str) and value and key not in TOKENIZER_TEXTS | NEVER_OPENED) or (
            isinstance(value, dict) and value  # arguments for another library, as sp_model_kwargs
        ):
            raise refusal(where, key, value)
        else:
            check_config({key: value}, where=where)


def _check_class(config: dict[str, Any], where: str) -> None:
    if str(config.get("tokenizer_class") or "").startswith(UNSAFE_CLASSES):
        raise refusal(where, "tokenizer_class", config["tokenizer_class"])


def check_config_files(folder: Path, *, but: str = "") -> None:
    """Checks every file in a folder that transformers or diffusers may read as a configuration, but the one of that name."""
    for path in sorted(folder.glob("*.json")):
        if path.name == but:
            continue
        if path.name == "added_tokens.json":
            tokens = read_config(path)
            if strange := [token for token, number in tokens.items() if not isinstance(number, int)]:
                raise refusal(str(path), strange[0], tokens[strange[0]])
        elif path.name in TOKENIZER_CONFIGS:
            check_tokenizer_config(read_config(path), where=str(path))
        elif path.name.endswith(".index.json"):
            check_weight_map(read_config(path), where=str(path))
        elif path.name.endswith("config.json"):
            check_config(read_config(path), where=str(path))
    templates = [*folder.glob("*.jinja"), *folder.glob("additional_chat_templates/*")]
    if templates:
        raise NotPlain(f"expected no code in a model folder, got the template {sorted(templates)[0]}; remove that file")


def check_weight_map(index: dict[str, Any], *, where: str) -> None:
    """Raises NotPlain if an index of weights names anything but .safetensors files beside it."""
    weights = index.get("weight_map")
    if not isinstance(weights, dict):
        raise NotPlain(f"expected a weight_map of parameters and files in {where}, got {type(weights).__name__}")
    for file in dict.fromkeys(str(file) for file in weights.values()):
        if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", file):
            raise NotPlain(
                f"expected .safetensors files beside {where} in its weight_map, got {file!r}: pickled weights and files "
                "elsewhere are not read; convert the weights to safetensors"
            )


def refusal(where: str, key: str, value: Any) -> NotPlain:
    """The error for a key that is not allowed, or not with this value."""
    got = shorten(repr(value), 80, placeholder=" ...")
    return NotPlain(
        f"expected only sizes, names and plain numbers in {where}, got {key!r}: {got}, which could name code, a "
        "remote or a file elsewhere; remove that key if the model works without it"
    )


def is_plain(value: Any) -> bool:
    """Whether a value is a number, a switch, a name, or nothing."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int) or (isinstance(value, str) and bool(NAME.fullmatch(value)))


def _leaves(value: Any, key: str = "", free: bool = False) -> Iterator[tuple[str, Any]]:
    """Every value with the key above it. Under a forbidden key the whole value; under one of free text, keys of it only."""
    if key in FORBIDDEN or (not isinstance(value, dict | list) or not value):
        yield key, None if free and isinstance(value, str) else value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _leaves(one, name, free or name in FREE_TEXT)
    else:
        for one in value:
            yield from _leaves(one, key, free)


def _check_tokens(key: str, value: Any, where: str) -> None:
    """Tokens as text, as objects with a `content`, and lists or objects of those."""
    if isinstance(value, dict):
        for name, one in value.items():
            if name in FORBIDDEN or (isinstance(one, str) and name == "__type" and one != "AddedToken"):
                raise refusal(where, name, one)
            _check_tokens(name, one, where)
    elif isinstance(value, list):
        for one in value:
            _check_tokens(key, one, where)
    elif not (value is None or isinstance(value, str | bool | int | float)):
        raise refusal(where, key, value)
