"""The last block of a tower for the pooled token alone.

A block mixes tokens only through keys and values. Where a tower reads one token of its last block, that block needs the keys
and values of all tokens, but query, output projection and MLP of that one only: the same value and gradient beyond rounding.
"""

from typing import Any

import torch
from open_clip.transformer import ResidualAttentionBlock, Transformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def can_pool(transformer: Any, *around: nn.Module) -> bool:
    """Whether a transformer ends in open_clip's plain block, and nobody watches or replaced what would be cut short.

    around: the modules of the tower that see fewer tokens too, such as its last norm. Hooks (of adapters, say) and forwards
    put on an instance would meet one token where they expect all: then the whole block has to run.
    """
    if type(transformer) is not Transformer or not transformer.batch_first or not len(transformer.resblocks):
        return False
    block = transformer.resblocks[-1]
    if type(block) is not ResidualAttentionBlock or hasattr(block, "ln_1_kv") or type(block.attn) is not nn.MultiheadAttention:
        return False
    parts = (*block.modules(), *around)
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in parts):
        return False  # its statistics are those of all tokens
    return not any(_touched(module) for module in (transformer, *parts))


def run_pooled(transformer: Transformer, x: Tensor, ends: Tensor | None = None, attn_mask: Tensor | None = None) -> Tensor:
    """All blocks, of which the last gives one token of each sequence: [N, L, d] -> [N, d].

    ends: [N], which one; the first where None. attn_mask: [L, L], added to the attention scores. Expects `can_pool`.
    """
    *blocks, last = transformer.resblocks
    for block in blocks:
        if transformer.grad_checkpointing:
            x = checkpoint(block, x, None, None, attn_mask, use_reentrant=False)
        else:
            x = block(x, attn_mask=attn_mask)
    if transformer.grad_checkpointing:
        return checkpoint(_pooled, last, x, ends, attn_mask, use_reentrant=False)
    return _pooled(last, x, ends, attn_mask)


def _pooled(block: ResidualAttentionBlock, x: Tensor, ends: Tensor | None, attn_mask: Tensor | None) -> Tensor:
    """`ResidualAttentionBlock.forward` for one token of each sequence."""
    normed = block.ln_1(x)
    if attn_mask is not None:
        rows = attn_mask[:1].expand(len(x), -1) if ends is None else attn_mask[ends]
        attn_mask = rows.repeat_interleave(block.attn.num_heads, 0)[:, None]
    query = _take(normed, ends)
    token = _take(x, ends) + block.ls_1(block.attention(q_x=query, k_x=normed, v_x=normed, attn_mask=attn_mask))
    token = token + block.ls_2(block.mlp(block.ln_2(token)))
    return token[:, 0]


def _take(x: Tensor, ends: Tensor | None) -> Tensor:
    """[N, L, d] -> [N, 1, d]."""
    return x[:, :1] if ends is None else x[torch.arange(len(x), device=x.device), ends][:, None]


def _touched(module: nn.Module) -> bool:
    return "forward" in vars(module) or any(getattr(module, hooks) for hooks in HOOKS)
