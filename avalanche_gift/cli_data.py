"""`avalanche-gift datasets | prompts`: what is on disk, what is expected, and the prompts drawn. Parses before it imports."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avalanche_gift.cli_errors import explain
from avalanche_gift.names import printable

if TYPE_CHECKING:
    from avalanche_gift.benchmarks.dataset_check import Status


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds both to the command line's list."""
    _add_datasets(commands.add_parser("datasets", help="which data sets of the protocols are there; fetch those that can be"))
    _add_prompts(commands.add_parser("prompts", help="the prompts drawn for a stream, which need no data set"))


def _add_datasets(command: argparse.ArgumentParser) -> None:
    command.set_defaults(call=datasets)
    command.add_argument("names", nargs="*", metavar="NAME", help="which data sets (default: all)")
    command.add_argument("--data", metavar="DIR", help="where they are, each in torchvision's own folder")
    command.add_argument("--expected", action="store_true", help="only print the sizes that the protocols have")
    command.add_argument("--download", action="store_true", help="fetch those that are missing (named ones, or all)")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _add_prompts(command: argparse.ArgumentParser) -> None:
    command.set_defaults(call=prompts)
    command.add_argument("benchmark", choices=["mtil"])
    command.add_argument("--order", default="I", choices=["I", "II"])
    command.add_argument("--write", metavar="FILE.csv", help="also write every prompt: position, task, number, prompt")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")


def datasets(arguments: argparse.Namespace) -> int:
    """Prints a table. Returns 1 where a download failed; the others are still fetched."""
    from avalanche_gift.benchmarks.sources import SOURCES
    from avalanche_gift.names import check_name

    names = [check_name("data set", name, SOURCES) for name in arguments.names] or list(SOURCES)
    if arguments.expected or arguments.data is None:
        if arguments.download:
            raise ValueError("expected --data DIR, the folder to download into, got none")
        print(expected_table(names))
        return 0
    if Path(arguments.data).exists() and not Path(arguments.data).is_dir():
        raise NotADirectoryError(f"expected --data DIR, the folder of the data sets, got the file {arguments.data}")
    wanted = [name for name in names if arguments.names or SOURCES[name].downloadable] if arguments.download else []
    failed = [name for name in wanted if not _download(name, arguments.data)]
    from avalanche_gift.benchmarks.dataset_check import check_dataset

    print(status_table([check_dataset(name, arguments.data) for name in names]))
    return 1 if failed else 0


def _download(name: str, root: str) -> bool:
    """One data set; says on stderr what went wrong, so that the next ones still come."""
    from avalanche_gift.benchmarks.download import download

    try:
        download(name, root)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"avalanche-gift: {explain(error)[0]}", file=sys.stderr)
        return False
    return True


def expected_table(names: Sequence[str]) -> str:
    """Sizes of the protocols, a data set a line, with the number of classes and pictures of MTIL where all of it is shown."""
    from avalanche_gift.benchmarks.sources import ORDERS, SOURCES

    rows: list[tuple[str, ...]] = [("Data set", "Classes", "Train", "Test", "Split", "Licence", "From")]
    for source in (SOURCES[name] for name in names):
        sizes = (str(source.classes), str(source.train), str(source.test))
        rows.append((source.name, *sizes, source.split, source.licence, f"{source.reader}, {source.page}"))
    if set(ORDERS["I"]) <= set(names):
        mtil = [SOURCES[name] for name in ORDERS["I"]]
        totals = (str(sum(getattr(source, part) for source in mtil)) for part in ("classes", "train", "test"))
        rows.append(("MTIL", *totals, "", "", "the first eleven"))
    return _aligned(rows, right=(1, 2, 3))


def status_table(found: Sequence["Status"]) -> str:
    """State, counts and bytes of every data set, then a line for each that is missing or damaged: why, and what to do."""
    from avalanche_gift.benchmarks.sources import SOURCES

    rows: list[tuple[str, ...]] = [("Data set", "State", "Train", "Test", "Bytes", "Licence", "From")]
    for status in found:
        source = SOURCES[status.name]
        counts = ["-" if count is None else str(count) for count in (status.train, status.test)]
        rows.append((status.name, status.state, *counts, f"{status.size:,}", source.licence, source.page))
    lines = [_aligned(rows, right=(2, 3, 4))]
    for status in found:
        if status.state != "present":
            source = SOURCES[status.name]
            way = f"--download {status.name}" if source.downloadable else f"fetch it from {source.page}"
            lines.append(printable(f"{status.name} is {status.state}: {status.detail}; {way}"))
    return "\n".join(lines)


def prompts(arguments: argparse.Namespace) -> int:
    """A task a line, tab-separated: position, task, drawn, distinct of the first 1000, SHA-256[:16] of those, first prompt."""
    from avalanche_gift.benchmarks.mtil_prompts import as_csv, mtil_prompts
    from avalanche_gift.files import write_aside

    drawn = mtil_prompts(arguments.order)
    print("\n".join(each.line() for each in drawn))
    if arguments.write:
        write_aside(Path(arguments.write), as_csv(drawn))
    return 0


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        pairs = enumerate(zip(row, widths, strict=True))
        lines.append("  ".join(cell.rjust(width) if k in right else cell.ljust(width) for k, (cell, width) in pairs).rstrip())
    return "\n".join(lines)
