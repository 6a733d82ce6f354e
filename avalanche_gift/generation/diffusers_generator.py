"""Pictures from a text-to-image pipeline of diffusers, which is imported when a pipeline is loaded by name."""

from __future__ import annotations

import copy
import difflib
import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from avalanche_gift.files import parse_json
from avalanche_gift.generation.folder_check import INDEX, check_index, check_pipeline_folder, connected
from avalanche_gift.generation.protocol import check_lengths
from avalanche_gift.plain_configs import NotPlain

if TYPE_CHECKING:
    import torch
    from PIL import Image

FULL_STEPS = 50
"""Below, the paper's code swaps the scheduler (see `scheduler`)."""

DISTILLED = ("LCMScheduler", "TCDScheduler")
DENOISERS = ("unet", "transformer", "denoiser", "prior")
_PLAIN = (str, int, float, bool, type(None))


class DiffusersGenerator:
    """A diffusers text-to-image pipeline as a `Generator`; the defaults are those of the paper (50 steps, scale 7.5).

    pipeline: a pipeline, or the name or folder of one, which is loaded from safetensors files only, and refused if a file in
    it names code, a remote or a place outside the folder. revision: of a name.
    device: where it runs. By default a pipeline stays where it is, and a loaded one goes to the GPU where there is one.
    scheduler: the name of a diffusers scheduler, which is built from the pipeline's own, or a scheduler. By default the
    pipeline's own from 50 steps on; below, multistep DPM-Solver takes its place as in the paper's code, unless it is of a
    kind that has no such form (flow matching) or was distilled for few steps (LCM, TCD). `own` keeps it at any number.
    Distilled models with another scheduler (turbo kinds) want `own`.
    half_precision: float16, as the paper. Without, a loaded pipeline is in the float32 that diffusers gives it.
    compile, channels_last: of the denoising model; worth it on a GPU and for many pictures. attention_slicing: less memory
    for more time. cpu_offload: each model is on the GPU only while it runs.
    call_kwargs: further arguments of each call of the pipeline, such as negative_prompt or height.

    The pipeline's own progress bar is switched off; a pipeline that comes with its scheduler keeps it for other callers.

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
        revision: str | None = None,
        scheduler: Any = None,
        half_precision: bool = False,
        compile: bool = False,
        channels_last: bool = False,
        attention_slicing: bool = False,
        cpu_offload: bool = False,
        **call_kwargs: Any,
    ) -> None:
        for name, number in (("a batch_size", batch_size), ("num_inference_steps", num_inference_steps)):
            if number < 1:
                raise ValueError(f"expected {name} of 1 or more, came {number}")
        if not math.isfinite(guidance_scale):
            raise ValueError(f"expected a finite guidance_scale, got {guidance_scale}")
        if taken := sorted({"prompt", "generator"} & call_kwargs.keys()):
            raise ValueError(f"came {' and '.join(taken)}: generate(prompts, seeds) passes these to the pipeline")
        if cpu_offload and device is not None and str(device) == "cpu":
            raise ValueError("expected a GPU for cpu_offload, came device='cpu'; leave one of them out")
        self._name, self._revision = None, revision
        if isinstance(pipeline, str | os.PathLike):
            name = os.fspath(pipeline)
            self._name = Path(name).name if Path(name).exists() else name
            pipeline = _load_pipeline(name, revision, half_precision)
            device = device or _default_device()
        pipeline = _with_scheduler(pipeline, scheduler, num_inference_steps)
        if half_precision:
            pipeline = _halved(pipeline, device)
        if cpu_offload:
            pipeline.enable_model_cpu_offload(device=device or _default_device())
        elif device is not None:
            pipeline = pipeline.to(device)
        _set_up(pipeline, compile=compile, channels_last=channels_last, attention_slicing=attention_slicing)
        self.pipeline = pipeline
        self.pipeline.set_progress_bar_config(disable=True)
        self.num_inference_steps = num_inference_steps
        self.guidance_scale = guidance_scale
        self.batch_size = batch_size
        self.call_kwargs = call_kwargs

    def describe(self) -> dict[str, Any]:
        """What decides the pictures beside prompt and seed, as plain values: the `meta.json` of a store.

        weights: a fingerprint of the denoising model, None where they rest nowhere that can be read. size: of the pictures
        in pixels, None where neither the call nor the pipeline names it. Not in it: batch size and ways to run it faster.
        """
        pipeline = self.pipeline
        scheduler = getattr(pipeline, "scheduler", None)
        config = getattr(pipeline, "config", {})
        return {
            "pipeline": type(pipeline).__name__,
            "name": self._name or _known_name(config.get("_name_or_path")),
            "revision": self._revision,
            "weights": _fingerprint(_denoiser(pipeline)),
            "scheduler": None if scheduler is None else type(scheduler).__name__,
            "steps": self.num_inference_steps,
            "guidance": self.guidance_scale,
            "size": _size(pipeline, self.call_kwargs),
            "dtype": str(getattr(pipeline, "dtype", None)).removeprefix("torch."),
            "device": getattr(self._device(), "type", None),
            "call": {key: value if isinstance(value, _PLAIN) else repr(value) for key, value in self.call_kwargs.items()},
        }

    def _device(self) -> Any:
        # an offloaded pipeline rests on one device and runs, and so draws its noise, on another
        return getattr(self.pipeline, "_execution_device", None) or getattr(self.pipeline, "device", None)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """One picture a prompt, each from the noise of its own seed, whatever the batch size.

        Batches of another size may still round a value otherwise, by 1 of 255 in float32. The noise is drawn on the
        pipeline's device: a GPU gives other pictures than a CPU. Raises ValueError where the lengths differ and
        RuntimeError where the pipeline returns anything but one PIL picture a prompt.
        """
        check_lengths(prompts, seeds)
        pictures: list[Image.Image] = []
        starts = range(0, len(prompts), self.batch_size)
        hidden = True if len(starts) < 2 else None  # None: where standard error is no terminal
        for start in tqdm(starts, desc="pictures", unit="batch", delay=2, leave=False, disable=hidden):
            batch = slice(start, start + self.batch_size)
            pictures += self._batch(list(prompts[batch]), seeds[batch])
        return pictures

    def _batch(self, prompts: list[str], seeds: Sequence[int]) -> list[Image.Image]:
        import torch

        device = self._device()
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


def _load_pipeline(name: str, revision: str | None = None, half_precision: bool = False) -> Any:
    from safetensors import SafetensorError

    try:
        return _loaded(name, revision, half_precision)
    except NotPlain:  # which says by itself what was expected
        raise
    except (AttributeError, KeyError, SafetensorError, TypeError, ValueError) as error:
        raise ValueError(f"expected a text-to-image pipeline of diffusers in '{name}', came {error}") from error


def _loaded(name: str, revision: str | None, half_precision: bool) -> Any:
    if _class_named(Path(name)) == "MiniPipeline":  # diffusers looks up a pipeline's class among its own only
        from avalanche_gift.generation.mini_pipeline import load_mini_pipeline

        return load_mini_pipeline(name)
    from diffusers import AutoPipelineForText2Image, DiffusionPipeline

    # use_safetensors: the other weight files are pickles, which can run code when they are read
    options: dict[str, Any] = {"use_safetensors": True, **({"revision": revision} if revision else {})}
    if half_precision:
        import torch

        options["torch_dtype"] = torch.float16
    folder = _checked_folder(name, options)
    try:
        return AutoPipelineForText2Image.from_pretrained(folder, **options)
    except ValueError:  # a kind of pipeline that the auto class has no entry for
        return DiffusionPipeline.from_pretrained(folder, **options)


def _checked_folder(name: str, options: dict[str, Any]) -> str:
    """The folder of a pipeline once all its configurations are checked; one of the hub is downloaded for that."""
    from diffusers import DiffusionPipeline

    if Path(name).is_dir():
        check_pipeline_folder(Path(name))
        return name
    given = {key: options[key] for key in ("use_safetensors", "revision") if key in options}
    # the index first: by what it names, a download may already import something
    check_index(DiffusionPipeline.load_config(name, revision=given.get("revision")), where=f"{INDEX} of '{name}'")
    folder = DiffusionPipeline.download(name, load_connected_pipeline=True, **given)
    check_pipeline_folder(Path(folder), remote=True)
    for other in connected(Path(folder)):  # the prior of a Kandinsky, which the model card names
        _checked_folder(other, {"use_safetensors": True})
    return str(folder)


def _with_scheduler(pipeline: Any, scheduler: Any, steps: int) -> Any:
    """The pipeline with the scheduler asked for; a shallow copy where that is not its own, which others may be using."""
    own = getattr(pipeline, "scheduler", None)
    chosen = _scheduler(own, scheduler, steps)
    if chosen is own:
        return pipeline
    pipeline = copy.copy(pipeline)
    if callable(getattr(pipeline, "register_modules", None)):
        pipeline._internal_dict = copy.copy(pipeline._internal_dict)
        pipeline.register_modules(scheduler=chosen)
    else:
        pipeline.scheduler = chosen
    return pipeline


def _scheduler(own: Any, asked: Any, steps: int) -> Any:
    if asked == "own" or (asked is None and (steps >= FULL_STEPS or not _dpm_solver_can_replace(own))):
        return own
    if asked is not None and not isinstance(asked, str):
        return asked
    import diffusers

    kind = diffusers.DPMSolverMultistepScheduler if asked is None else getattr(diffusers, asked, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        nearest = difflib.get_close_matches(str(asked), [n for n in dir(diffusers) if n.endswith("Scheduler")], n=1, cutoff=0.0)
        raise ValueError(f"expected 'own' or a scheduler of diffusers, came {asked!r}; the nearest is {', '.join(nearest)!r}")
    return kind.from_config(own.config)


def _dpm_solver_can_replace(scheduler: Any) -> bool:
    if scheduler is None or type(scheduler).__name__ in DISTILLED:
        return False
    names = {getattr(kind, "__name__", None) for kind in getattr(scheduler, "compatibles", ())}
    return "DPMSolverMultistepScheduler" in names and not type(scheduler).__name__.startswith("FlowMatch")


def _halved(pipeline: Any, device: Any) -> Any:
    import torch

    where = torch.device(device) if device is not None else pipeline.device
    if where.type == "cpu" and not torch.cuda.is_available():
        raise ValueError("expected a GPU for half precision, came the device cpu; leave half_precision out")
    return pipeline.to(dtype=torch.float16)


def _set_up(pipeline: Any, *, compile: bool, channels_last: bool, attention_slicing: bool) -> None:
    import torch

    if attention_slicing:
        pipeline.enable_attention_slicing()
    denoiser = _denoiser(pipeline) if compile or channels_last else None
    if (compile or channels_last) and denoiser is None:
        raise ValueError(f"expected a pipeline with one of {DENOISERS}, came {type(pipeline).__name__}")
    if channels_last and denoiser is not None:
        denoiser.to(memory_format=torch.channels_last)
    if compile and denoiser is not None:
        denoiser.compile()  # in place: the pipeline still saves and offloads it


def _denoiser(pipeline: Any) -> Any:
    found = (getattr(pipeline, name, None) for name in DENOISERS)
    return next((model for model in found if hasattr(model, "parameters")), None)


def _fingerprint(model: Any) -> str | None:
    """Of the first values of every parameter, so that other weights in the same folder or under the same name are noticed."""
    if model is None or any(parameter.is_meta for parameter in model.parameters()):
        return None
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        values = parameter.detach().flatten()[:16].float().cpu().numpy().tobytes()
        digest.update(name.removeprefix("_orig_mod.").encode() + values)
    return digest.hexdigest()[:16]


def _known_name(name: Any) -> str | None:
    """Of a folder the last part only: a store may move with it."""
    if not isinstance(name, str) or not name:
        return None
    return Path(name).name if Path(name).exists() else name


def _size(pipeline: Any, call: dict[str, Any]) -> list[int] | None:
    """Height and width."""
    denoiser = _denoiser(pipeline)
    latent, factor = (
        getattr(getattr(denoiser, "config", None), "sample_size", None),
        getattr(pipeline, "vae_scale_factor", None),
    )
    side = latent * factor if isinstance(latent, int) and isinstance(factor, int) else None
    height, width = call.get("height", side), call.get("width", side)
    return None if height is None or width is None else [height, width]


def _class_named(folder: Path) -> str | None:
    """The pipeline's class as a local folder's model_index.json names it."""
    index = folder / "model_index.json"
    if not index.is_file():
        return None
    found = parse_json(index.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"an object of JSON, came {type(found).__name__}")
    return found.get("_class_name")


def _default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
