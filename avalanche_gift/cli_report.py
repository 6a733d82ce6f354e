"""`avalanche-gift report`: the tables of finished runs again, and a page to look at them."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avalanche_gift.cli_errors import FAILURE, explain
from avalanche_gift.files import parse_json, read_file
from avalanche_gift.names import printable

if TYPE_CHECKING:
    from avalanche_gift.evaluation.results import ResultsError
    from avalanche_gift.report import Experiment, Sheet


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds it to the command line's list."""
    command = commands.add_parser("report", help="print the table of finished runs again, or make a page of them")
    command.set_defaults(call=report)
    command.add_argument("folders", nargs="+", metavar="DIR")
    command.add_argument("--matrix", action="store_true", help="also the accuracy matrix of every run")
    command.add_argument("--html", metavar="FILE", help="also write one page with tables, charts and pictures")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")


def report(arguments: argparse.Namespace) -> int:
    """Returns 1 if some results were left out because they can't be read; raises ResultsError if none can."""
    from avalanche_gift.evaluation import format_accuracy, format_table

    found, unreadable = read_runs(arguments.folders)
    if not found and unreadable:
        raise unreadable[0]
    for error in unreadable:
        print(f"avalanche-gift: {explain(error)[0]}; left out", file=sys.stderr)
    if not found:
        raise ValueError(f"expected results.json of finished runs below {arguments.folders}, got none")
    results = [result for _, result in found]
    if arguments.matrix:
        for result in results:
            print(f"{printable(result['strategy'])}, seed {result['seed']}\n{format_accuracy(result)}\n")
    for group in comparable(results):
        config = max((result["config"] for result in group), key=lambda config: LOSS in config)
        kind = f" (class-incremental, loss over {LOSSES[config.get(LOSS)]})" if config.get("class_incremental") else ""
        stream = printable(f"{group[0]['benchmark']}{kind}: {' '.join(group[0]['experiences'])}")
        print(f"{stream}\n{format_table(group)}\n")
    if arguments.html:
        from avalanche_gift.report import write_page

        folders = [Path(folder) for folder in arguments.folders]
        write_page(Path(arguments.html), found, find_sheets(folders), find_experiments(folders))
        print(f"Page: {printable(arguments.html)}")
    return FAILURE if unreadable else 0


def read_runs(folders: Sequence[str]) -> "tuple[list[tuple[Path, dict[str, Any]]], list[ResultsError]]":
    """Every readable results file below the folders, with its folder, and an error for each that can't be read.

    Raises ResultsError for a folder that is not there.
    """
    from avalanche_gift.evaluation.results import ResultsError, read_results, result_files

    found: list[tuple[Path, dict[str, Any]]] = []
    unreadable: list[ResultsError] = []
    for path in [path for folder in folders for path in result_files(folder)]:
        try:
            found.append((path.parent, read_results(path)))
        except ResultsError as error:
            unreadable.append(error)
    return found, unreadable


LOSS = "class_incremental_loss"
LOSSES = {"step": "the classes of the step", "seen": "all classes seen", None: "all classes seen, as in earlier releases"}
OF_A_STRATEGY = ("strategy", "seed", "options", "synthetic", "l2_weight", "source")
"""Settings in which the rows of one table may differ."""


def comparable(results: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Results of one stream in one protocol, a table each; a strategy's second configuration is in a table of its own.

    Strategies that do not choose the classes of the loss (zero-shot, Avalanche's own) stand beside any that do.
    """
    from avalanche_gift.evaluation import training_order

    groups: list[tuple[str, Any, dict[str, Any], list[dict[str, Any]]]] = []
    for result in sorted(results, key=lambda result: LOSS not in result["config"]):
        config = dict(result["config"])
        strategy, loss = result["strategy"], config.pop(LOSS, None)
        own = {name: value for name, value in config.items() if name in OF_A_STRATEGY and name != "seed"}
        shared = {name: value for name, value in config.items() if name not in OF_A_STRATEGY}
        kind = json.dumps([result["experiences"], training_order(result), shared], sort_keys=True)
        chooses = not (strategy == "zero-shot" or strategy.startswith("avalanche-"))
        for other_kind, other_loss, configs, group in groups:
            same = other_kind == kind and (other_loss == loss or not chooses)
            if same and configs.setdefault(strategy, own) == own:
                group.append(result)
                break
        else:
            groups.append((kind, loss, {strategy: own}, [result]))
    return [sorted(group, key=results.index) for *_, group in groups]


def find_experiments(folders: Sequence[Path]) -> "list[Experiment]":
    """The tables and figures that `python -m experiments` wrote into the folders. Says on stderr what can't be read."""
    from avalanche_gift.report import Experiment

    paths = sorted({path for folder in folders for kind in ("table", "figure") for path in folder.rglob(f"{kind}[0-9]*.json")})
    found: list[Experiment] = []
    for path in paths:
        try:
            record = parse_json(read_file(path))
            picture = path.with_suffix(".png")
            found.append(Experiment.read(record, read_file(picture) if picture.is_file() else None))
        except (OSError, ValueError, RecursionError) as error:
            print("avalanche-gift: " + printable(f"can't read the experiment '{path}': {error}"), file=sys.stderr)
    return found


def find_sheets(folders: Sequence[Path]) -> "list[Sheet]":
    """A sheet a task of the stores in the folders and below. Says on stderr what can't be read, and goes on without it."""
    from avalanche_gift.generation.store import META, StoreError, TaskFolder
    from avalanche_gift.report import Sheet
    from avalanche_gift.report.pictures import PICTURES, TASKS

    found = [(meta.parent, folder) for folder in folders for meta in sorted(folder.rglob(f"task-*/{META}"))]
    sheets: list[Sheet] = []
    for place, above in found:
        task, store = TaskFolder(place), place.parent.relative_to(above).as_posix()
        try:
            name = str((task.meta() or {}).get("task", place.name))
            kept = task.kept()
            few = min(PICTURES, len(kept)) if len(sheets) < TASKS else 0  # none is shown of those beyond
            chosen = [kept[k * len(kept) // few] for k in range(few)]
            # Records have no similarity yet; a page shows it where they do.
            pictures = [(task.picture(record), record.prompt, getattr(record, "similarity", None)) for record in chosen]
        except StoreError as error:
            print(f"avalanche-gift: {printable(error)}", file=sys.stderr)
            continue
        if kept:
            sheets.append(Sheet(name if store == "." else f"{name} ({store})", pictures, len(kept)))
    return sheets
