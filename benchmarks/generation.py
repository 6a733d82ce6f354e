"""Seconds a picture and peak memory of generation at batch 1, 8 and 32, against a loop of one picture a call.

    python benchmarks/generation.py >> benchmarks/generation.jsonl            # the embedded pipeline, on the CPU
    python benchmarks/generation.py --sd15 >> benchmarks/generation.jsonl     # SD 1.5's size, random weights, on a GPU

One JSON line. The loop is the reference's: the pipeline called once a picture, with that picture's generator. Pipeline and
pictures are the same throughout; each way runs in a process of its own, whose peak memory is the growth over what loading took.
--source: a folder with text_to_image/, for weights other than the embedded ones (their values change no time).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import diffusers  # noqa: E402
import torch  # noqa: E402

from avalanche_gift.benchmarks.mini.concepts import base_prompts  # noqa: E402
from avalanche_gift.generation import DiffusersGenerator, mini_generator, picture_seed  # noqa: E402

WAYS = ("loop", "1", "8", "32")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sd15", action="store_true")
    parser.add_argument("--source")
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--way", choices=WAYS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measured(arguments)))
        return
    results = {}
    for way in WAYS:
        command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
        results[way] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    loop = results["loop"]["seconds_a_picture"]
    speedups = {way: round(loop / results[way]["seconds_a_picture"], 2) for way in WAYS[1:]}
    device = torch.cuda.get_device_name() if arguments.sd15 else f"CPU, 1 thread of {os.cpu_count()}, {processor()}"
    versions = {"python": platform.python_version(), "torch": torch.__version__, "diffusers": diffusers.__version__}
    facts = {
        "date": date.today().isoformat(),
        "load_average": round(os.getloadavg()[0], 1),
        "device": device,
        "versions": versions,
    }
    pipeline = "SD 1.5, random weights, float16, 50 steps" if arguments.sd15 else "embedded, 12 steps"
    print(json.dumps({"measurement": "generation", "pipeline": pipeline, **results, "speedup_over_loop": speedups, **facts}))


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    count = arguments.pictures or 64
    generator = sd15() if arguments.sd15 else mini_generator(arguments.source)
    generator.batch_size = 1 if arguments.way == "loop" else int(arguments.way)
    base = base_prompts()
    prompts = [base[index % len(base)] for index in range(count)]
    seeds = [picture_seed(0, index) for index in range(count)]
    make = loop if arguments.way == "loop" else DiffusersGenerator.generate
    on_gpu = arguments.sd15
    before = 0 if on_gpu else peak()
    make(generator, prompts[: generator.batch_size], seeds[: generator.batch_size])
    if on_gpu:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    make(generator, prompts, seeds)
    seconds = (time.perf_counter() - start) / count
    after = torch.cuda.max_memory_allocated() if on_gpu else peak()
    return {"seconds_a_picture": round(seconds, 4), "peak_growth_MB": round((after - before) / 1e6, 1), "pictures": count}


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


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
