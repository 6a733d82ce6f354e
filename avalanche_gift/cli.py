"""`avalanche-gift run | generate | report | datasets | prompts`. Arguments are parsed before anything heavy is imported."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from avalanche_gift import __version__, cli_data, cli_generate, cli_run

BAD_INPUT, FAILURE = 2, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 for a failure, 2 for bad input. One line says what is wrong; `--debug` shows where."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.call(arguments)
    except (ValueError, TypeError, OSError, ArithmeticError) as error:
        if arguments.debug:
            raise
        print(f"avalanche-gift: {error}", file=sys.stderr)
        return FAILURE if isinstance(error, ArithmeticError) else BAD_INPUT


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="avalanche-gift", description="GIFT and its baselines on continual streams of pictures.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    cli_run.add_command(commands)
    _add_report(commands.add_parser("report", help="print the table of finished runs again"))
    cli_data.add_commands(commands)
    cli_generate.add_command(commands)
    return top


def _add_report(command: argparse.ArgumentParser) -> None:
    command.set_defaults(call=report)
    command.add_argument("folders", nargs="+", metavar="DIR")
    command.add_argument("--matrix", action="store_true", help="also the accuracy matrix of every run")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")


def report(arguments: argparse.Namespace) -> int:
    from avalanche_gift.evaluation import find_results, format_accuracy, format_table

    results = [result for folder in arguments.folders for result in find_results(folder)]
    if not results:
        raise ValueError(f"expected results.json of finished runs below {arguments.folders}, got none")
    if arguments.matrix:
        for result in results:
            print(f"{result['strategy']}, seed {result['seed']}\n{format_accuracy(result)}\n")
    comparable: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        config = {key: value for key, value in result["config"].items() if key not in ("strategy", "seed")}
        comparable.setdefault(json.dumps([result["experiences"], config], sort_keys=True), []).append(result)
    for group in comparable.values():
        print(f"{group[0]['benchmark']}: {' '.join(group[0]['experiences'])}\n{format_table(group)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
