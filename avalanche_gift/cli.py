"""`avalanche-gift run | report`. Arguments are parsed before anything heavy is imported."""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avalanche_gift import __version__

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
    return top


def _add_run(command: argparse.ArgumentParser) -> None:
    command.set_defaults(call=run)
    add = command.add_argument
    add(
        "--benchmark",
        required=True,
        help="digits (scikit-learn's) or folders (TASK/{train,test}/CLASS/*)",
    )
    add("--data", metavar="DIR", help="folder of the benchmark")
    add("--tasks", nargs="+", metavar="TASK", help="which tasks, in which order (default: all, by name)")
    add("--class-incremental", action="store_true", help="classify among all classes seen, not among those of the task")
    add("--model", default="clip-tiny", help="NAME[:TAG] of open_clip, or a folder with its config and safetensors")
    add("--strategies", nargs="+", default=["zero-shot", "finetune", "l2", "gift"], metavar="NAME")
    add("--seeds", nargs="+", type=int, default=[0], metavar="N")
    add("--source", metavar="DIR", help="pictures for gift: class folders, a folder with prompts, or a diffusers pipeline")
    add("--iterations", type=int, default=1000, metavar="N", help="an experience (default 1000)")
    add("--batch-size", type=int, default=64, metavar="N", help="of the task, and of synthetic pairs (default 64)")
    add("--eval-batch-size", type=int, default=256, metavar="N")
    add("--lr", type=float, help="base learning rate (default: the stream's own, or 1e-5)")
    add("--l2-weight", type=float, default=1.0, metavar="W", help="of the strategy l2 (default 1)")
    add("--images", type=int, default=1000, metavar="N", help="synthetic pictures an experience (default 1000)")
    add("--alpha", type=float, default=1.0, help="distillation (default 1)")
    add("--beta", type=float, default=0.25, help="alignment (default 0.25)")
    add("--awc-weight", type=float, default=1.0, metavar="W", help="adaptive weight consolidation (default 1)")
    add("--distillation", default="contrastive", help="contrastive, feature, image-only, text-only or reverse-kl")
    add("--teacher", default="previous", help="previous, initial or wise:R")
    add("--workers", type=int, default=0, metavar="N", help="processes that read pictures (default 0)")
    add("--device", default="cpu")
    add("--out", required=True, metavar="DIR", help="finished runs in it are not run again")
    add("--debug", action="store_true", help="show the traceback of an error")


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
    from avalanche_gift.evaluation import format_table
    from avalanche_gift.names import check_name
    from avalanche_gift.run import RunConfig
    from avalanche_gift.run import run as run_one
    from avalanche_gift.training import STRATEGIES

    for name in arguments.strategies:
        check_name("strategy", name, STRATEGIES)
    results = []
    for seed in arguments.seeds:
        for name in arguments.strategies:
            config = RunConfig(
                strategy=name,
                seed=seed,
                benchmark=arguments.benchmark,
                model=arguments.model,
                data=arguments.data,
                source=arguments.source,
                tasks=tuple(arguments.tasks) if arguments.tasks else None,
                class_incremental=arguments.class_incremental,
                train_iterations=arguments.iterations,
                train_mb_size=arguments.batch_size,
                eval_mb_size=arguments.eval_batch_size,
                lr=arguments.lr,
                l2_weight=arguments.l2_weight,
                synthetic=_synthetic(arguments),
                num_workers=arguments.workers,
                device=arguments.device,
            )
            results.append(run_one(config, Path(arguments.out) / name / f"seed-{seed}"))
    print(format_table(results))
    print(f"\nAccuracy matrices: avalanche-gift report --matrix {arguments.out}")
    print(f"Curves: tensorboard --logdir {arguments.out}")
    return 0


def _synthetic(arguments: argparse.Namespace) -> dict[str, object]:
    """GIFT's own arguments."""
    return {
        "synthetic_images": arguments.images,
        "synthetic_mb_size": arguments.batch_size,
        "alpha": arguments.alpha,
        "beta": arguments.beta,
        "awc_weight": arguments.awc_weight,
        "distillation": arguments.distillation,
        "teacher": arguments.teacher,
    }


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
