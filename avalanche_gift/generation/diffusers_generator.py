"""Pictures from a text-to-image pipeline of diffusers, which is imported when a pipeline is loaded by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from avalanche_gift.generation.protocol import check_lengths

if TYPE_CHECKING:
    import torch
    from PIL import Image


class DiffusersGenerator:
    """A diffusers text-to-image pipeline as a `Generator`; the defaults are those of the paper (50 steps, scale 7.5).

    pipeline: a pipeline, or the name or folder of one, which is loaded from safetensors files only.
    device: where it runs. By default a pipeline stays where it is, and a loaded one goes to the GPU where there is one.
    call_kwargs: further arguments of each call of the pipeline, such as negative_prompt or height.

    A loaded pipeline has the precision that diffusers gives it (float32); for the paper's half precision load it
    yourself with torch_dtype=torch.float16. The pipeline's own progress bar is switched off.

        pictures = DiffusersGenerator("stable-diffusion-v1-5/stable-diffusion-v1-5", num_inference_steps=25)
        pictures.generate(["a photo of a cat."], seeds=[picture_seed(0, 0)])
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        batch_size: int = 8,
        device: str | torch.device | None = None,
        **call_kwargs: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"expected a batch_size of 1 or more, came {batch_size}")
        if taken := sorted({"prompt", "generator"} & call_kwargs.keys()):
            raise ValueError(f"came {' and '.join(taken)}: generate(prompts, seeds) passes these to the pipeline")
        if isinstance(pipeline, str | os.PathLike):
            pipeline = _load_pipeline(os.fspath(pipeline))
            device = device or _default_device()
        self.pipeline = pipeline if device is None else pipeline.to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        self.num_inference_steps = num_inference_steps
        self.guidance_scale = guidance_scale
        self.batch_size = batch_size
        self.call_kwargs = call_kwargs

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """One picture a prompt, each from the noise of its own seed, whatever the batch size.

        Batches of another size may still round a value otherwise, by 1 of 255 in float32. The noise is drawn on the
        pipeline's device: a GPU gives other pictures than a CPU. Raises ValueError where the lengths differ and
        RuntimeError where the pipeline returns anything but one PIL picture a prompt.
        """
        check_lengths(prompts, seeds)
        pictures: list[Image.Image] = []
        for start in range(0, len(prompts), self.batch_size):
            batch = slice(start, start + self.batch_size)
            pictures += self._batch(list(prompts[batch]), seeds[batch])
        return pictures

    def _batch(self, prompts: list[str], seeds: Sequence[int]) -> list[Image.Image]:
        import torch

        # an offloaded pipeline rests on one device and runs, and so draws its noise, on another
        device = getattr(self.pipeline, "_execution_device", self.pipeline.device)
        output = self.pipeline(
            prompt=prompts,
            generator=[torch.Generator(device=device).manual_seed(int(seed)) for seed in seeds],
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.guidance_scale,
            **self.call_kwargs,
        )
        return _checked(output, len(prompts))


def _checked(output: Any, expected: int) -> list[Image.Image]:
    from PIL import Image

    if not hasattr(output, "images"):
        raise RuntimeError(
            f"expected a pipeline output with images, came {type(output).__name__}; "
            "use a text-to-image pipeline and leave return_dict as it is"
        )
    pictures = list(output.images)
    if len(pictures) != expected:
        raise RuntimeError(
            f"expected {expected} pictures for {expected} prompts, the pipeline returned {len(pictures)}; "
            "leave num_images_per_prompt at 1 and check that the pipeline takes a list of prompts"
        )
    strange = {type(picture).__name__ for picture in pictures if not isinstance(picture, Image.Image)}
    if strange:
        raise RuntimeError(
            f"expected PIL pictures, the pipeline returned {', '.join(sorted(strange))}; leave output_type at 'pil'"
        )
    return pictures


def _load_pipeline(name: str) -> Any:
    from diffusers import AutoPipelineForText2Image, DiffusionPipeline

    # use_safetensors: the other weight files are pickles, which can run code when they are read
    try:
        return AutoPipelineForText2Image.from_pretrained(name, use_safetensors=True)
    except ValueError:  # a kind of pipeline that the auto class has no entry for
        return DiffusionPipeline.from_pretrained(name, use_safetensors=True)


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
