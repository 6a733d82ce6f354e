"""`avalanche-gift run | generate | report | datasets | prompts`. Arguments are parsed before anything heavy is imported."""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avalanche_gift import __version__, cli_data, cli_generate

if TYPE_CHECKING:
    from avalanche_gift.config import RunConfig

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
    _add_run(commands.add_parser("run", help="train and evaluate strategies on a stream, print one table"))
    _add_report(commands.add_parser("report", help="print the table of finished runs again"))
    cli_data.add_commands(commands)
    cli_generate.add_command(commands)
    return top


def _add_run(command: argparse.ArgumentParser) -> None:
    command.set_defaults(call=run)
    add = command.add_argument
    add(
        "--benchmark",
        default="mini",
        help="mini (embedded, default), digits (scikit-learn's), folders, mtil, or in steps of new classes cifar100 "
        "(cifar100-20, -50) and tinyimagenet (tinyimagenet-10, -20)",
    )
    add(
        "--data",
        metavar="DIR",
        help="of the data sets (see `avalanche-gift datasets`), or TASK/{train,test}/CLASS/* for folders",
    )
    add("--tasks", nargs="+", metavar="TASK", help="which tasks, in which order, or how many of the first (default: all)")
    add("--shots", type=int, metavar="N", help="train pictures a class, at random (default: all)")
    add("--max-pictures", type=int, metavar="N", help="at most so many a split of a task, for quick runs")
    add("--order", choices=["I", "II"], help="of mtil (default I)")
    add("--class-incremental", action="store_true", help="classify among all classes seen, not among those of the task")
    add("--model", help="NAME[:TAG] of open_clip, a folder with its config and safetensors, clip-tiny or mini")
    add("--strategies", "--strategy", nargs="+", default=["zero-shot", "finetune", "l2", "gift"], metavar="NAME")
    add("--seeds", nargs="+", type=int, default=[0], metavar="N")
    add("--source", metavar="DIR", help="pictures for gift: class folders, a folder with prompts, or a diffusers pipeline")
    add("--eval-batch-size", type=int, default=256, metavar="N")
    add("--cache-dir", metavar="DIR", help="keep resized test pictures there, so that each is decoded once")
    add("--workers", type=int, default=0, metavar="N", help="processes that read pictures (default 0)")
    add("--device", default="cpu")
    add("--out", required=True, metavar="DIR", help="finished runs in it are not run again")
    add("--debug", action="store_true", help="show the traceback of an error")
    _add_hyperparameters(command.add_argument_group("hyperparameters", "Defaults: the paper's, or those of a small benchmark."))


def _add_hyperparameters(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--iterations", type=int, metavar="N", help="an experience (paper: 1000)")
    add("--batch-size", type=int, metavar="N", help="of the task, and of synthetic pairs (paper: 64)")
    add("--lr", type=float, help="base learning rate (paper: by data set)")
    add("--images", type=int, metavar="N", help="synthetic pictures an experience (paper: 1000)")
    add("--l2-weight", type=float, metavar="W", help="of the strategy l2 (paper: 1)")
    add("--awc-weight", type=float, metavar="W", help="adaptive weight consolidation of gift (paper: 1)")
    add("--alpha", type=float, help="distillation (paper: 1)")
    add("--beta", type=float, help="alignment (paper: 0.25)")
    add("--distillation", help="contrastive (paper), feature, image-only, text-only or reverse-kl")
    add("--teacher", help="previous (paper), initial or wise:R")


def _add_report(command: argparse.ArgumentParser) -> None:
    command.set_defaults(call=report)
    command.add_argument("folders", nargs="+", metavar="DIR")
    command.add_argument("--matrix", action="store_true", help="also the accuracy matrix of every run")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run(arguments: argparse.Namespace) -> int:
    print("Loading Avalanche and PyTorch ...", file=sys.stderr)
    # Avalanche's dependencies warn of what nobody here uses (quadratic solvers, deprecated calls of its own plugins).
    for category in (UserWarning, DeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category)
    warnings.filterwarnings("default", module="avalanche_gift")
    from avalanche_gift.benchmarks.defaults import PAPER, departures, hyperparameters
    from avalanche_gift.by_name import sample_pictures
    from avalanche_gift.evaluation import draw_summary, format_table, in_words
    from avalanche_gift.names import check_name
    from avalanche_gift.run import run as run_one
    from avalanche_gift.training import STRATEGIES

    for name in arguments.strategies:
        check_name("strategy", name, STRATEGIES)
    settings = hyperparameters(arguments.benchmark, {name: getattr(arguments, name) for name in PAPER})
    if different := departures(settings):
        print(f"Settings other than the paper's: {different}.")
    out = Path(arguments.out)
    results = [
        run_one(_config(arguments, settings, name, seed), out / name / f"seed-{seed}")
        for seed in arguments.seeds
        for name in arguments.strategies
    ]
    print(f"\n{format_table(results)}\n")
    if words := in_words(results):
        print(words + "\n")
    shown = sample_pictures(_config(arguments, settings, "gift", arguments.seeds[0])) if "gift" in arguments.strategies else []
    draw_summary(results, out / "summary.png", shown)
    print(f"Curves and synthetic pictures: {out / 'summary.png'}")
    print(f"Accuracy matrices: avalanche-gift report --matrix {out}\nTraining curves: tensorboard --logdir {out}")
    return 0


def _config(arguments: argparse.Namespace, settings: dict[str, Any], strategy: str, seed: int) -> "RunConfig":
    from avalanche_gift.by_name import is_class_incremental
    from avalanche_gift.config import RunConfig

    return RunConfig(
        strategy=strategy,
        seed=seed,
        benchmark=arguments.benchmark,
        model=arguments.model or ("mini" if arguments.benchmark == "mini" else "clip-tiny"),
        data=arguments.data,
        source=arguments.source,
        tasks=tuple(arguments.tasks) if arguments.tasks else None,
        class_incremental=arguments.class_incremental or is_class_incremental(arguments.benchmark),
        order=arguments.order,
        shots=arguments.shots,
        max_pictures=arguments.max_pictures,
        cache_dir=arguments.cache_dir,
        train_iterations=settings["iterations"],
        train_mb_size=settings["batch_size"],
        eval_mb_size=arguments.eval_batch_size,
        lr=settings["lr"],
        l2_weight=settings["l2_weight"],
        synthetic={
            "synthetic_images": settings["images"],
            "synthetic_mb_size": settings["batch_size"],
            **{name: settings[name] for name in ("alpha", "beta", "awc_weight", "distillation", "teacher")},
        },
        num_workers=arguments.workers,
        device=arguments.device,
    )


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
