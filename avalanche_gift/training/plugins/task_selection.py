"""Chooses the routers of a test batch by its pictures alone (DDAS of MoE-Adapters)."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.models.task_selector import REFERENCE, Autoencoder, TaskSelector, make_backbone
from avalanche_gift.stream_classes import classes_of
from avalanche_gift.training.plugins.grouped_batches import GroupedBatches
from avalanche_gift.training.plugins.moe_adapters import adapters_of
from avalanche_gift.training.plugins.schedule import CyclingLoader
from avalanche_gift.training.seeds import combined_seed


class TaskSelectionPlugin(SupervisedPlugin):
    """List it behind `MoEAdaptersPlugin`. As an experience begins it trains an autoencoder on features of its pictures; a
    group of test images is evaluated with the routers of the task whose autoencoder reconstructs it best, and without
    adapters where that is the one of the reference pictures, or the error is above the threshold. Task labels are never
    looked at.

    The choice is made once for `selection_mb_size` images that follow each other in the test set, 128 in the reference,
    whatever the strategy's eval_mb_size: the larger the groups of one data set, the surer it is. The last group is short.

    backbone: `alexnet` (torchvision's, on ImageNet), `clip` (the tokens that the frozen image tower ends with), `pixels`, or
    a module or function [N, 3, H, W] -> [N, ...] of yours; give it a new threshold, for errors depend on the features.
    reference_pictures: a data set whose items are PIL pictures or begin with one, of no task (TinyImageNet in the paper);
    they train the first autoencoder and are not kept. None: the threshold alone tells what is unknown.
    code: width of the autoencoders. iterations, reference_iterations, batch_size, weight_decay: of their Adam, whose rate is
    `lr` and a tenth of that after every 10 passes over the pictures. (The reference makes one iteration more.)
    chosen: how many groups of experience i went to task j (None: to the plain model) in the latest evaluation, by (i, j).
    """

    supports_distributed = False

    def __init__(
        self,
        backbone: str | Callable[[Tensor], Tensor] = "alexnet",
        *,
        reference_pictures: Any = None,
        threshold: float = 0.0655,
        code: int = 100,
        iterations: int = 300,
        reference_iterations: int = 1000,
        lr: float = 0.01,
        weight_decay: float = 1e-4,
        batch_size: int = 64,
        selection_mb_size: int = 128,
        seed: int = 42,
    ):
        super().__init__()
        if min(code, iterations, reference_iterations, batch_size, selection_mb_size) < 1 or not threshold > 0 or not lr > 0:
            raise ValueError(
                "expected code, iterations, batch_size and selection_mb_size of at least 1, threshold and lr above 0, got "
                f"{code}, {iterations} and {reference_iterations}, {batch_size}, {selection_mb_size}, {threshold}, {lr}"
            )
        self.backbone, self.reference_pictures = backbone, reference_pictures
        self.threshold, self.code = threshold, code
        self.iterations, self.reference_iterations, self.batch_size = iterations, reference_iterations, batch_size
        self.lr, self.weight_decay, self.seed, self.selection_mb_size = lr, weight_decay, seed, selection_mb_size
        self.selector: TaskSelector | None = None
        self._loaded: dict[str, Tensor] = {}
        self.chosen: Counter[tuple[int, int | None]] = Counter()
        self._groups: GroupedBatches | None = None
        self._selected: tuple[int, int | None] = (-1, None)

    def before_training_exp(self, strategy: Any, num_workers: int = 0, **kwargs: Any) -> None:
        adapters_of(strategy)
        self._ready(strategy.model)
        if self.reference_pictures is not None:
            references = _Transformed(self.reference_pictures, strategy.model.train_transform)
            self._learn(REFERENCE, references, self.reference_iterations, strategy.device, num_workers)
            self.reference_pictures = None
        pictures = strategy.experience.dataset.train()
        (number, *_) = classes_of(strategy.experience).numbers
        self._learn(number, pictures, self.iterations, strategy.device, num_workers)

    def before_eval(self, strategy: Any, **kwargs: Any) -> None:
        self.chosen.clear()

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        rows, batch_size = len(strategy.adapted_dataset), strategy.eval_mb_size
        self._groups = GroupedBatches(strategy.dataloader, self.selection_mb_size, rows=rows, batch_size=batch_size)
        self._selected = -1, None
        strategy.dataloader = self._groups

    def before_eval_forward(self, strategy: Any, **kwargs: Any) -> None:
        assert self._groups is not None
        if self._groups.number != self._selected[0]:
            self._selected = self._groups.number, self._select(strategy, self._groups.images)
            self.chosen[strategy.experience.current_experience, self._selected[1]] += 1
        adapters_of(strategy).use(self._selected[1])

    def after_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._groups = None

    def footprint(self) -> dict[str, int]:
        """The autoencoders, and the backbone where it is a module of its own."""
        return {"extra_parameters": 0 if self.selector is None else sum(p.numel() for p in self.selector.parameters())}

    def state_dict(self) -> dict[str, Any]:
        """The autoencoders; not the backbone, which is fixed."""
        state = {} if self.selector is None else self.selector.state_dict()
        own = {name: tensor for name, tensor in state.items() if name.startswith("autoencoders.")}
        return {"selector": own or self._loaded}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loaded = dict(state["selector"])

    def _select(self, strategy: Any, images: Tensor) -> int | None:
        """The task of a group of images; None for the plain model."""
        known = self.selector or self._loaded
        return self._ready(strategy.model).select(images.to(strategy.device)) if known else None

    def _ready(self, model: CLIPClassifier) -> TaskSelector:
        """The selector, made when it is first needed, with the state that was loaded since."""
        if self.selector is None:
            self.selector = TaskSelector(make_backbone(self.backbone, model), code=self.code, threshold=self.threshold)
        if self._loaded:
            self.selector.load_state_dict(self._loaded, strict=False)
            self._loaded = {}
        if REFERENCE in self.selector.autoencoders:
            self.reference_pictures = None
        return self.selector.to(model.logit_scale.device)

    def _learn(self, slot: int | str, pictures: Any, iterations: int, device: torch.device, num_workers: int) -> None:
        assert self.selector is not None
        number = 0 if slot == REFERENCE else 1 + int(slot)
        loader = DataLoader(
            pictures, self.batch_size, shuffle=True, num_workers=num_workers, collate_fn=getattr(pictures, "collate_fn", None)
        )
        batches = CyclingLoader(loader, iterations, seed=combined_seed(self.seed, number))
        features = (self.selector.features(batch[0].to(device)) for batch in batches)
        first = next(features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(combined_seed(self.seed, number))
            autoencoder = self.selector.add(slot, first.shape[1]).to(device)
        fit_autoencoder(
            autoencoder,
            chain([first], features),
            batches_a_pass=len(loader),
            lr=self.lr,
            weight_decay=self.weight_decay,
        )


def fit_autoencoder(
    autoencoder: Autoencoder,
    batches: Iterable[Tensor],
    *,
    batches_a_pass: int,
    lr: float = 0.01,
    weight_decay: float = 1e-4,
) -> None:
    """Adam on the mean squared error, a step a batch [B, F]; the rate falls to a tenth after every 10 passes."""
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=lr, weight_decay=weight_decay)
    for iteration, features in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = lr * 0.1 ** (iteration // (10 * batches_a_pass))
        optimizer.zero_grad()
        autoencoder.error(features).backward()
        optimizer.step()


class _Transformed(Dataset):
    """Pictures, alone or first in a tuple, as tensors in a tuple."""

    def __init__(self, pictures: Any, transform: Callable[[Any], Tensor]):
        self._pictures, self._transform = pictures, transform

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[Tensor]:
        item = self._pictures[index]
        return (self._transform(item[0] if isinstance(item, tuple | list) else item),)
