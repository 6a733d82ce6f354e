"""What a strategy takes beyond the arguments that all share, from the configuration of a run."""

from collections.abc import Callable, Mapping
from typing import Any

from avalanche_gift.benchmarks.sources import DRAWN
from avalanche_gift.by_name import base_vocabulary, load_source
from avalanche_gift.config import RunConfig


def _gift(config: RunConfig) -> dict[str, Any]:
    return {
        "synthetic": load_source(config),
        "base_prompts": base_vocabulary(config.benchmark),
        "prompts_drawn": DRAWN[config.order or "I"] if config.benchmark == "mtil" else None,
        **config.synthetic,
    }


def _l2(config: RunConfig) -> dict[str, Any]:
    return {"l2_weight": config.l2_weight}


ARGUMENTS: Mapping[str, Callable[[RunConfig], dict[str, Any]]] = {"gift": _gift, "l2": _l2}
"""By strategy; those not listed need nothing of their own."""


def own_arguments(config: RunConfig) -> dict[str, Any]:
    """Keyword arguments of `config.strategy`; those in `config.options` win."""
    made = ARGUMENTS.get(config.strategy, lambda _: {})(config)
    return {**made, **config.options}
