"""Training the tiny text-to-image model on canonical pictures: flow matching, the net predicts the picture itself."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from avalanche_gift.benchmarks.mini import VOCABULARY, all_prompts
from avalanche_gift.files import write_aside
from avalanche_gift.generation.mini_pipeline import MiniDenoiser, MiniPipeline, new_scheduler, text_tower
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.models.mini import write_tokenizer
from mini_pretraining.drawing import Pool
from mini_pretraining.loop import Recipe, Training, batches

BATCH, EMPTY_SHARE, LEAST_T = 64, 0.1, 0.08


def new_pipeline(model: CLIPClassifier, work: Path, seed: int) -> MiniPipeline:
    """A pipeline around the CLIP's own text tower, its net with random weights."""
    write_tokenizer(VOCABULARY, work / "tokenizer")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(work / "tokenizer"))
    tower = text_tower(model.clip, start_id=tokenizer.bos_token_id).requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = MiniDenoiser(fine_channels=24, fine_layers=3)
    pipeline = MiniPipeline(denoiser, new_scheduler(), tower, tokenizer)
    texts = encoded(pipeline, all_prompts())
    denoiser.text_mean.copy_(texts.mean(dim=0))
    denoiser.text_std.copy_(texts.std(dim=0))
    return pipeline


@torch.no_grad()
def encoded(pipeline: MiniPipeline, prompts: Sequence[str]) -> Tensor:
    """Normalised text embeddings [N, D]."""
    return F.normalize(pipeline.encode(prompts), dim=-1)


def train(pipeline: MiniPipeline, pool: Pool, *, steps: int, seed: int, work: Path) -> Training:
    """Trains the pipeline's net in place and leaves the averaged weights."""
    denoiser = pipeline.denoiser.train().to(memory_format=torch.channels_last)
    texts = encoded(pipeline, [*all_prompts(), ""])
    number = {prompt: row for row, prompt in enumerate(all_prompts())}
    prompts = torch.tensor([number[text] for text in pool.texts])
    recipe = Recipe(steps=steps, lr=2e-3, betas=(0.9, 0.99), decay=0.01, ema=0.998)
    training = Training(
        denoiser,
        recipe,
        title="generator",
        checkpoint=work / "generator.safetensors",
        identity={"seed": seed, "pictures": len(pool.pictures)},
    )
    rows_of = batches(len(pool.pictures), BATCH, seed, training.step)

    def loss_at(step: int) -> Tensor:
        random = torch.Generator().manual_seed(1_000_003 * (seed + 1) + step)
        rows = torch.from_numpy(next(rows_of))
        clean = torch.from_numpy(pool.pictures[rows.numpy()]).permute(0, 3, 1, 2).float() / 127.5 - 1
        empty = torch.rand(len(rows), generator=random) < EMPTY_SHARE
        text = texts[torch.where(empty, len(texts) - 1, prompts[rows])]
        return flow_loss(denoiser, clean, text, random)

    training.run(loss_at, every=100)
    training.averaged()
    denoiser.eval()
    return training


def flow_loss(denoiser: MiniDenoiser, clean: Tensor, text: Tensor, random: torch.Generator) -> Tensor:
    """Squared error of the velocity (x_t - x_0) / t, with t no less than 0.08; x_t = (1 - t) x_0 + t noise.

    clean: [B, 3, 32, 32] in -1..1. text: [B, D]. t is the sigmoid of N(1.1, 1.3): the colours of a picture are decided at
    t > 0.85, where the sampler takes half its steps, and below 0.25 it takes none.
    """
    t = (1.3 * torch.randn(len(clean), generator=random) + 1.1).sigmoid()
    wide = t.view(-1, 1, 1, 1)
    noise = torch.randn(clean.shape, generator=random)
    noisy = torch.lerp(clean, noise, wide)
    return ((denoiser(noisy, t, text) - clean) / wide.clamp(min=LEAST_T)).square().mean()


def save(pipeline: MiniPipeline, folder: Path) -> None:
    """The pipeline in half precision, readable by transformers 4 and 5."""
    pipeline.denoiser.to(memory_format=torch.contiguous_format)
    pipeline.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    write_tokenizer(VOCABULARY, folder / "tokenizer")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["tokenizer"] = ["transformers", "PreTrainedTokenizerFast"]
    write_aside(folder / "model_index.json", json.dumps(index, indent=2).encode())
