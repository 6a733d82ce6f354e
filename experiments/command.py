"""The command line of the experiments: `python -m experiments`, and of each by its name."""

import argparse
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

from avalanche_gift.names import check_name
from experiments.plan import WORLDS, NotPossible, World
from experiments.runner import NAMES, all_runs, collect, execute, kept_models, load, shard
from experiments.writing import listing, write

HERE = Path(__file__).parent


def arguments_of(line: Sequence[str] | None, name: str | None, doc: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments{'.' + name if name else ''}",
        description=textwrap.dedent(doc),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    if name is None:
        add("--all", action="store_true", help="every table and figure")
        add("--only", nargs="+", default=[], metavar="NAME", help="these: table1 .. table12, figure3 .. figure9")
    add("--world", default="mini", choices=WORLDS, help="mini (embedded), mtil, or cil (Tables 7 and 8)")
    add("--seeds", nargs="+", type=int, metavar="N", help="default 0; 42, the paper's, outside mini")
    add("--data", metavar="DIR", help="of the data sets, as `avalanche-gift run --data`")
    add("--sources", nargs="+", default=[], metavar="NAME=DIR", help="pictures; --list says which names are needed")
    add("--device", default="cpu")
    add("--workers", type=int, default=0, metavar="N", help="processes that read pictures")
    add("--cache-dir", metavar="DIR", help="keep resized test pictures, and of mini the generated ones, there")
    add("--iterations", type=int, metavar="N", help="a task, to try it out: results go below --out")
    add(
        "--test-transform",
        choices=["test", "train"],
        default="test",
        help="train: of test images, as the protocol of cil has it",
    )
    add("--jobs", type=int, default=1, metavar="N", help="runs at a time, on shared threads")
    add("--shard", default="1/1", metavar="I/N", help="only every N-th run, for job arrays; tables come with the last")
    add("--list", action="store_true", help="print runs, which share them, and hours; run nothing")
    add("--out", type=Path, default=Path("runs/experiments"), metavar="DIR", help="of the runs")
    add("--tables", type=Path, metavar="DIR", help="of the tables (default: experiments/results)")
    return parser.parse_args(line)


def main(name: str | None, line: Sequence[str] | None = None) -> None:
    """The command line of one experiment, or of all where None."""
    warnings.simplefilter("ignore")  # of Avalanche's dependencies, at import
    doc = load(name).__doc__ if name else sys.modules["__main__"].__doc__
    arguments = arguments_of(line, name, doc or "")
    try:
        sys.exit(go(arguments, name))
    except ValueError as error:
        sys.exit(f"python -m experiments: {error}")


def go(arguments: argparse.Namespace, name: str | None) -> int:
    world = _world(arguments)
    seeds = arguments.seeds or [0 if world.name == "mini" else 42]
    if name is None and not (arguments.all or arguments.only or arguments.list):
        raise ValueError("expected --all, --only NAME ... or --list")
    names = [name] if name else [check_name("experiment", each, NAMES) for each in arguments.only] or list(NAMES)
    if arguments.list:
        print("\n".join(listing(names, world, seeds)))
        return 0
    if name and world.name not in load(name).WORLDS:
        raise ValueError(f"{name} has the worlds {load(name).WORLDS}, not {world.name}")
    folder = arguments.out / world.name
    runs, keep = shard(all_runs(names, world, seeds), arguments.shard), kept_models(names, world, seeds)
    failures = execute(runs, folder, max(1, arguments.jobs), keep)
    tables = arguments.tables or (HERE / "results" if world.iterations is None else arguments.out / "tables")
    for each in names:
        if world.name not in load(each).WORLDS:
            continue
        collected = collect(each, world, seeds, folder)
        if not collected.found or (arguments.shard != "1/1" and collected.not_run):
            print(f"{each}: not written yet; {len(collected.not_run)} rows are not run, {len(collected.needs)} need more")
            continue
        try:
            print(write(each, world, seeds, folder, tables / world.name))
        except NotPossible as error:
            print(f"{each}: not written yet; needs {error}")
    if name is None:
        print(f"One page of all: avalanche-gift report {folder} {tables / world.name} --html report.html")
        if world.departures():
            print(f"Orders of rows against the paper's: python -m experiments.agreement {tables / world.name}")
    for run, message in failures.items():
        print(f"failed: {run}: {message}", file=sys.stderr)
    return 1 if failures else 0


def _world(arguments: argparse.Namespace) -> World:
    pairs = [text.partition("=") for text in arguments.sources]
    if bad := ["".join(pair) for pair in pairs if not (pair[0] and pair[2])]:
        raise ValueError(f"expected --sources NAME=DIR ..., got {bad}")
    kept = str(arguments.out / "pictures") if arguments.world == "mini" else None  # most runs replay the same pictures
    return World(
        arguments.world,
        data=arguments.data,
        sources={name: folder for name, _, folder in pairs},
        device=arguments.device,
        num_workers=arguments.workers,
        cache_dir=arguments.cache_dir or kept,
        iterations=arguments.iterations,
        test_transform=arguments.test_transform,
    )
