"""Trains on image-text pairs beside the task: made before an experience, dropped after it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from avalanche_gift.generation import as_policy
from avalanche_gift.prompts import PromptSampler, imagenet_prompts, prompt_pool
from avalanche_gift.stream_classes import classes_of
from avalanche_gift.training.backward import backward
from avalanche_gift.training.batches import rows_of_batch
from avalanche_gift.training.loss_terms import record_term, show_in_loss
from avalanche_gift.training.seeds import combined_seed
from avalanche_gift.training.synthetic_pairs import SyntheticBatch, SyntheticPairs, obtain_pairs
from avalanche_gift.training.teacher import FixedTeacher, Teacher

TOWERS = ("image", "text")
SAMPLE = 24
"""Pairs of an experience that are left on the strategy as `synthetic_sample`."""


@dataclass(frozen=True)
class _LearnedTask:
    """What the pool of prompts takes over from a task, once it is learned."""

    name: str | None
    prompts: list[str]


class SyntheticReplayPlugin(SupervisedPlugin):
    """Supplies synthetic pairs and runs the synthetic pass of a step, before the forward pass of the task.

    In `before_forward`, when all gradients are clear, it draws a batch, encodes it, asks every plugin of the strategy that
    has a method `synthetic_loss(strategy, batch) -> {name: scalar}` for its terms, and goes backward on their sum. Its
    graph is freed before the task's is built, and plugins listed later find the gradient of the synthetic losses alone in
    `.grad`. `ContrastiveDistillationPlugin` and `ImageTextAlignmentPlugin` are such plugins; so is any class of yours.

    source: a generator (`generate(prompts, seeds)`), a folder of pictures, a diffusers pipeline (`generation.as_source`), or
    a policy: `generation.Ahead` (a store), `PerTask` (what a plain generator gets; it can skip tasks) or `RegenerateEvery`.
    images: pictures an experience. batch_size: pairs a step; the last batch of a pass is short, as in the reference.
    teacher: `previous` (the model as the experience begins), `initial`, `wise:R` (a share R of the initial weights), or None.
    theta_initial: the initial weights where the strategy does not start from them.
    towers: the student's towers that see the pairs; the other's features are the teacher's (Table 4a: image-only, text-only).
    base_prompts: the broad vocabulary; ImageNet's by default, or all prompts of a folder. The classes of each learned
    experience join it, in their first template; those of the current experience are not in it.
    prompts_drawn: prompts an experience takes from the random stream where that is more than `images`: 10,000 repeats the
    published lists of MTIL order I (with seed 42), whose first 1,000 are used.
    extend_pool: False keeps the classes of learned experiences out of the pool (Table 5, Synthetic†).
    seed: of prompts, pictures and batches. Equal seeds give equal pairs.
    """

    supports_distributed = False

    def __init__(
        self,
        source: Any,
        *,
        images: int = 1000,
        batch_size: int = 64,
        teacher: str | None = "previous",
        theta_initial: dict[str, Tensor] | None = None,
        towers: Sequence[str] = TOWERS,
        base_prompts: Sequence[str] | None = None,
        prompts_drawn: int | None = None,
        extend_pool: bool = True,
        seed: int = 42,
    ):
        super().__init__()
        if images < 1 or batch_size < 1:
            raise ValueError(f"expected at least one synthetic picture and pair a batch, got {images} and {batch_size}")
        if not towers or set(towers) - set(TOWERS):
            raise ValueError(f"expected one or both of the towers {TOWERS}, got {tuple(towers)}")
        if teacher is None and set(towers) != set(TOWERS):
            raise ValueError("expected a teacher, whose features stand in for the tower that sees no pairs; got None")
        self.source = as_policy(source)
        self.images, self.batch_size, self.towers, self.seed = images, batch_size, tuple(towers), seed
        self.base_prompts = None if base_prompts is None else list(base_prompts)
        self.prompts_drawn, self.extend_pool = prompts_drawn, extend_pool
        self._teacher = Teacher(teacher, theta_initial)
        self._sampler = PromptSampler(seed)
        self._learned: dict[tuple[str, int], _LearnedTask] = {}
        self._pairs: SyntheticPairs | None = None
        self._round = 0
        self._round_teacher: FixedTeacher | None = None
        self._shuffle = True
        self._total: Tensor | None = None

    def before_training_exp(self, strategy: Any, shuffle: bool = True, **kwargs: Any) -> None:
        if not any(True for _ in _losses(strategy)):
            raise ValueError(
                "expected a plugin with synthetic_loss beside SyntheticReplayPlugin, such as "
                "ContrastiveDistillationPlugin or ImageTextAlignmentPlugin; got none"
            )
        self._shuffle = shuffle
        self._teacher.meet(strategy.model)
        self._round, self._round_teacher = 0, None
        self._pairs = self._make_pairs(strategy, self._sampler)
        if getattr(self.source, "every", None) and self._teacher.initial_share is not None:
            self._round_teacher = FixedTeacher(copy.deepcopy(self._teacher.model(strategy.model)))
        self._pairs.encode_by(self._teacher, strategy.model, strategy.device)

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        self._renew_pairs(strategy)
        self._total = self.backward(strategy, strategy.clock.train_exp_iterations)

    def backward(self, strategy: Any, iteration: int) -> Tensor:
        """Goes backward on the synthetic losses of the batch of `iteration` in this experience; returns their sum."""
        batch = self._batch(strategy, iteration)
        terms = {name: term for plugin in _losses(strategy) for name, term in plugin.synthetic_loss(strategy, batch).items()}
        for name, term in terms.items():
            record_term(strategy, name, term)
        if not terms:
            raise ValueError("expected at least one loss term from the plugins with synthetic_loss, got none")
        total = torch.stack(list(terms.values())).sum()
        backward(strategy.model, total)
        return total.detach()

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self._total is not None:
            show_in_loss(strategy, self._total)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        found = classes_of(strategy.experience)
        for number, task in zip(found.numbers, found.tasks, strict=True):
            self._learned.setdefault((found.stream.digest, number), _LearnedTask(task.task_name, task.generation_prompts))
        self._pairs = self._total = self._round_teacher = None

    def state_dict(self) -> dict[str, Any]:
        """What the experiences so far leave behind; the pairs of the current one are made again from it."""
        return {
            "sampler": self._sampler.state_dict(),
            "teacher": self._teacher.state_dict(),
            "learned": [[*key, task.name, task.prompts] for key, task in self._learned.items()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self._sampler.load_state_dict(state["sampler"])
        self._teacher.load_state_dict(state["teacher"])
        self._learned = {(stream, number): _LearnedTask(name, prompts) for stream, number, name, prompts in state["learned"]}

    def _renew_pairs(self, strategy: Any) -> None:
        """Fresh pairs where the source's policy wants them now; a round's pairs are a function of its number only."""
        every = getattr(self.source, "every", None)
        if every is None or (number := strategy.clock.train_exp_iterations // every) == self._round:
            return
        self._round = number
        self._pairs = None
        sampler = PromptSampler(combined_seed(self.seed, strategy.clock.train_exp_counter, number))
        self._pairs = self._make_pairs(strategy, sampler)
        self._pairs.encode_by(self._round_teacher or self._teacher, strategy.model, strategy.device)

    def _make_pairs(self, strategy: Any, sampler: PromptSampler) -> SyntheticPairs:
        found = classes_of(strategy.experience)
        own = {(found.stream.digest, number) for number in found.numbers}
        skip = getattr(self.source, "skip", ())
        learned = [
            task.prompts
            for key, task in self._learned.items()
            if self.extend_pool and key not in own and key[1] not in skip and task.name not in skip
        ]
        pictures, prompts = obtain_pairs(
            self.source,
            pool=lambda: prompt_pool(imagenet_prompts() if self.base_prompts is None else self.base_prompts, learned),
            sampler=sampler,
            own_prompts=set(found.generation_prompts),
            count=self.images,
            drawn=self.prompts_drawn,
            position=strategy.clock.train_exp_counter,
            name=found.tasks[0].task_name,
            first=self._round * self.images,
            seed=self.seed,
        )
        strategy.synthetic_sample = list(zip(pictures, prompts, strict=True))[:SAMPLE]  # for loggers, to be looked at
        return SyntheticPairs(pictures, prompts, strategy.model)

    def _batch(self, strategy: Any, iteration: int) -> SyntheticBatch:
        if self._pairs is None:
            raise RuntimeError("expected before_training_exp to have made the synthetic pairs; train through the strategy")
        rows = rows_of_batch(
            len(self._pairs),
            iteration,
            batch_size=self.batch_size,
            seed=(self.seed, strategy.clock.train_exp_counter) if self._shuffle else None,
        )
        return self._pairs.batch(rows, strategy.model, self.towers, strategy.device)


def _losses(strategy: Any):
    return (plugin for plugin in strategy.plugins if callable(getattr(plugin, "synthetic_loss", None)))
