"""Elastic weight consolidation with a Fisher information that adds up over experiences."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from avalanche_gift.consolidation import snapshot, trainable_parameters
from avalanche_gift.losses import smoothed_cross_entropy
from avalanche_gift.modes import evaluation_mode
from avalanche_gift.training.backward import backward, finish_step
from avalanche_gift.training.batches import rows_of_batch
from avalanche_gift.training.plugins.consolidation import ConsolidationPlugin


class OnlineEWCPlugin(ConsolidationPlugin):
    """`weight * sum F (theta - theta_prev)^2`, F the Fisher information of all experiences before, theta_prev their weights.

    After an experience: F <- decay * F + F_new, so that memory does not grow with the experiences. F_new is the diagonal
    empirical Fisher on its training pictures in the evaluation transform, with their own labels and cross-entropy without
    smoothing: the sum over batches of (the sum of a batch's gradients)^2, divided by the number of pictures. With batch_size
    1 that is the mean of squared gradients of single pictures; larger batches estimate it in fewer passes, and too high
    where the gradients of a batch agree. In the first experience there is no penalty.

    batch_size: the strategy's where None. images: a seeded sample of so many pictures an experience; all where None.
    """

    term = "ewc"

    def __init__(
        self,
        weight: float = 1.0,
        *,
        decay: float = 1.0,
        batch_size: int | None = None,
        images: int | None = None,
        seed: int = 42,
    ):
        super().__init__(weight)
        if not 0 <= decay <= 1:
            raise ValueError(f"expected a decay between 0 and 1, got {decay}")
        if (batch_size is not None and batch_size < 1) or (images is not None and images < 1):
            raise ValueError(f"expected at least one picture for the Fisher weights, got {images} in batches of {batch_size}")
        self.decay, self.batch_size, self.images, self.seed = decay, batch_size, images, seed
        self._fisher: dict[str, Tensor] = {}

    def fisher(self, name: str, parameter: nn.Parameter) -> Tensor | float:
        """Of all finished experiences."""
        return self._fisher[name]

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """theta_prev is what the latest experience ended with: nothing to take here."""

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self._anchor:
            self.consolidate(strategy)
        super().after_backward(strategy, **kwargs)

    def after_training_exp(self, strategy: Any, num_workers: int = 0, **kwargs: Any) -> None:
        if self.weight == 0:
            return
        fresh = self._measure(strategy, num_workers)
        self._fisher = {name: self.decay * self._fisher.get(name, 0.0) + value for name, value in fresh.items()}
        self._anchor = snapshot(trainable_parameters(strategy.model))

    def state_dict(self) -> dict[str, Any]:
        """What the finished experiences leave behind."""
        return {"fisher": self._fisher, "anchor": self._anchor}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self._fisher, self._anchor = state["fisher"], state["anchor"]

    def _measure(self, strategy: Any, num_workers: int) -> dict[str, Tensor]:
        """F_new by parameter."""
        model, pictures = strategy.model, self._pictures(strategy)
        sums = {name: torch.zeros_like(parameter) for name, parameter in trainable_parameters(model)}
        batch_size = strategy.train_mb_size if self.batch_size is None else self.batch_size
        # A generator of its own, so that torch's global one stays as it is.
        loader = DataLoader(pictures, batch_size, num_workers=num_workers, generator=torch.Generator())
        with evaluation_mode(model):
            for images, labels, *_ in loader:
                finished = False
                while not finished:  # once; again at half the scale where towers in float16 overflow
                    model.zero_grad()
                    logits = model(images.to(strategy.device))
                    backward(model, len(labels) * smoothed_cross_entropy(logits, labels.to(strategy.device)))
                    finished = finish_step(model)
                for name, parameter in trainable_parameters(model):
                    if parameter.grad is not None:
                        sums[name] += parameter.grad.square() / len(pictures)
        model.zero_grad()
        return sums

    def _pictures(self, strategy: Any) -> Any:
        dataset = strategy.experience.dataset.eval()
        if self.images is None or self.images >= len(dataset):
            return dataset
        order = (self.seed, strategy.clock.train_exp_counter)
        return Subset(dataset, rows_of_batch(len(dataset), 0, batch_size=self.images, seed=order).tolist())
