"""What a folder with a CLIP model may hold, checked before open_clip or transformers opens anything in it."""

import re
from pathlib import Path
from typing import Any

from avalanche_gift.plain_configs import (
    HUB_NAME,
    NotPlain,
    check_config,
    check_config_files,
    check_links,
    is_plain,
    read_config,
    refusal,
    words,
)

_TOWER = words("""
    layers width heads mlp_ratio ls_init_value pool_type final_ln_after_pool output_tokens act_kwargs norm_kwargs block_type
    qk_norm scaled_cosine_attn scale_heads scale_attn_inner scale_attn scale_fc
""")
_TEXT = _TOWER | words("""
    context_length vocab_size hf_tokenizer_name tokenizer_mode tokenizer_kwargs embed_cls pad_id eos_id no_causal_mask
    proj_bias proj_type
""")
ALLOWED = {
    "": words("model_cfg preprocess_cfg"),
    "model_cfg": words("""
        embed_dim vision_cfg text_cfg multimodal_cfg quick_gelu init_logit_scale init_logit_bias nonscalar_logit_scale
        custom_text output_dict pad_id
    """),
    "vision_cfg": _TOWER
    | words("""
        head_width patch_size image_size patch_dropout attentional_pool attn_pooler_queries attn_pooler_heads no_ln_pre
        pos_embed_type timm_model_name timm_model_pretrained timm_pool timm_proj timm_proj_bias timm_drop timm_drop_path
    """),
    "text_cfg": _TEXT | words("hf_model_name hf_model_pretrained hf_proj_type hf_pooler_type"),
    "multimodal_cfg": _TEXT | words("dim_head n_queries attn_pooler_heads"),
    "act_kwargs": words("approximate inplace"),
    "norm_kwargs": words("eps elementwise_affine bias"),
    "tokenizer_kwargs": words("clean strip_sep_token language reduction_mask"),
    "preprocess_cfg": words("size mode mean std interpolation resize_mode fill_color"),
}
"""The keys of each part of an open_clip_config.json. Whatever open_clip adds later is refused until it is looked at."""

HF_CONFIG = "config.json"
HF_TOWERS = ("bert", "roberta", "xlm-roberta", "mt5", "m2m_100")
"""The text towers of transformers that open_clip knows."""


def check_model_folder(folder: Path, config_file: str) -> dict[str, Any]:
    """The checked content of an open_clip model folder's configuration.

    Args:
        folder: of the model.
        config_file: the name of open_clip's own file in it.

    Returns:
        The configuration, with `text_cfg.hf_model_name` replaced by the folder itself: an architecture is read from the
        folder's own config.json, never from the hub or from elsewhere on the disk.

    Raises:
        NotPlain: (a ValueError) for a key that could name code, a remote or a file outside the folder, by its name.
    """
    check_links(folder)
    where = folder / config_file
    try:
        config = read_config(where)
        _check_part("", config, str(where))
    except NotPlain as error:
        raise NotPlain(f"expected open_clip's description of a model in {where}, got {error}") from error
    check_config_files(folder, but=config_file)
    text = config.get("model_cfg", {}).get("text_cfg", {})
    if isinstance(text, dict) and text.get("hf_model_name") is not None:
        _check_text_tower(folder, text["hf_model_name"])
        text |= {"hf_model_name": str(folder.resolve()), "hf_model_pretrained": False}
    return config


def _check_part(name: str, part: Any, where: str) -> None:
    """A part is an object of allowed keys, or of no kind that could do anything."""
    if not isinstance(part, dict):
        if not _is_list_of_plain(part):
            raise refusal(where, name, part)
        return
    for key, value in part.items():
        if key not in ALLOWED.get(name, ()):
            raise refusal(where, key, value)
        if key in ALLOWED:
            _check_part(key, value, where)
        elif key in ("hf_tokenizer_name", "hf_model_name"):
            # Only their presence counts: the tokenizer and the tower are always those of the folder.
            if value is not None and not (isinstance(value, str) and (not value or HUB_NAME.fullmatch(value))):
                raise refusal(where, key, value)
        elif key == "timm_model_name":  # timm takes hub names and folders too; a tag of weights follows a dot
            if not (value is None or (isinstance(value, str) and re.fullmatch(r"\w+(\.\w+)?", value))):
                raise refusal(where, key, value)
        elif not _is_list_of_plain(value):
            raise refusal(where, key, value)


def _is_list_of_plain(value: Any) -> bool:
    return all(map(is_plain, value)) if isinstance(value, list) else is_plain(value)


def _check_text_tower(folder: Path, name: str) -> None:
    path = folder / HF_CONFIG
    if not path.is_file():
        raise NotPlain(
            f"expected in {folder} the {HF_CONFIG} of the text tower, got none and 'hf_model_name': {name!r}; put that file "
            "there: a model folder is never completed from the hub or from another folder"
        )
    config = read_config(path)
    check_config(config, where=str(path))
    if config.get("model_type") not in HF_TOWERS:
        raise NotPlain(f"expected a text tower of the types {HF_TOWERS} in {path}, got {config.get('model_type')!r}")
