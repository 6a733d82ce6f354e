"""`results.json`: what one run (one strategy, one seed) leaves behind, by the schema in `results.schema.json`."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import platform
import reprlib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema

from avalanche_gift.files import parse_json, read_file, write_aside
from avalanche_gift.names import is_unicode

from .metrics import at_once_metrics, continual_metrics

__all__ = [
    "ResultsError",
    "find_results",
    "find_runs",
    "read_results",
    "software_versions",
    "training_order",
    "write_results",
]

_PACKAGES = ("torch", "torchvision", "avalanche-lib", "open_clip_torch", "diffusers", "avalanche-gift")
_TOLERANCE = 1e-6
CHECKSUM = "sha256"
"""The field of the file that holds the checksum of the others."""


class ResultsError(ValueError):
    """A results file is not what it should be: which file, what was expected, what came."""


def write_results(path: str | os.PathLike[str], results: dict[str, Any]) -> None:
    """Write one run's results, all or nothing.

    The file is written and synchronised under another name in the same folder (made if missing), then renamed: a reader
    sees the old file or the new one, never a part. Beside the results it holds their checksum, `sha256`. Raises
    ResultsError, and leaves `path` alone, where `results` is not valid (see `read_results`).
    """
    path = Path(path)
    try:
        plain = json.loads(json.dumps(results))
    except (TypeError, ValueError) as error:
        raise ResultsError(f"{path}: expected values that JSON can hold, got {error}") from error
    _check(path, plain)
    text = json.dumps({**plain, CHECKSUM: _checksum(plain)}, indent=2)
    write_aside(path, f"{text}\n".encode())


def read_results(path: str | os.PathLike[str]) -> dict[str, Any]:
    """One run's results, checked.

    Raises ResultsError where the file can't be read, is no JSON, was altered since it was written (by its checksum; files
    of earlier releases have none), breaks the schema, holds NaN, infinity, a number beyond 1e18 outside its configuration or
    text that is no Unicode, has an `accuracy` that is not (m + 1) x n for its n experiences and m trainings, or `metrics`
    that differ by more than 1e-6 from those of `accuracy`.
    """
    path = Path(path)
    try:
        results = parse_json(read_file(path).decode("utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: expected a readable results file, got {error.strerror or error}") from error
    except ValueError as error:
        raise ResultsError(f"{path}: expected JSON in UTF-8, got {error}") from error
    _check_values(path, results)
    stated = results.pop(CHECKSUM, None) if isinstance(results, dict) else None
    if stated is not None and stated != (found := _checksum(results)):
        raise ResultsError(
            f"{path}: expected values with the SHA-256 {stated!r} that it names, got {found}: altered; put the file back, or "
            "remove it and run again"
        )
    _check(path, results)
    return results


def training_order(results: Mapping[str, Any]) -> list[int]:
    """The experience of each training, by its place in `experiences`: one after the other unless `training_order` is there.

    >>> training_order({"experiences": ["a", "b"]}), training_order({"experiences": ["a", "b"], "training_order": [1, 0, 1]})
    ([0, 1], [1, 0, 1])
    """
    return list(results.get("training_order", range(len(results["experiences"]))))


def _checksum(results: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()


def find_results(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Every `results.json` in `folder` and below, in the order of their paths; raises ResultsError for a bad one."""
    return [results for _, results in find_runs(folder)]


def find_runs(folder: str | os.PathLike[str]) -> list[tuple[Path, dict[str, Any]]]:
    """As `find_results`, each with the folder it lies in."""
    return [(path.parent, read_results(path)) for path in result_files(folder)]


def result_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Every `results.json` in a folder and below, unread, in the order of their paths; ResultsError if there is no folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultsError(f"{folder}: expected a folder with results.json files, got no folder")
    return sorted(folder.rglob("results.json"))


def software_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers; those not installed are left out."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    schema = Path(__file__).with_name("results.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(schema))


def _check(path: Path, results: Any) -> None:
    """Raise ResultsError for the first thing wrong with `results`, which came out of JSON."""
    _check_values(path, results)
    error = jsonschema.exceptions.best_match(_validator().iter_errors(results))
    if error is not None:
        raise ResultsError(f"{path}: {_explain(error)}")
    names, accuracy, order = results["experiences"], results["accuracy"], training_order(results)
    shape, lengths = (len(order) + 1, len(names)), [len(row) for row in accuracy]
    if lengths != [shape[1]] * shape[0]:
        raise ResultsError(f"{path}: expected {shape[0]} x {shape[1]} values in $.accuracy, got rows of lengths {lengths}")
    try:
        at_once = results.get("trained_at_once")
        computed = at_once_metrics(accuracy[1:]) if at_once else continual_metrics(accuracy[1:], order)
    except ValueError as error:
        raise ResultsError(f"{path}: {error}") from error
    for name, expected in computed.items():
        value = results["metrics"][name]
        if (value is None) != (expected is None) or abs((value or 0) - (expected or 0)) > _TOLERANCE:
            raise ResultsError(f"{path}: expected {expected} at $.metrics.{name}, as $.accuracy gives, got {value}")


_MOST = 1e18
"""Beyond any second, byte and count; larger numbers overflow where they are averaged or printed."""


_DEEPEST = 20
"""Levels of lists and objects; results have four. Python's stack would end somewhere beyond."""


def _check_values(path: Path, results: Any) -> None:
    for where, wanted, value in _strange(results, "$"):
        raise ResultsError(f"{path}: expected {wanted} at {where}, got {reprlib.repr(value)}")


def _strange(value: Any, where: str, depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """Where a value is that JSON can hold but nothing here can work with, what was expected, and the value."""
    most = 2**63 if where.startswith("$.config") else _MOST
    if isinstance(value, float) and not math.isfinite(value):
        yield where, "a finite number", value
    elif isinstance(value, int | float) and abs(value) > most and (isinstance(value, int) or most == _MOST):
        yield where, f"a number of at most {float(most):.0e}", value
    elif isinstance(value, str) and not is_unicode(value):
        yield where, "text in Unicode", value
    if depth > _DEEPEST:
        yield where, f"at most {_DEEPEST} levels of brackets", value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(key, str) and not is_unicode(key):
            yield where, "names in Unicode", key
        yield from _strange(item, f"{where}.{key}" if isinstance(key, str) else f"{where}[{key}]", depth + 1)


def _explain(error: jsonschema.ValidationError) -> str:
    """One short line; jsonschema's own message repeats the whole instance."""
    if error.validator in ("required", "additionalProperties"):
        return f"{error.message} at {error.json_path}"
    got = reprlib.repr(error.instance)
    return f"expected {error.validator} {error.validator_value!r} at {error.json_path}, got {got}"
