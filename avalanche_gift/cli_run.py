"""`avalanche-gift run`: strategies on a stream, over seeds, to one table."""

import argparse
import gc
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avalanche_gift.cli_errors import FAILURE, explain
from avalanche_gift.files import parse_json
from avalanche_gift.interruption import Interruption, interruptible
from avalanche_gift.names import print_line

if TYPE_CHECKING:
    from avalanche_gift.config import RunConfig

AT_LEAST = {"batch_size": 1, "eval_batch_size": 1, "checkpoint_every": 1, "workers": 0, "l2_weight": 0, "awc_weight": 0}
MOST = 2**31 - 1
AT_MOST = {
    **{"batch_size": 2**20, "eval_batch_size": 2**20, "checkpoint_every": MOST, "workers": 1024, "images": 10**7},
    **{"epochs": 10**6, "shots": MOST, "max_pictures": MOST, "iterations": MOST},
}
"""What no run can need, and what would end in an overflow, no memory or no processes later."""
NUMERICS = {"precision": "float32", "compile": False, "tf32": False, "gradient_checkpointing": False}


def add_command(commands: Any) -> None:
    command = commands.add_parser("run", help="train and evaluate strategies on a stream, print one table")
    command.set_defaults(call=run, less_memory="a smaller --batch-size, --eval-batch-size or --images")
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
    add(
        "--class-incremental-loss",
        choices=["step", "seen"],
        help="classes of the cross-entropy in training there: those of the step (default, as published) or all seen",
    )
    add("--model", help="NAME[:TAG] of open_clip, a folder with its config and safetensors, clip-tiny or mini")
    add(
        "--strategies",
        "--strategy",
        nargs="+",
        default=["zero-shot", "finetune", "l2", "gift"],
        metavar="NAME",
        help="or all (default: zero-shot finetune l2 gift)",
    )
    add("--seeds", nargs="+", type=int, default=[0], metavar="N")
    add("--source", metavar="DIR", help="images for gift: class folders, prompts, a diffusers pipeline; or random-split:DIR")
    add("--eval-batch-size", type=int, default=256, metavar="N")
    add(
        "--test-transform",
        choices=["test", "train"],
        default="test",
        help="train: test images in the random training transform, as in the published class-incremental code (default: test)",
    )
    add(
        "--no-exif-orientation",
        action="store_true",
        help="read photos of --data (folders) and --source as their pixels are stored (default: turned upright by EXIF)",
    )
    add("--cache-dir", metavar="DIR", help="keep resized test pictures, and the embedded generator's, for other runs")
    add("--workers", type=int, default=0, metavar="N", help="processes that read pictures (default 0)")
    add("--device", default="cpu")
    add("--out", required=True, metavar="DIR", help="finished runs in it are not run again, those cut off go on")
    add("--checkpoint-every", type=int, default=200, metavar="N", help="iterations (default 200), and before each experience")
    add("--save-model", action="store_true", help="also the weights at the end of each run, as model.safetensors")
    add("--shard-optimizer", action="store_true", help="of several processes each keeps a share of the optimiser's state")
    add("--take-over", action="store_true", help="use --out although a process of another host seems to work in it")
    add("--debug", action="store_true", help="show the traceback of an error")
    _add_numerics(command.add_argument_group("numerics", "Faster or smaller, at other numbers; off unless given."))
    _add_hyperparameters(command.add_argument_group("hyperparameters", "Defaults: the paper's, or those of a small benchmark."))


