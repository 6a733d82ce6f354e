"""Seconds a picture and peak memory of generation at batch 1, 8 and 32, against a loop of one picture a call.

    python benchmarks/generation.py >> benchmarks/generation.jsonl            # the embedded pipeline, on the CPU
    python benchmarks/generation.py --sd15 >> benchmarks/generation.jsonl     # SD 1.5's size, random weights, on a GPU

One JSON line each. The loop is the reference's: the pipeline called once a picture, with that picture's generator. Pipeline and
pictures are the same throughout; each way runs in a process of its own, whose peak memory is the growth over what loading took.
The embedded pipeline computes eight pictures at a time, even where one is wanted, so that none depends on the batch: its loop
wastes seven eighths. `loop-unpadded` computes one at a time and is what a loop costs at best; a rounding may differ there.
On the CPU the ratio is one of CPU seconds, which other processes on the machine hardly touch; --at-once takes all ways side by
side. --source: a folder with text_to_image/, for weights other than the embedded ones (their values change no time).
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import diffusers  # noqa: E402
import torch  # noqa: E402

from avalanche_gift.benchmarks.mini.concepts import base_prompts  # noqa: E402
from avalanche_gift.generation import DiffusersGenerator, mini_generator, mini_pipeline, picture_seed  # noqa: E402

WAYS = ("loop", "loop-unpadded", "1", "8", "32")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sd15", action="store_true")
    parser.add_argument("--source")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--steps", type=int, help="of denoising (default: the embedded pipeline's 12; with --sd15 50)")
    parser.add_argument("--at-once", action="store_true")
    parser.add_argument("--way", choices=WAYS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measured(arguments)))
        return
    ways = [way for way in WAYS if not (arguments.sd15 and way == "loop-unpadded")]
    command = [sys.executable, __file__, *sys.argv[1:], "--way"]
    with ThreadPoolExecutor(len(ways) if arguments.at_once else 1) as threads:
        results = dict(zip(ways, threads.map(lambda way: result_of([*command, way]), ways), strict=True))
    versions = {"python": platform.python_version(), "torch": torch.__version__, "diffusers": diffusers.__version__}
    facts = {
        "date": date.today().isoformat(),
        "load_average": round(os.getloadavg()[0], 1),
        "device": torch.cuda.get_device_name() if arguments.sd15 else f"CPU, 1 thread, {platform.machine()}",
        "versions": versions,
    }
    pipeline = "SD 1.5, random weights, float16" if arguments.sd15 else "embedded"
    loop, cost = results["loop"], "seconds_a_picture" if arguments.sd15 else "cpu_seconds_a_picture"
    for way, result in results.items():
        beside = {
            "times_as_fast_as_loop": round(loop[cost] / result[cost], 2),
            "same_pictures_as_loop": result["sha256"] == loop["sha256"],
        }
        print(json.dumps({"measurement": "generation", "pipeline": pipeline, "way": way, **result, **beside, **facts}))


def result_of(command: list[str]) -> dict[str, Any]:
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    count = arguments.pictures
    generator = sd15() if arguments.sd15 else mini_generator(arguments.source)
    generator.num_inference_steps = arguments.steps or generator.num_inference_steps
    looped = arguments.way.startswith("loop")
    generator.batch_size = 1 if looped else int(arguments.way)
    if arguments.way == "loop-unpadded":
        mini_pipeline.CHUNK = 1
    base = base_prompts()
    prompts = [base[index % len(base)] for index in range(count)]
    seeds = [picture_seed(0, index) for index in range(count)]
    make = loop if looped else DiffusersGenerator.generate
    on_gpu = arguments.sd15
    before = 0 if on_gpu else peak()
    make(generator, prompts[: generator.batch_size], seeds[: generator.batch_size])
    if on_gpu:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    start, cpu_start = time.perf_counter(), time.process_time()
    pictures = make(generator, prompts, seeds)
    cpu_seconds, seconds = (time.process_time() - cpu_start) / count, (time.perf_counter() - start) / count
    after = torch.cuda.max_memory_allocated() if on_gpu else peak()
    digest = hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).hexdigest()[:16]
    costs = {"seconds_a_picture": round(seconds, 4), "cpu_seconds_a_picture": round(cpu_seconds, 4)}
    costs["peak_growth_MB"] = round((after - before) / 1e6, 1)
    return {**costs, "pictures": count, "steps": generator.num_inference_steps, "sha256": digest}


def loop(generator: DiffusersGenerator, prompts: list[str], seeds: list[int]) -> list[Any]:
    device = generator.pipeline.device
    steps, scale = generator.num_inference_steps, generator.guidance_scale
    return [
        generator.pipeline(
            prompt=prompt,
            generator=torch.Generator(device).manual_seed(seed),
            num_inference_steps=steps,
            guidance_scale=scale,
        ).images[0]
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


def sd15() -> DiffusersGenerator:
    """A pipeline of SD 1.5's sizes with random weights; its tokenizer, which speed does not hang on, knows single letters."""
    import tempfile

    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz."
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder = Path(tempfile.mkdtemp())
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        max_position_embeddings=77, projection_dim=768,
    )  # fmt: skip
    pipeline = StableDiffusionPipeline(
        tokenizer=CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77),
        text_encoder=CLIPTextModel(text),
        unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
        vae=AutoencoderKL(
            sample_size=512, block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        ),
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    return DiffusersGenerator(pipeline, device="cuda", half_precision=True)


def peak() -> int:
    """Bytes. Not `ru_maxrss`, which a process takes over from the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
