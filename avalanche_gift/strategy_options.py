"""Which options a strategy's class has, and whether the values given to them are of the kind that they take."""

import inspect
import os
import types
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Union, get_args, get_origin, get_type_hints

from avalanche_gift.names import check_name
from avalanche_gift.training import STRATEGIES, FineTune, avalanche_strategy
from avalanche_gift.training.avalanche_strategies import AVALANCHE_CLASSES

ELSEWHERE = {
    "train_iterations": "--iterations",
    "train_epochs": "--epochs",
    "train_mb_size": "--batch-size",
    "eval_mb_size": "--eval-batch-size",
    "seed": "--seeds",
    "device": "--device",
    "class_incremental": "--class-incremental",
    "class_incremental_loss": "--class-incremental-loss",
    "shard_optimizer": "--shard-optimizer",
}
"""Arguments that the strategies of a run share, and the options of the command line that say them."""

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null", Any: "a text"}


def check_options(strategy: str, options: Mapping[str, Any]) -> None:
    """Raises ValueError for an option that the strategy does not have, with the nearest one, or a value of another kind."""
    known = known_options(strategy)
    for name, value in options.items():
        if name in ELSEWHERE:
            raise ValueError(f"expected {ELSEWHERE[name]} in place of the option {name} of {strategy}: all strategies share it")
        check_name(f"option of {strategy}", name, known)
        if not _fits(value, known[name]):
            raise ValueError(f"expected {_in_words(known[name])} for the option {name} of {strategy}, got {value!r}")


def known_options(strategy: str) -> dict[str, Any]:
    """The options that plain values can say, and their types.

    >>> known_options("l2")["l2_weight"]
    <class 'float'>
    """
    found: dict[str, Any] = {}
    for taker in _takers(strategy):
        hints = get_type_hints(taker)
        for name, parameter in inspect.signature(taker).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY and name not in ELSEWHERE:
                found.setdefault(name, hints.get(name, _type_of_default(parameter)))
    return {name: hint for name, hint in found.items() if any(_is_plain(kind) for kind in _kinds(hint))}


def option_values(strategy: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What each keyword argument of a strategy is with these options: the one given, or its default.

    >>> option_values("l2", {})["label_smoothing"]
    0.2
    """
    found = {
        name: parameter.default
        for taker in reversed(_takers(strategy))
        for name, parameter in inspect.signature(taker).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty
    }
    return {**found, **options}


def _takers(strategy: str) -> list[Any]:
    """The functions whose keyword arguments a strategy takes, its own first."""
    kind = STRATEGIES[check_name("strategy", strategy, STRATEGIES)]
    if isinstance(kind, partial):
        return [avalanche_strategy, AVALANCHE_CLASSES[strategy].__init__]
    return [base.__init__ for base in kind.__mro__ if issubclass(base, FineTune)] or [kind.__init__]


def _type_of_default(parameter: inspect.Parameter) -> Any:
    return Any if parameter.default in (None, parameter.empty) else type(parameter.default)


def _kinds(hint: Any) -> list[Any]:
    """The members of a union without None."""
    union = get_origin(hint) in (Union, types.UnionType)
    return [kind for kind in (get_args(hint) if union else (hint,)) if kind is not type(None)]


def _is_plain(kind: Any) -> bool:
    """Whether JSON holds such values."""
    origin = get_origin(kind)
    if origin is None:
        return kind in _WORDS
    return isinstance(origin, type) and issubclass(origin, Sequence | Mapping) and all(map(_is_plain, get_args(kind)))


def _fits(value: Any, hint: Any) -> bool:
    kinds = _kinds(hint)
    if value is None:
        return hint is Any or type(None) in get_args(hint)
    return any(_is_plain(kind) and _is_of(value, kind) for kind in kinds)


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is None:
        if kind is Any:
            return isinstance(value, str | os.PathLike)
        return isinstance(value, int | float if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if issubclass(get_origin(kind), Mapping):
        return isinstance(value, dict) and all(_is_of(one, get_args(kind)[1]) for one in value.values())
    return isinstance(value, list | tuple) and all(_is_of(one, get_args(kind)[0]) for one in value)


def _in_words(hint: Any) -> str:
    """As "a number, a list of these or null"."""
    words = [_word(kind) for kind in _kinds(hint) if _is_plain(kind)]
    words += ["null"] * (hint is Any or type(None) in get_args(hint))
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _word(kind: Any) -> str:
    if get_origin(kind) is None:
        return _WORDS[kind]
    container = "an object" if issubclass(get_origin(kind), Mapping) else "a list"
    return f"{container} of {_WORDS[get_args(kind)[-1]].split(' ', 1)[1]}s"
