"""One training loop for both models: AdamW, warm-up and cosine, a moving average of the weights, resumable checkpoints."""

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from avalanche_gift.files import write_aside


class Progress:
    """Prints a line with the time left, every `every` of `total` units."""

    def __init__(self, title: str, total: int, every: int, start: int = 0):
        self.title, self.total, self.every, self.start = title, total, every, start
        self.began, self.next = time.perf_counter(), start + every

    def at(self, done: int, note: str = "") -> None:
        if done < self.next and done < self.total:
            return
        self.next = done + self.every
        rate = (done - self.start) / (time.perf_counter() - self.began)
        left = (self.total - done) / max(rate, 1e-9)
        print(
            f"{time.strftime('%H:%M:%S')} {self.title}: {done}/{self.total}, {rate:.1f}/s, {left / 60:.1f} min left{note}",
            flush=True,
        )


class Recipe(NamedTuple):
    """Numbers of a training. ema: the share of the old average kept at each step. decay: on matrices only."""

    steps: int
    lr: float
    betas: tuple[float, float]
    decay: float
    ema: float
    warmup: int = 100
    checkpoint_every: int = 500

    def lr_at(self, step: int) -> float:
        warm = min(1.0, (step + 1) / self.warmup)
        return self.lr * warm * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def batches(count: int, size: int, seed: int, start: int) -> Iterator[np.ndarray]:
    """Rows of batch `start`, `start + 1`, ...: whole passes in a new order each; batch k is a function of seed and k."""
    a_pass = count // size
    if not a_pass:
        raise ValueError(f"expected at least {size} training pictures, got {count}")
    order, number = None, -1
    step = start
    while True:
        if number != step // a_pass:
            number = step // a_pass
            order = np.random.default_rng([seed, number]).permutation(count)
        yield order[step % a_pass * size :][:size]
        step += 1


class Training:
    """`run(loss_at)` trains `model` in place; `averaged()` then puts the moving average of the weights into it.

    model: its parameters that want gradients are trained. checkpoint: a safetensors file, gone on from where it is there
    and made by the same `identity`. loss_at: step -> a scalar loss, a function of the step and the weights only.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, *, title: str, checkpoint: Path, identity: dict[str, Any]):
        self.model, self.recipe, self.title, self.checkpoint = model, recipe, title, checkpoint
        self.identity = json.dumps({**identity, **recipe._asdict()}, sort_keys=True)
        self.named = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
        matrices = [tensor for tensor in self.named.values() if tensor.ndim > 1]
        others = [tensor for tensor in self.named.values() if tensor.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, fused=True)
        self.ema = {name: tensor.detach().clone() for name, tensor in self.named.items()}
        self.step, self.seconds = 0, 0.0
        if checkpoint.is_file():
            self._load()

    def run(self, loss_at: Callable[[int], Tensor], *, every: int, look: Callable[[int], str] | None = None) -> None:
        """`look`: called each `checkpoint_every` steps; its answer is printed."""
        progress = Progress(self.title, self.recipe.steps, every, start=self.step)
        mark = time.perf_counter()
        while self.step < self.recipe.steps:
            loss = self._update(loss_at)
            saving = self.step % self.recipe.checkpoint_every == 0 or self.step == self.recipe.steps
            if saving:
                self.seconds += time.perf_counter() - mark
                mark = time.perf_counter()
                self._save()
            note = f", {look(self.step)}" if saving and look else ""
            if note:
                progress.next = self.step
            if self.step >= progress.next or saving:
                progress.at(self.step, f", loss {float(loss):.3f}{note}")

    def _update(self, loss_at: Callable[[int], Tensor]) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr_at(self.step)
        loss = loss_at(self.step)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.named.values(), 1.0)
        self.optimizer.step()
        kept = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.values()), [tensor.detach() for tensor in self.named.values()], 1 - kept)
        self.step += 1
        return loss.detach()

    def averaged(self) -> None:
        """Puts the moving average into the model."""
        with torch.no_grad():
            for name, tensor in self.named.items():
                tensor.copy_(self.ema[name])

    def swap(self) -> None:
        """Exchanges the model's weights with their average; twice is as never."""
        with torch.no_grad():
            for name, tensor in self.named.items():
                held = tensor.clone()
                tensor.copy_(self.ema[name])
                self.ema[name].copy_(held)

    def _save(self) -> None:
        tensors = {}
        for name, tensor in self.named.items():
            state = self.optimizer.state[tensor]
            parts = {"model": tensor.detach(), "ema": self.ema[name], **state}
            tensors.update({f"{part}/{name}": value.contiguous().clone() for part, value in parts.items()})
        notes = {"step": str(self.step), "seconds": str(self.seconds), "identity": self.identity}
        write_aside(self.checkpoint, save(tensors, metadata=notes))

    def _load(self) -> None:
        with safe_open(self.checkpoint, framework="pt") as file:
            notes = file.metadata()
            if notes["identity"] != self.identity:
                raise ValueError(
                    f"expected a checkpoint of this run, {self.identity}, {self.checkpoint} is of {notes['identity']}; "
                    "use another --work folder or delete it"
                )
            with torch.no_grad():
                for name, tensor in self.named.items():
                    tensor.copy_(file.get_tensor(f"model/{name}"))
                    self.ema[name].copy_(file.get_tensor(f"ema/{name}"))
                    self.optimizer.state[tensor] = {
                        part: file.get_tensor(f"{part}/{name}") for part in ("step", "exp_avg", "exp_avg_sq")
                    }
        self.step, self.seconds = int(notes["step"]), float(notes["seconds"])
        print(f"{self.title}: going on from step {self.step}", flush=True)
