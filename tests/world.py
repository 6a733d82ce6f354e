"""A tiny world: a CLIP of a few thousand weights, made pictures, streams of them, a generator that notes its calls."""

import warnings
import zlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import class_incremental_benchmark
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive
from open_clip import CLIP
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import CenterCrop, Compose, Normalize, RandomResizedCrop, Resize, ToTensor

from avalanche_gift.benchmarks import Task, clip_benchmark, with_class_names
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.training.plugins import clip_optimizer

torch.set_num_threads(1)  # Tensors this small are only slowed down by more, most of all on a busy machine.

CONTEXT, VOCABULARY, SIDE = 16, 512, 16
NAMES = ("cat", "dog", "owl", "car", "bus", "oak", "elm", "fir", "yew")
COUNTS = (3, 2, 4)
NORMALIZE = Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class WordTokenizer:
    """A number for each word, between a start and an end token; the end token is the largest number, as in CLIP."""

    def __call__(self, texts: Sequence[str], context_length: int = CONTEXT) -> torch.Tensor:
        rows = torch.zeros(len(texts), context_length, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            words = [1 + zlib.crc32(word.encode()) % (VOCABULARY - 3) for word in text.split()]
            tokens = [VOCABULARY - 2, *words, VOCABULARY - 1][:context_length]
            row[: len(tokens)] = torch.tensor(tokens)
        return rows


def tiny_model(seed: int = 0) -> CLIPClassifier:
    """An open_clip CLIP with one layer a tower; equal weights for equal seeds, and torch's generator left alone."""
    tower = {"layers": 1, "width": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = CLIP(
            embed_dim=12,
            vision_cfg={**tower, "image_size": SIDE, "head_width": 8, "patch_size": 8},
            text_cfg={**tower, "context_length": CONTEXT, "vocab_size": VOCABULARY, "heads": 2},
            quick_gelu=True,
        )
    return CLIPClassifier(clip, WordTokenizer(), train_transform=augment(), eval_transform=plain(), name="tiny")


def augment() -> Compose:
    return Compose([RandomResizedCrop(SIDE, scale=(0.9, 1.0)), ToTensor(), NORMALIZE])


def plain() -> Compose:
    return Compose([Resize(SIDE), CenterCrop(SIDE), ToTensor(), NORMALIZE])


class Pictures(Dataset):
    """Noisy pictures [16, 16] with a colour for each class, the labels in `.targets`."""

    def __init__(self, classes: int, per_class: int, seed: int):
        self.targets = [label for label in range(classes) for _ in range(per_class)]
        random = np.random.default_rng(seed)
        colours = np.random.default_rng(seed // 10).integers(40, 215, size=(classes, 1, 1, 3))
        noise = random.integers(-40, 40, size=(len(self.targets), SIDE, SIDE, 3))
        self.arrays = (colours[self.targets] + noise).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.arrays[index]), self.targets[index]


def names_of(task: int, counts: Sequence[int] = COUNTS) -> tuple[str, ...]:
    first = sum(counts[:task])
    return NAMES[first : first + counts[task]]


def template_of(task: int) -> str:
    return f"a photo of kind{task} {{c}}."


def prompts_of(task: int, counts: Sequence[int] = COUNTS) -> list[str]:
    return [template_of(task).replace("{c}", name) for name in names_of(task, counts)]


def made_stream(
    counts: Sequence[int] = COUNTS,
    *,
    per_class: int = 6,
    learning_rates: Sequence[float | None] | None = None,
    train_transform: Any = None,
    eval_transform: Any = None,
    class_incremental: bool = False,
) -> Any:
    """Our own stream of tasks with these class counts, each with its own names and first template."""
    tasks = [
        Task(
            name=f"task{number}",
            train=Pictures(count, per_class, seed=10 * number),
            test=Pictures(count, 3, seed=10 * number + 1),
            class_names=names_of(number, counts),
            templates=(template_of(number), f"kind{number}: {{c}}."),
            learning_rate=None if learning_rates is None else learning_rates[number],
        )
        for number, count in enumerate(counts)
    ]
    return clip_benchmark(
        tasks,
        train_transform=augment() if train_transform is None else train_transform,
        eval_transform=plain() if eval_transform is None else eval_transform,
        class_incremental=class_incremental,
    )


STOCK_ORDER = (8, 0, 4, 2, 6, 1, 3, 5, 7)


def stock_labels(experience: int) -> list[int]:
    """The global labels of an experience of `stock_stream`, in order."""
    first = sum(COUNTS[:experience])
    return sorted(STOCK_ORDER[first : first + COUNTS[experience]])


def named_stock_stream(per_class: int = 4, templates: Sequence[str] = ("a photo of a {c}.",), **kwargs: Any) -> Any:
    """`stock_stream` with class names."""
    return with_class_names(stock_stream(per_class), NAMES, templates, **kwargs)


def stock_stream(per_class: int = 4) -> Any:
    """A class-incremental benchmark of Avalanche's own making: global labels, in another order than the stream's."""
    transforms = {"train": (augment(), None), "eval": (plain(), None)}
    data = {
        name: as_classification_dataset(Pictures(len(NAMES), per_class, seed), transform_groups=transforms)
        for seed, name in enumerate(("train", "test"))
    }
    return class_incremental_benchmark(data, class_order=list(STOCK_ORDER), num_classes_per_exp=list(COUNTS))


class MadePictures:
    """A generator whose picture depends on prompt and seed alone. calls: the prompts and seeds it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], list[int]]] = []

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        self.calls.append((list(prompts), list(seeds)))
        return [self.picture(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    @staticmethod
    def picture(prompt: str, seed: int) -> Image.Image:
        random = np.random.default_rng([zlib.crc32(prompt.encode()), seed])
        return Image.fromarray(random.integers(0, 255, size=(20, 20, 3), dtype=np.uint8))


BASE_PROMPTS = ["a photo of a sun.", "a photo of a moon.", "a photo of a star.", "a photo of a hill."]


def quiet(*metrics: Any) -> EvaluationPlugin:
    """An evaluator that prints nothing, nor warns that it does not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No loggers specified")
        return EvaluationPlugin(*metrics, loggers=[])


def naive(*plugins: Any) -> Naive:
    """Avalanche's plain strategy on the tiny model, with these plugins."""
    model = tiny_model()
    torch.manual_seed(0)
    return Naive(
        model=model,
        optimizer=clip_optimizer(model, lr=1e-3),
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=8,
        plugins=list(plugins),
        evaluator=quiet(),
    )


class Spy(SupervisedPlugin):
    """Calls functions of the strategy at hooks by name: `Spy(after_forward=lambda strategy: ...)`; keeps what they return."""

    def __init__(self, **hooks: Any):
        super().__init__()
        self.seen = SimpleNamespace(**{name: [] for name in hooks})
        for name, look in hooks.items():
            setattr(self, name, self._hook(name, look))

    def _hook(self, name: str, look: Any) -> Any:
        def hook(strategy: Any, **kwargs: Any) -> None:
            getattr(self.seen, name).append(look(strategy))

        return hook


def weights_of(model: CLIPClassifier) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.clip.state_dict().items()}


def equal_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
