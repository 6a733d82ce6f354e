"""`avalanche-gift run | generate | report | datasets | prompts`. Arguments are parsed before anything heavy is imported."""

import argparse
import difflib
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from avalanche_gift import __version__, cli_data, cli_generate, cli_report, cli_run
from avalanche_gift.cli_errors import BAD_INPUT, explain
from avalanche_gift.interruption import Interrupted, interruptible
from avalanche_gift.names import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 for a failure, 2 for bad input, 128 and the number of a signal that ended it.

    One line says what is wrong; `--debug` shows where.
    """
    arguments = parser().parse_args(argv)
    as_python_does = warnings.formatwarning
    warnings.formatwarning = lambda message, *rest, **more: as_python_does(printable(message), *rest, **more)  # type: ignore
    try:
        with interruptible():  # the imports included, which take seconds
            return arguments.call(arguments)
    except Interrupted as stop:
        print(f"avalanche-gift: {stop}; the same command goes on from here", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:  # while nothing was under way yet
        return 128 + signal.SIGINT
    except Exception as error:
        if arguments.debug:
            raise
        message, code = explain(error, getattr(arguments, "less_memory", ""))
        print(f"avalanche-gift: {message}", file=sys.stderr)
        return code
    finally:
        warnings.formatwarning = as_python_does


class _Parser(argparse.ArgumentParser):
    """One line for what is wrong, as for every other error, with the nearest option of the command for an unknown one."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"avalanche-gift: {printable(message)}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        found, unknown = super().parse_known_args(args, namespace)
        name = next((each.partition("=")[0] for each in unknown if each.startswith("-")), None)
        if name is not None:
            nearest = difflib.get_close_matches(name, self._option_string_actions, n=1)
            self.error(f"unknown option {name!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else ""))
        return found, unknown


def parser() -> argparse.ArgumentParser:
    top: argparse.ArgumentParser = _Parser(
        prog="avalanche-gift", description="GIFT and its baselines on continual streams of pictures."
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    cli_run.add_command(commands)
    cli_report.add_command(commands)
    cli_data.add_commands(commands)
    cli_generate.add_command(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