def _add_numerics(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--precision", default="float32", help="bf16 or fp16: towers under autocast, all else in float32 (default float32)")
    add("--compile", action="store_true", help="the towers' blocks by torch.compile: rounding differs")
    add("--tf32", action="store_true", help="matrix products of float32 with ten bits, on GPUs that can")
    add("--gradient-checkpointing", action="store_true", help="less memory, a third more time, the same numbers")


def _add_hyperparameters(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--iterations", type=int, nargs="+", metavar="N", help="of each experience, one number or one each (paper: 1000)"
    )
    length.add_argument(
        "--epochs", type=int, metavar="N", help="over each experience's own images (paper: 1 on cifar100-*, ...)"
    )
    add("--batch-size", type=int, metavar="N", help="of the task, and of synthetic pairs (paper: 64)")
    add("--lr", type=float, help="base learning rate (paper: by data set)")
    add("--images", type=int, metavar="N", help="synthetic pictures an experience (paper: 1000)")
    add("--l2-weight", type=float, metavar="W", help="of the strategy l2 (paper: 1)")
    add("--awc-weight", type=float, metavar="W", help="adaptive weight consolidation of gift (paper: 1)")
    add("--alpha", type=float, help="distillation (paper: 1)")
    add("--beta", type=float, help="alignment (paper: 0.25)")
    add("--distillation", help="contrastive (paper), feature, image-only, text-only or reverse-kl")
    add("--teacher", help="previous (paper), initial or wise:R")
    add("--set", nargs="+", action="extend", default=[], metavar="STRATEGY.OPTION=VALUE", help="an argument of its class")


def run(arguments: argparse.Namespace) -> int:
    print("Loading Avalanche and PyTorch ...", file=sys.stderr)
    # Avalanche's dependencies warn of what nobody here uses (quadratic solvers, deprecated calls of its own plugins).
    for category in (UserWarning, DeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category)
    warnings.filterwarnings("default", module="avalanche_gift")
    from avalanche_gift import distributed
    from avalanche_gift.by_name import check_device
    from avalanche_gift.protocol_differences import differences_of_runs

    _check_options(arguments)
    check_device(arguments.device)
    distributed.start(arguments.device)
    configs = _configs(arguments)
    first = distributed.is_first()
    if (different := differences_of_runs(configs, _settings(arguments))) and first:
        print_line(f"Settings other than the paper's: {different}")
    out = Path(arguments.out)
    with interruptible() as interruption:
        results, failures = _run_all(configs, arguments, interruption)
    if results and first:
        _show(results, configs, out)
    if not failures:
        return 0
    same = not results and len({message for _, message, _ in failures}) == 1
    for name, message, _ in failures[:1] if same else failures:
        print(f"avalanche-gift: {'' if same else f'{name} failed: '}{message}", file=sys.stderr)
    return FAILURE if results else min(code for *_, code in failures)


def _check_options(arguments: argparse.Namespace) -> None:
    """Numbers and lists that would be noticed late, or never."""
    from avalanche_gift.by_name import is_class_incremental

    for option, least in AT_LEAST.items():
        value = getattr(arguments, option)
        if value is not None and value < least:
            raise ValueError(f"expected --{option.replace('_', '-')} of {least} or more, got {value}")
    for option, most in AT_MOST.items():
        given = getattr(arguments, option)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and value > most:
                raise ValueError(f"expected --{option.replace('_', '-')} of at most {most}, got {value}")
    if strange := [seed for seed in arguments.seeds if not 0 <= seed < 2**32]:
        raise ValueError(f"expected --seeds from 0 to {2**32 - 1}, got {strange}")
    steps = arguments.class_incremental or is_class_incremental(arguments.benchmark)
    if arguments.class_incremental_loss is not None and not steps:
        raise ValueError("expected --class-incremental-loss with a class-incremental stream only; add --class-incremental")
    for option in ("strategies", "seeds"):
        given = getattr(arguments, option)
        if len(set(given)) < len(given):
            raise ValueError(f"expected each of --{option} once, got {given}")


def _run_all(
    configs: Sequence["RunConfig"], arguments: argparse.Namespace, interruption: Interruption
) -> tuple[list[dict[str, Any]], list[tuple[str, str, int]]]:
    """The results there are, and of the other runs the name, what went wrong, and its exit code."""
    from avalanche_gift import distributed
    from avalanche_gift.run import run as run_one

    results: list[dict[str, Any]] = []
    failures: list[tuple[str, str, int]] = []
    for config in configs:
        try:
            results.append(
                run_one(
                    config,
                    Path(arguments.out) / config.strategy / f"seed-{config.seed}",
                    checkpoint_every=arguments.checkpoint_every,
                    save_model=arguments.save_model,
                    take_over=arguments.take_over,
                    interruption=interruption,
                    report=print_line if distributed.is_first() else lambda text: None,
                )
            )
        except Exception as error:
            interruption.deferred = False  # raises where a signal came meanwhile, which may also have ended a worker
            if arguments.debug or distributed.size() > 1:  # the other processes would wait for this one for ever
                raise
            # In words: the error's traceback would keep the run's model and data in memory while the others run.
            failures.append((f"{config.strategy}, seed {config.seed}", *explain(error, arguments.less_memory)))
            if len(configs) > 1:
                print(f"{failures[-1][0]}: failed; see the end", file=sys.stderr)
        gc.collect()  # the run's objects, among them its progress bar, refer to each other
    return results, failures


def _show(results: list[dict[str, Any]], configs: Sequence["RunConfig"], out: Path) -> None:
    from avalanche_gift.by_name import sample_pictures
    from avalanche_gift.evaluation import draw_summary, format_table, in_words

    print(f"\n{format_table(results)}\n")
    if words := in_words(results):
        print(words + "\n")
    has_gift = any(result["strategy"] == "gift" for result in results)
    shown = next((sample_pictures(config) for config in configs if has_gift and config.strategy == "gift"), [])
    draw_summary(results, out / "summary.png", shown)
    print_line(f"Curves and synthetic pictures: {out / 'summary.png'}")
    print_line(f"Accuracy matrices: avalanche-gift report --matrix {out}")
    print_line(f"Training curves: tensorboard --logdir {out}")


def _settings(arguments: argparse.Namespace, strategy: str | None = None) -> dict[str, Any]:
    """Hyperparameters by their names on the command line; of a strategy, where its protocol has others for it."""
    from avalanche_gift.benchmarks.defaults import PAPER, hyperparameters

    given = {name: getattr(arguments, name) for name in PAPER}
    if given["iterations"] is not None:
        given["iterations"] = given["iterations"][0] if len(given["iterations"]) == 1 else tuple(given["iterations"])
    return hyperparameters(arguments.benchmark, given, strategy)


def _configs(arguments: argparse.Namespace) -> list["RunConfig"]:
    """A configuration for each seed and strategy."""
    from avalanche_gift.names import check_name
    from avalanche_gift.strategy_options import check_options
    from avalanche_gift.training import STRATEGIES

    names = list(STRATEGIES) if arguments.strategies == ["all"] else arguments.strategies
    for name in names:
        check_name("strategy", name, STRATEGIES)
    options = _options(arguments.set)
    for name in options:
        check_name("strategy of --set", name, names)
        check_options(name, options[name])
    return [
        _config(arguments, _settings(arguments, name), name, seed, options.get(name, {}))
        for seed in arguments.seeds
        for name in names
    ]


def _options(given: Sequence[str]) -> dict[str, dict[str, Any]]:
    """["ewc.weight=3", ...] -> {"ewc": {"weight": 3}}; a value that is no JSON is a string."""
    options: dict[str, dict[str, Any]] = {}
    for text in given:
        name, _, value = text.partition("=")
        strategy, dot, option = name.partition(".")
        if not (dot and option and value):
            raise ValueError(f"expected --set STRATEGY.OPTION=VALUE, got {text!r}")
        try:
            options.setdefault(strategy, {})[option] = parse_json(value)
        except ValueError:
            options.setdefault(strategy, {})[option] = value
    return options


def _config(
    arguments: argparse.Namespace, settings: dict[str, Any], strategy: str, seed: int, given: dict[str, Any]
) -> "RunConfig":
    from avalanche_gift.benchmarks.defaults import strategy_options
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
        class_incremental_loss=arguments.class_incremental_loss or "step",
        order=arguments.order,
        shots=arguments.shots,
        max_pictures=arguments.max_pictures,
        cache_dir=arguments.cache_dir,
        train_iterations=settings["iterations"],
        train_epochs=settings["epochs"],
        train_mb_size=settings["batch_size"],
        eval_mb_size=arguments.eval_batch_size,
        lr=settings["lr"],
        l2_weight=settings["l2_weight"],
        synthetic={
            "synthetic_images": settings["images"],
            "synthetic_mb_size": settings["batch_size"],
            **{name: settings[name] for name in ("alpha", "beta", "awc_weight", "distillation", "teacher")},
        },
        options=strategy_options(arguments.benchmark, strategy, given),
        num_workers=arguments.workers,
        device=arguments.device,
        test_transform=arguments.test_transform,
        exif_orientation=not arguments.no_exif_orientation,
        shard_optimizer=arguments.shard_optimizer,
        numerics={name: getattr(arguments, name) for name, usual in NUMERICS.items() if getattr(arguments, name) != usual},
    )
