"""The tiny text-to-image model: a flow-matching UNet that predicts the picture, as a pipeline of diffusers.

No VAE: pictures of 32 x 32 are folded to 48 channels of 8 x 8. The prompt reaches the net as the one embedding of the tiny
CLIP's text tower, which paints a coarse canvas and eight soft regions; there is no attention.
"""

# diffusers hides its classes behind a lazy package, which a type checker can't look through.
# mypy: disable-error-code="attr-defined,operator,arg-type"

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, ImagePipelineOutput, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from avalanche_gift.files import CHECKSUMS, check_files
from avalanche_gift.generation.folder_check import check_pipeline_folder

SIDE, FOLD = 32, 4
CHUNK = 8
"""Pictures are always computed this many at a time, so that none depends on how many were asked for."""


class MiniDenoiser(ModelMixin, ConfigMixin):
    """`forward(noisy [B, 3, 32, 32], t [B] in 0..1, text [B, D]) -> the clean picture [B, 3, 32, 32] in -1..1`.

    fine_channels, fine_layers: of the last convolutions at full size; `experiments/pretrain_mini.py` has 24 and 3 now.
    text: the text tower's embedding; normalised here, then standardised by the fixed buffers `text_mean` and `text_std`.
    """

    @register_to_config
    def __init__(
        self,
        text_dim: int = 64,
        widths: Sequence[int] = (64, 96),
        canvas_channels: int = 16,
        region_count: int = 8,
        fine_channels: int = 16,
        fine_layers: int = 2,
    ):
        super().__init__()
        folded, small = 3 * FOLD**2, SIDE // FOLD
        self.register_buffer("text_mean", torch.zeros(text_dim))
        self.register_buffer("text_std", torch.ones(text_dim))
        self.canvas = nn.Sequential(nn.Linear(text_dim, 128), nn.SiLU(), nn.Linear(128, canvas_channels * small**2))
        self.regions = nn.Sequential(nn.Linear(text_dim, 48), nn.SiLU(), nn.Linear(48, region_count * SIDE**2))
        self.unet = UNet2DConditionModel(
            sample_size=small,
            in_channels=2 * folded + canvas_channels,
            out_channels=folded,
            block_out_channels=tuple(widths),
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * len(widths),
            mid_block_type="UNetMidBlock2D",
            up_block_types=("UpBlock2D",) * len(widths),
            norm_num_groups=8,
            resnet_time_scale_shift="scale_shift",
            class_embed_type="projection",
            projection_class_embeddings_input_dim=text_dim + 3 * region_count,
        )
        widths_of_fine = [9, *[fine_channels] * (fine_layers - 1), 3]
        layers = [nn.Conv2d(*pair, 3, padding=1) for pair in pairwise(widths_of_fine)]
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(layers[-1].bias)
        self.fine = nn.Sequential(layers[0], *[module for layer in layers[1:] for module in (nn.SiLU(), layer)])

    def forward(self, noisy: Tensor, t: Tensor, text: Tensor) -> Tensor:
        text = (F.normalize(text, dim=-1) - self.text_mean) / self.text_std
        masks = self.regions(text).view(len(text), -1, SIDE**2).softmax(dim=1)
        means = noisy.flatten(2) @ masks.transpose(1, 2) / masks.sum(dim=2)[:, None]
        painted = (means @ masks).view_as(noisy)
        canvas = self.canvas(text).view(len(text), -1, SIDE // FOLD, SIDE // FOLD)
        inputs = torch.cat([F.pixel_unshuffle(noisy, FOLD), F.pixel_unshuffle(painted, FOLD), canvas], dim=1)
        labels = torch.cat([text, means.flatten(1)], dim=1)
        coarse = F.pixel_shuffle(self.unet(inputs, 1000 * t, None, class_labels=labels).sample, FOLD)
        return coarse + self.fine(torch.cat([coarse, noisy, painted], dim=1))


class MiniPipeline(DiffusionPipeline):
    """A list of prompts and a list of generators, one a picture -> `.images`: PIL pictures of 32 x 32.

    On one machine a picture is the same to the bit in a batch of any size.
    """

    model_cpu_offload_seq = "text_encoder->denoiser"

    def __init__(self, denoiser: Any, scheduler: Any, text_encoder: Any, tokenizer: Any):
        super().__init__()
        self.register_modules(denoiser=denoiser, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        num_inference_steps: int = 12,
        guidance_scale: float = 1.5,
    ) -> ImagePipelineOutput:
        """Raises ValueError where generators are given as a list of another length than the prompts."""
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        self._warn_of_unknown_words(prompts)
        noise = self._noise(len(prompts), generator)
        pictures: list[Image.Image] = []
        with self.progress_bar(total=-(-len(prompts) // CHUNK) * num_inference_steps) as bar:
            for start in range(0, len(prompts), CHUNK):
                chunk = prompts[start : start + CHUNK]
                filled = [*range(start, start + len(chunk)), *[start] * (CHUNK - len(chunk))]
                text = self.encode([prompts[row] for row in filled] + [""] * CHUNK)
                clean = self._denoised(noise[filled], text, num_inference_steps, guidance_scale, bar)
                pictures += _pil(clean[: len(chunk)])
        return ImagePipelineOutput(images=pictures)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Text embeddings [N, D], as the tower gives them."""
        tokens = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        return self.text_encoder(tokens.to(self._execution_device)).text_embeds

    def _noise(self, count: int, generator: Any) -> Tensor:
        if isinstance(generator, Sequence) and len(generator) != count:
            raise ValueError(f"expected one generator a prompt, got {len(generator)} for {count} prompts")
        each = generator if isinstance(generator, Sequence) else [generator] * count
        like = {"device": self._execution_device, "dtype": self.denoiser.dtype}
        drawn = [randn_tensor((1, 3, SIDE, SIDE), generator=one, **like) for one in each]
        return torch.cat(drawn) if drawn else torch.empty(0, 3, SIDE, SIDE, **like)

    def _denoised(self, x: Tensor, text: Tensor, steps: int, guidance: float, bar: Any) -> Tensor:
        """Noise [B, 3, 32, 32] -> pictures; text: [2 B, D], the prompts and as many empty ones."""
        self.scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps).tolist(), device=x.device)
        for step, timestep in enumerate(self.scheduler.timesteps):
            t = self.scheduler.sigmas[step].to(x)
            with_text, without = self.denoiser(torch.cat([x, x]), t.expand(2 * len(x)), text).chunk(2)
            clean = (without + guidance * (with_text - without)).clamp(-1, 1)
            x = self.scheduler.step((x - clean) / t, timestep, x, return_dict=False)[0]
            bar.update()
        return x

    def _warn_of_unknown_words(self, prompts: Sequence[str]) -> None:
        known = self.__dict__.setdefault("_known_words", set(self.tokenizer.get_vocab()))
        for word in sorted({word for text in prompts for word in re.findall("[a-z]+", text.lower())} - known):
            known.add(word)
            warnings.warn(f"the tiny text-to-image model does not know the word {word!r} and passes over it", stacklevel=3)


def _pil(pictures: Tensor) -> list[Image.Image]:
    values = ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return [Image.fromarray(picture) for picture in values.permute(0, 2, 3, 1).cpu().numpy()]


def new_scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=4.0)


def load_mini_pipeline(folder: str | Path) -> MiniPipeline:
    """The pipeline of a folder, in float32. Where `checksums.json` lies beside the folder, its files are checked first.

    Raises FileNotFoundError or ValueError with the name of a file that is missing or altered, or names code.
    """
    folder = Path(folder)
    if (folder.parent / CHECKSUMS).is_file():
        check_files(folder.parent, folder.name)
    check_pipeline_folder(folder)
    with _quietly():
        return MiniPipeline.from_pretrained(folder, use_safetensors=True).to(torch.float32)


@contextmanager
def _quietly() -> Iterator[None]:
    """Loading takes a moment and is right: no progress bars, no remark that the files' half precision would not do here."""
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    logs: tuple[Any, ...] = (diffusers_log, transformers_log)
    levels = [log.get_verbosity() for log in logs]
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
            log.enable_progress_bar()


def text_tower(clip: Any, *, start_id: int) -> CLIPTextModelWithProjection:
    """An open_clip `CLIP`'s text tower as the model of transformers that diffusers knows; the end token is the largest id."""
    state = clip.state_dict()
    vocabulary, width = state["token_embedding.weight"].shape
    layers = len(clip.transformer.resblocks)
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        projection_dim=state["text_projection"].shape[1],
        num_hidden_layers=layers,
        num_attention_heads=clip.transformer.resblocks[0].attn.num_heads,
        max_position_embeddings=len(state["positional_embedding"]),
        hidden_act="gelu",
        pad_token_id=0,
        bos_token_id=start_id,
        eos_token_id=vocabulary - 1,
    )
    tower = CLIPTextModelWithProjection(config).eval()
    names = tower.state_dict()
    missing = tower.load_state_dict(_renamed(state, layers), strict=False)
    if missing.unexpected_keys or [name for name in missing.missing_keys if not name.endswith("position_ids")]:
        raise RuntimeError(f"expected the text tower's parameters {sorted(names)}, got {missing}")
    return tower


def _renamed(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    renamed = {
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_model.final_layer_norm.weight": state["ln_final.weight"],
        "text_model.final_layer_norm.bias": state["ln_final.bias"],
        "text_projection.weight": state["text_projection"].T,
    }
    for layer in range(layers):
        ours, theirs = f"transformer.resblocks.{layer}", f"text_model.encoder.layers.{layer}"
        for kind in ("weight", "bias"):
            parts = state[f"{ours}.attn.in_proj_{kind}"].chunk(3)
            for name, part in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
                renamed[f"{theirs}.self_attn.{name}.{kind}"] = part
            for old, new in _PARTS.items():
                renamed[f"{theirs}.{new}.{kind}"] = state[f"{ours}.{old}.{kind}"]
    return {name: tensor.detach().clone() for name, tensor in renamed.items()}


_PARTS = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
