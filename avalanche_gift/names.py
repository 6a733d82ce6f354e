"""Choosing by name, with an error that helps."""

import difflib
from collections.abc import Iterable
from typing import NoReturn

SHOWN = 40
"""Names that an error lists."""


def check_name(kind: str, name: str, available: Iterable[str]) -> str:
    """`name` itself where it is available; otherwise a ValueError that names the nearest one and the first of them."""
    available = sorted(available)
    return name if name in available else raise_unknown(kind, name, available)


def raise_unknown(kind: str, name: str, available: list[str]) -> NoReturn:
    nearest = difflib.get_close_matches(name, available, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    beyond = f", ... ({len(available)} in all)" if len(available) > SHOWN else ""
    raise ValueError(f"unknown {kind} {name!r}{hint} Available: {', '.join(available[:SHOWN])}{beyond}.")
