"""A GIFT strategy and the plain step on the same batches, in turns; the models, names and pictures of the benchmarks."""

import copy
import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np
import open_clip
import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import EvaluationPlugin
from gauges import LiveBytes
from PIL import Image
from plain_step import PlainStep
from torch import Tensor
from torch.utils.data import Dataset

from avalanche_gift import GIFT, CLIPClassifier
from avalanche_gift.benchmarks import Task, clip_benchmark
from avalanche_gift.benchmarks.class_names import class_names, templates
from avalanche_gift.models.loading import OWN_CONFIGS
from avalanche_gift.prompts import fill

DATASETS = {10: "EuroSAT", 100: "CIFAR100", 397: "SUN397"}


def side_by_side(
    model: CLIPClassifier, task: Task, pairs: "Pairs", *, iterations: int, gauges: list[Any] | None = None, **options: Any
) -> tuple[GIFT, "Beside"]:
    """GIFT over `model`, and the plugin that runs the plain step on a copy of its weights. options: of GIFT."""
    shared = {key: options[key] for key in ("lr", "alpha", "beta", "awc_weight", "temperature") if key in options}
    warmup = min(100, iterations // 10)
    plain = PlainStep(copy.deepcopy(model.clip), iterations=iterations, warmup=warmup, **shared)
    beside = Beside(plain, pairs, task, gauges or [], options.get("synthetic_mb_size", 64))
    strategy = GIFT(
        model,
        synthetic=pairs,
        synthetic_images=len(pairs.pictures),
        train_iterations=iterations,
        plugins=[beside],
        evaluator=silent(),
        device=model.logit_scale.device,
        **options,
    )
    return strategy, beside


class Beside(SupervisedPlugin):
    """Lets the plain step follow every iteration of a strategy on the same batches, and tells the gauges who is at work.

    terms: the loss terms of every iteration, ours and the plain step's. lengths: of the texts, in tokens.
    """

    supports_distributed = False

    def __init__(self, plain: PlainStep, pairs: "Pairs", task: Task, gauges: list[Any], synthetic: int):
        super().__init__()
        self.plain, self.pairs, self.task, self.gauges, self.synthetic = plain, pairs, task, gauges, synthetic
        self.terms: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
        self.lengths: dict[str, int] = {}

    def switch(self, owner: str) -> None:
        for gauge in self.gauges:
            if hasattr(gauge, "switch"):
                gauge.switch(owner)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        model = strategy.model
        for owner, clip in (("plain", self.plain.clip), ("plain", self.plain.teacher), ("ours once", model.clip)):
            self.switch(owner)
            for gauge in self.gauges:
                if isinstance(gauge, LiveBytes):
                    gauge.add(clip.parameters())
        model.register_forward_pre_hook(lambda *_: self.switch("ours task"))

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.switch("data")
        model, template = strategy.model, self.task.templates[0]
        class_prompts = [fill(template, name) for name in self.task.class_names]
        self.class_tokens, self.prompt_tokens = (model.tokenizer(texts) for texts in (class_prompts, self.pairs.prompts))
        class_length, prompt_length = (model.tokenize(texts).shape[1] for texts in (class_prompts, self.pairs.prompts))
        self.lengths = {"class_texts": class_length, "prompts": prompt_length, "context": self.class_tokens.shape[1]}

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.switch("ours synthetic")

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.switch("data")
        iteration, device = strategy.clock.train_exp_iterations, strategy.device
        first = self.synthetic * (iteration % -(-len(self.pairs.pictures) // self.synthetic))
        rows = slice(first, first + self.synthetic)  # in order, the last batch of a pass short
        pictures = torch.stack([strategy.model.eval_transform(picture) for picture in self.pairs.pictures[rows]])
        batch = {"synthetic_images": pictures, "prompt_tokens": self.prompt_tokens[rows], "class_tokens": self.class_tokens}
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.autocast(device.type, enabled=False) if device.type != "meta" else nullcontext():
            self.switch("plain")
            terms = self.plain(iteration, images=strategy.mb_x, labels=strategy.mb_y, **batch)
            self.switch("data")
        self.terms.append((dict(strategy.loss_terms), terms))


class Pairs:
    """A source of synthetic pairs that holds them."""

    def __init__(self, pictures: list[Any], prompts: list[str]):
        self.pictures, self.prompts = pictures, prompts

    def pairs(self, count: int, *, seed: int, exclude: Any = ()) -> tuple[list[Any], list[str]]:
        return self.pictures, self.prompts


class Noise(Dataset):
    """`count` pictures of made-up pixels, `side` wide; the labels go round the classes."""

    def __init__(self, count: int, side: int, classes: int):
        self.side, self.targets = side, [index % classes for index in range(count)]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        pixels = np.random.default_rng(index).integers(0, 255, (self.side, self.side, 3), dtype=np.uint8)
        return Image.fromarray(pixels), self.targets[index]


def silent() -> EvaluationPlugin:
    """An evaluator that prints nothing, nor warns that it does not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No loggers specified")
        return EvaluationPlugin(loggers=[])


def build_model(name: str, device: str) -> CLIPClassifier:
    """A CLIP of open_clip's by name, `tiny` for clip-tiny, with random weights, or none on the meta device."""
    name = "clip-tiny" if name == "tiny" else name
    open_clip.add_model_config(OWN_CONFIGS)
    torch.manual_seed(0)
    with torch.device(device):
        clip = open_clip.CLIP(**open_clip.get_model_config(name))
    train, test = (open_clip.image_transform(clip.visual.image_size, is_train=training) for training in (True, False))
    return CLIPClassifier(clip, open_clip.get_tokenizer(name), train_transform=train, eval_transform=test, name=name)


def names_of(classes: int) -> tuple[tuple[str, ...], str]:
    """Class names and the training template: a data set's of that many classes, else ImageNet's names, numbered in the end."""
    if classes in DATASETS:
        return class_names(DATASETS[classes]), templates(DATASETS[classes])[0]
    names = list(dict.fromkeys(open_clip.IMAGENET_CLASSNAMES))
    numbered = [names[index % len(names)] + (f" {index // len(names)}" * (index >= len(names))) for index in range(classes)]
    return tuple(numbered), "a photo of a {c}."


def stream_of(model: CLIPClassifier, tasks: list[Task]) -> Any:
    return clip_benchmark(tasks, train_transform=model.train_transform, eval_transform=model.eval_transform)
