"""Encoding pictures without what the class token's feature does not need of the last block."""

from typing import Any

from open_clip import CLIP, CustomTextCLIP
from open_clip.transformer import VisionTransformer
from torch import Tensor

from avalanche_gift.models import last_block


def can_pool(clip: Any) -> bool:
    """Whether the last block may be computed for the class token alone: open_clip's own ViT, pooled at that token."""
    if type(clip) not in (CLIP, CustomTextCLIP) or type(clip.visual) is not VisionTransformer:
        return False
    visual = clip.visual
    reads_class_token = visual.pool_type == "tok" and visual.attn_pool is None and not visual.output_tokens
    return reads_class_token and last_block.can_pool(visual.transformer, visual, visual.ln_post)


def encode_image(clip: Any, images: Tensor) -> Tensor:
    """[N, 3, H, W] -> image features [N, D], not normalised."""
    if not can_pool(clip):
        return clip.encode_image(images)
    visual = clip.visual
    x = visual.ln_post(last_block.run_pooled(visual.transformer, visual._embeds(images)))
    return x if visual.proj is None else x @ visual.proj
