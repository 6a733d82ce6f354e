"""Class names -> templates -> the class-name pool -> seeded prompts."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

PLACEHOLDER = "{c}"
DEFAULT_TEMPLATES = ("a photo of a {c}.",)


def fill(template: str, class_name: str) -> str:
    """The template with its `{c}` replaced; nothing else in it is special, so any class name is safe.

    >>> fill("a photo of a {c}.", "lion")
    'a photo of a lion.'
    """
    return template.replace(PLACEHOLDER, class_name)


def class_prompts(class_names: Sequence[str], templates: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """For each class its prompts, one a template, the training prompt first.

    Raises ValueError for an empty or repeated class name, no template, or a template without `{c}`.
    """
    if isinstance(templates, str):
        raise ValueError(f"expected a list of templates, got the one string {templates!r}")
    lacking = [template for template in templates if PLACEHOLDER not in template]
    if not templates or lacking:
        raise ValueError(f"expected templates that hold {PLACEHOLDER}, got {lacking or list(templates)}")
    if any(not isinstance(name, str) or not name.strip() for name in class_names):
        raise ValueError(f"expected non-empty class names, got {list(class_names)}")
    repeated = [name for name, times in Counter(class_names).items() if times > 1]
    if repeated:
        raise ValueError(f"expected distinct class names, got twice: {repeated}; give one of each pair another name")
    return tuple(tuple(fill(template, name) for template in templates) for name in class_names)


def training_prompts(class_names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """The prompts of an experience's classes in its first template: what training and the class-name pool use."""
    return [prompts[0] for prompts in class_prompts(class_names, templates[:1])]


def imagenet_prompts(template: str = DEFAULT_TEMPLATES[0]) -> list[str]:
    """The broad base vocabulary: the 1,000 ImageNet class names of open_clip, by class number, in a template."""
    from open_clip import IMAGENET_CLASSNAMES

    return [fill(template, name) for name in IMAGENET_CLASSNAMES]


def prompt_pool(base_prompts: Iterable[str], learned: Iterable[Sequence[str]]) -> list[str]:
    """The base vocabulary, then the prompts of each experience already learned, in their order; nothing is dropped.

    The experience about to be learned is no part of `learned`: its classes join the pool for the next one.
    """
    pool = list(base_prompts)
    for prompts in learned:
        pool.extend(prompts)
    return pool


class PromptSampler:
    """Draws prompts uniformly and with replacement, one stream of random numbers for all experiences in their order.

    >>> PromptSampler(seed=42).draw(["a", "b", "c"], 4)
    ['c', 'a', 'a', 'c']
    """

    def __init__(self, seed: int = 42):
        self._random = random.Random(seed)

    def draw(self, pool: Sequence[str], count: int) -> list[str]:
        """`count` prompts of the pool. Raises ValueError for an empty pool or a count below one."""
        if not pool:
            raise ValueError("expected at least one prompt in the pool, got none; give base prompts")
        if count < 1:
            raise ValueError(f"expected to draw at least one prompt, got {count}")
        return [self._random.choice(pool) for _ in range(count)]

    def state_dict(self) -> dict[str, Any]:
        """The position in the stream, as plain values."""
        version, internal, gauss_next = self._random.getstate()
        return {"version": version, "internal": list(internal), "gauss_next": gauss_next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._random.setstate((state["version"], tuple(state["internal"]), state["gauss_next"]))
