"""The prompts that GIFT draws for MTIL, which need no data set on disk."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

from avalanche_gift.benchmarks.class_names import class_names, templates
from avalanche_gift.benchmarks.sources import DRAWN, ORDERS
from avalanche_gift.names import check_name
from avalanche_gift.prompts import PromptSampler, imagenet_prompts, prompt_pool, training_prompts


@dataclass(frozen=True)
class DrawnPrompts:
    """The prompts drawn before one task: `prompts` of `used` of them train, the others move the random numbers on."""

    position: int
    task: str
    prompts: tuple[str, ...]
    used: int = 1000

    def line(self) -> str:
        """Position, task, drawn, distinct among those used, start of their SHA-256, first prompt; tab-separated."""
        used = self.prompts[: self.used]
        digest = hashlib.sha256("\n".join(used).encode()).hexdigest()[:16]
        return "\t".join(map(str, (self.position, self.task, len(self.prompts), len(set(used)), digest, used[0])))


def mtil_prompts(order: str = "I", *, seed: int = 42) -> list[DrawnPrompts]:
    """The published prompts of GIFT on MTIL, task by task; needs no data set.

    Before each task the pool holds the 1,000 ImageNet prompts and those of the tasks already learned, in their own first
    template. Order I draws 10,000 a task and uses the first 1,000, order II draws 1,000. ValueError for another order.
    """
    names = ORDERS[check_name("order", order, ORDERS)]
    sampler, base = PromptSampler(seed), imagenet_prompts()
    learned: list[list[str]] = []
    drawn = []
    for position, name in enumerate(names, start=1):
        prompts = sampler.draw(prompt_pool(base, learned), DRAWN[order])
        drawn.append(DrawnPrompts(position, name, tuple(prompts)))
        learned.append(training_prompts(class_names(name), templates(name)))
    return drawn


def as_csv(drawn: Sequence[DrawnPrompts]) -> bytes:
    """All prompts, a row each: position and name of the task, number among the drawn (from 0), prompt."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("position", "task", "number", "prompt"))
    for each in drawn:
        writer.writerows((each.position, each.task, number, prompt) for number, prompt in enumerate(each.prompts))
    return text.getvalue().encode()
