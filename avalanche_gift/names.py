"""Choosing by name, with an error that helps, and showing names from anywhere."""

import difflib
from collections.abc import Iterable
from typing import NoReturn

SHOWN = 40
"""Names that an error lists."""


def printable(text: object) -> str:
    """The text in one line, safe for a terminal and a table: control characters, escape sequences, line ends, marks that turn
    the direction of writing and lone surrogates (of file names in no encoding) as Python escapes them.

    >>> printable("blue\\x1b[2J\\nsky")
    'blue\\\\x1b[2J\\\\nsky'
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold the text: not with lone surrogates, which JSON may hold and file names in no encoding have."""
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)


def print_line(text: object) -> None:
    """Prints a text as one line."""
    print(printable(text))


def check_name(kind: str, name: str, available: Iterable[str]) -> str:
    """`name` itself where it is available; otherwise a ValueError that names the nearest one and the first of them."""
    available = sorted(available)
    return name if name in available else raise_unknown(kind, name, available)


def raise_unknown(kind: str, name: str, available: list[str]) -> NoReturn:
    nearest = difflib.get_close_matches(name, available, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    beyond = f", ... ({len(available)} in all)" if len(available) > SHOWN else ""
    raise ValueError(f"unknown {kind} {name!r}{hint} Available: {', '.join(available[:SHOWN])}{beyond}.")
