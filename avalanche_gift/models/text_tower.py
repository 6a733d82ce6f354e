"""Encoding texts no longer than they are.

In a causal text tower that pools at the end token nothing behind that token reaches the feature. Token ids can then be cut
at the longest prompt of a batch without changing value or gradient beyond rounding: 77 positions become about 12. The last
block is computed for the end tokens alone.
"""

from typing import Any

from open_clip import CLIP
from open_clip.transformer import text_global_pool
from torch import Tensor, nn

from avalanche_gift.models import last_block


def can_trim(clip: Any) -> bool:
    """Whether cutting is exact: open_clip's `CLIP` with a causal mask, pooled at the end token."""
    return isinstance(clip, CLIP) and clip.attn_mask is not None and clip.text_pool_type in ("argmax", "eos")


def trim(clip: Any, tokens: Tensor) -> Tensor:
    """[N, context] -> [N, L], L the position of the last end token plus one; unchanged where that is not exact."""
    if not can_trim(clip) or not len(tokens):
        return tokens
    return tokens[:, : int(_ends(clip, tokens).max()) + 1]


def cut_texts(clip: Any, tokens: Tensor) -> list[int]:
    """The rows of [N, context] with words behind their first end token, which the tower never reads: texts that hold one."""
    if not can_trim(clip) or not len(tokens):
        return []
    ends = _ends(clip, tokens).tolist()
    # Behind the end there is padding, all alike; where a row is full, nothing.
    return [number for number, (row, end) in enumerate(zip(tokens, ends, strict=True)) if (row[end + 1 :] != row[-1]).any()]


def encode_text(clip: Any, tokens: Tensor) -> Tensor:
    """[N, L] -> text features [N, D], not normalised; L may be shorter than the context where `can_trim`."""
    if not can_trim(clip):
        return clip.encode_text(tokens)
    length = tokens.shape[1]
    dtype = clip.transformer.get_cast_dtype()
    x = clip.token_embedding(tokens).to(dtype) + clip.positional_embedding[:length].to(dtype)
    mask = clip.attn_mask[:length, :length]
    if last_block.can_pool(clip.transformer, clip.ln_final):
        x = clip.ln_final(last_block.run_pooled(clip.transformer, x, _ends(clip, tokens), mask))
    else:
        x = clip.ln_final(clip.transformer(x, attn_mask=mask))
        x = text_global_pool(x, tokens, clip.text_pool_type, eos_token_id=clip.text_eos_id)
    if clip.text_projection is None:
        return x
    return clip.text_projection(x) if isinstance(clip.text_projection, nn.Linear) else x @ clip.text_projection


def _ends(clip: Any, tokens: Tensor) -> Tensor:
    """[N], the position of each text's end token."""
    return tokens.argmax(1) if clip.text_pool_type == "argmax" else tokens.eq(clip.text_eos_id).int().argmax(1)
