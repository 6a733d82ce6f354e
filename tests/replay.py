"""Replays recorded optimisations of the reference through the public `GIFT` strategy.

    python tests/replay.py FILE...

Prints `ok|FAIL loss <max error> weights <max error> FILE` for each record and exits with 1 where a loss is off by more than
1e-3 or a weight by more than 1e-4. The key third of every attention's `in_proj_bias` is left out: its true gradient is zero,
so Adam moves it by rounding alone.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from open_clip import CLIP
from safetensors import SafetensorError, safe_open
from torch import Tensor

LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-3, 1e-4


def read_record(path: str | Path) -> SimpleNamespace:
    """The settings (`.metadata`), `.tensors`, and the weights `.start`, `.final` and, if there, `.initial` of a record."""
    with safe_open(path, framework="pt") as file:
        settings = {key: json.loads(value) for key, value in file.metadata().items()}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    weights = {
        stage: {key.removeprefix(f"{stage}."): value for key, value in tensors.items() if key.startswith(f"{stage}.")}
        for stage in ("start", "initial", "final")
    }
    return SimpleNamespace(settings=settings, tensors=tensors, **weights)


def build_clip(architecture: dict[str, Any]) -> CLIP:
    """open_clip's own class in the recorded sizes."""
    return CLIP(
        embed_dim=architecture["embed_dim"],
        vision_cfg={
            "image_size": architecture["image_size"],
            "layers": architecture["vision_layers"],
            "width": architecture["vision_width"],
            "head_width": architecture["vision_width"] // architecture["vision_heads"],
            "patch_size": architecture["patch_size"],
        },
        text_cfg={
            "context_length": architecture["context_length"],
            "vocab_size": architecture["vocab_size"],
            "width": architecture["text_width"],
            "heads": architecture["text_heads"],
            "layers": architecture["text_layers"],
        },
        quick_gelu=architecture["quick_gelu"],
    )


class RecordedTokenizer:
    """Texts are names of recorded rows: "class 2", "prompt 7"."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.rows = {
            f"{kind} {index}": row for kind in ("class", "prompt") for index, row in enumerate(tensors[f"{kind}_tokens"])
        }

    def __call__(self, texts: list[str], context_length: int | None = None) -> Tensor:
        tokens = torch.stack([self.rows[text] for text in texts])
        return tokens if context_length is None else torch.nn.functional.pad(tokens, (0, context_length - tokens.shape[1]))


class RecordedPairs:
    """The synthetic pairs in the order of the record, call after call."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.pictures = list(tensors["synthetic_images"].flatten(0, 1))
        self.prompts = [f"prompt {index}" for index in tensors["synthetic_prompt_index"].flatten().tolist()]

    def pairs(self, count: int, *, seed: int, exclude: Any = ()) -> tuple[list[Tensor], list[str]]:
        return self.pictures, self.prompts


def one_experience(tensors: dict[str, Tensor]) -> Any:
    """A benchmark whose training batches, unshuffled, are the recorded ones."""
    from avalanche.benchmarks import benchmark_from_datasets
    from avalanche.benchmarks.utils import as_classification_dataset
    from torch.utils.data import TensorDataset

    from avalanche_gift.benchmarks.named_data import name_dataset
    from avalanche_gift.stream_classes import StreamClasses, TaskClasses

    dataset = TensorDataset(tensors["images"].flatten(0, 1), tensors["labels"].flatten())
    dataset.targets = tensors["labels"].flatten().tolist()
    labels = range(len(tensors["class_tokens"]))
    task = TaskClasses(tuple(labels), tuple(f"class {index}" for index in labels), ("{c}",))
    named = name_dataset(as_classification_dataset(dataset), StreamClasses((task,), class_incremental=False), 0)
    return benchmark_from_datasets(train=[named])


def replay(path: str | Path) -> tuple[float, float]:
    """The largest errors of a loss and of a weight, with the settings of the record."""
    from avalanche.core import SupervisedPlugin
    from avalanche.training.plugins import EvaluationPlugin

    from avalanche_gift import GIFT, CLIPClassifier

    record = read_record(path)
    settings, tensors = record.settings, record.tensors
    losses: list[float] = []

    class KeepLoss(SupervisedPlugin):
        def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
            losses.append(strategy.loss.item())
            if len(losses) == settings["optimizer_calls"]:
                strategy.stop_training()

    clip = build_clip(settings["architecture"])
    clip.load_state_dict(record.start)
    model = CLIPClassifier(clip, RecordedTokenizer(tensors), train_transform=None, eval_transform=lambda tensor: tensor)
    optimizer = torch.optim.AdamW(
        [parameter for parameter in clip.parameters() if parameter.requires_grad],
        lr=settings["learning_rate"],
        betas=(0.9, settings["adam_beta2"]),
        weight_decay=settings["weight_decay"],
    )
    weight = settings["consolidation_weight"]
    pairs, batches = tensors["synthetic_prompt_index"], settings.get("static_fisher_batches", 0)
    strategy = GIFT(
        model,
        optimizer=optimizer,
        synthetic=RecordedPairs(tensors),
        alpha=settings["alpha"],
        beta=settings["beta"],
        temperature=settings["temperature"],
        awc_weight=weight if settings["adaptive"] else 0.0,
        l2_weight=0.0 if settings["adaptive"] else weight,
        distillation=settings["distillation"].replace("_", "-"),
        teacher=settings["teacher"],
        theta_initial=record.initial or None,
        label_smoothing=settings["label_smoothing"],
        train_iterations=settings["iterations"],
        warmup_iterations=settings["warmup_iterations"],
        reference_schedule=settings["optimizer_calls"] > settings["iterations"],
        static_fisher=f"reference:{batches * pairs.shape[1]}" if batches else None,
        synthetic_images=pairs.numel(),
        synthetic_mb_size=pairs.shape[1],
        train_mb_size=tensors["labels"].shape[1],
        plugins=[KeepLoss()],
        evaluator=lambda: EvaluationPlugin(loggers=[]),
    )
    strategy.train(one_experience(tensors).train_stream, shuffle=False)
    loss_error = (torch.tensor(losses, dtype=torch.float64) - tensors["loss"].double()).abs().max()
    return float(loss_error), largest_weight_error(clip.state_dict(), record.final)


def largest_weight_error(ours: dict[str, Tensor], recorded: dict[str, Tensor]) -> float:
    errors = []
    for name, expected in recorded.items():
        error = (ours[name] - expected).abs()
        if name.endswith("in_proj_bias"):
            third = len(error) // 3
            error[third : 2 * third] = 0
        errors.append(float(error.max()))
    return max(errors)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    failed = False
    for path in parser.parse_args(argv).files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                loss_error, weight_error = replay(path)
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                print(f"FAIL {type(error).__name__}: {error} {path}", flush=True)
                failed = True
                continue
        ok = loss_error <= LOSS_TOLERANCE and weight_error <= WEIGHT_TOLERANCE
        failed |= not ok
        print(f"{'ok' if ok else 'FAIL'} loss {loss_error:.1e} weights {weight_error:.1e} {path}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
