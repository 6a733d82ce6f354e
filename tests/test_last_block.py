"""The last block for the pooled token alone: equal to open_clip's own towers, and left alone wherever those are unusual."""

import copy
import json

import open_clip
import pytest
import torch
from torch import Tensor, nn

from avalanche_gift.models import CLIPClassifier, image_tower, last_block
from avalanche_gift.models.loading import OWN_CONFIGS
from avalanche_gift.models.moe_adapters import attach_adapters
from avalanche_gift.models.text_tower import encode_text

CONFIG = json.loads((OWN_CONFIGS / "clip-tiny.json").read_text())
TEXTS = ["a photo of a cat.", "car", "my old and rusty rose!"]


def clip_of(vision: dict = {}, text: dict = {}, custom: bool = False, **rest) -> nn.Module:  # noqa: B006
    config = copy.deepcopy({key: CONFIG[key] for key in ("embed_dim", "vision_cfg", "text_cfg")})
    config["vision_cfg"].update(vision)
    config["text_cfg"].update(text)
    torch.manual_seed(0)
    return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config, **rest).double()


def both_towers(clip: nn.Module, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    side = CONFIG["vision_cfg"]["image_size"]
    images = torch.randn(3, 3, side, side, generator=generator, dtype=torch.float64)
    return images, open_clip.SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])(TEXTS)


def gradients_of(clip: nn.Module, features: Tensor) -> dict[str, Tensor]:
    clip.zero_grad()
    mixing = torch.randn(features.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (features * mixing).sum().backward()
    return {name: p.grad.clone() for name, p in clip.named_parameters() if p.grad is not None}


def pools_image(clip: nn.Module) -> bool:
    return image_tower.can_pool(clip)


def pools_text(clip: nn.Module) -> bool:
    return last_block.can_pool(clip.transformer, clip.ln_final)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tower", ["image", "text"])
@pytest.mark.parametrize(
    "change",
    [{}, {"vision": {"ls_init_value": 0.3, "final_ln_after_pool": True}, "text": {"ls_init_value": 0.3}, "quick_gelu": True}],
    ids=["plain", "layer scale"],
)
def test_features_and_gradients_are_those_of_all_tokens(generator, change, tower, training, checkpointed):
    clip = clip_of(**change).train(training)
    clip.set_grad_checkpointing(checkpointed)
    images, tokens = both_towers(clip, generator)
    assert pools_image(clip) and pools_text(clip)
    if tower == "image":
        ours, whole = image_tower.encode_image(clip, images), clip.encode_image(images)
    else:
        ours, whole = encode_text(clip, tokens), clip.encode_text(tokens)
    torch.testing.assert_close(ours, whole, rtol=0, atol=1e-10)
    found, expected = gradients_of(clip, ours), gradients_of(clip, whole)
    assert found.keys() == expected.keys() and len(found) > 25
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-10, msg=name)
        assert gradient.abs().max() > 1e-6, f"{name}: a gradient below the tolerance shows nothing"


def test_features_without_gradient_are_those_of_all_tokens(generator):
    clip = clip_of().eval()
    images, tokens = both_towers(clip, generator)
    with torch.no_grad():
        torch.testing.assert_close(image_tower.encode_image(clip, images), clip.encode_image(images), rtol=0, atol=1e-10)
        torch.testing.assert_close(encode_text(clip, tokens), clip.encode_text(tokens), rtol=0, atol=1e-10)


def watch(module: nn.Module) -> None:
    module.register_forward_hook(lambda *_: None)


def replace_forward(module: nn.Module) -> None:
    module.forward = module.forward


UNUSUAL = {
    "mean of the tokens": lambda: clip_of({"pool_type": "avg"}),
    "attentional pool": lambda: clip_of({"attentional_pool": True}),
    "all tokens wanted": lambda: clip_of({"output_tokens": True}),
    "custom blocks": lambda: clip_of({"qk_norm": True}),
    "ResNet": lambda: clip_of({"layers": [1, 1, 1, 1]}),
}


@pytest.mark.parametrize("make", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_an_unusual_image_tower_runs_as_it_is(make, generator):
    clip = make().eval()
    assert not pools_image(clip)
    images = both_towers(clip, generator)[0]
    whole = clip.encode_image(images)
    ours = image_tower.encode_image(clip, images)
    for a, b in zip(ours if isinstance(ours, tuple) else [ours], whole if isinstance(whole, tuple) else [whole], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("change", [watch, replace_forward])
@pytest.mark.parametrize("where", ["", "transformer", "ln_post", "transformer.resblocks.1", "transformer.resblocks.1.mlp.c_fc"])
def test_a_watched_or_replaced_part_of_the_image_tower_makes_the_whole_block_run(change, where):
    clip = clip_of()
    assert pools_image(clip)
    change(clip.visual.get_submodule(where))
    assert not pools_image(clip) and pools_text(clip)


@pytest.mark.parametrize("where", ["transformer", "ln_final", "transformer.resblocks.1", "transformer.resblocks.1.attn"])
def test_a_watched_part_of_the_text_tower_makes_the_whole_block_run(where):
    clip = clip_of()
    watch(clip.get_submodule(where))
    assert not pools_text(clip) and pools_image(clip)


def test_a_watched_block_before_the_last_still_sees_every_token(generator):
    clip = clip_of()
    shapes = []
    clip.visual.transformer.resblocks[0].register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    images = both_towers(clip, generator)[0]
    assert pools_image(clip)
    image_tower.encode_image(clip, images)
    assert shapes == [(3, clip.visual.positional_embedding.shape[0], clip.visual.transformer.width)]


def test_a_text_tower_of_its_own_keeps_the_pooled_image_tower():
    assert pools_image(clip_of(custom=True))


def test_adapters_make_the_whole_block_run():
    model = CLIPClassifier.from_open_clip("clip-tiny", seed=0)
    assert pools_image(model.clip) and pools_text(model.clip)
    attach_adapters(model, experts=2, top=1)
    assert not pools_image(model.clip) and not pools_text(model.clip)
