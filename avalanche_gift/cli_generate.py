"""`avalanche-gift generate`: all synthetic pictures of a stream, ahead of training. Parses before it imports."""

import argparse
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avalanche_gift.names import print_line

if TYPE_CHECKING:
    from avalanche_gift.generation.job import Job
    from avalanche_gift.generation.making import TaskPrompts


AT_MOST = {"images": 10**7, "drawn": 10**7, "batch_size": 2**20, "attempts": 10**6, "steps": 10**6}
"""What no store can need, and what would end in an overflow or no memory later."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds it to the command line's list."""
    command = commands.add_parser(
        "generate",
        help="make the synthetic pictures of a stream ahead of training",
        description="Makes what is missing: the same command goes on after any interruption. Under torchrun or accelerate "
        "launch the pictures are shared among the processes. With the same benchmark, tasks, seed and number of pictures, "
        "`run --source DIR` trains on the pictures that it would have had made itself.",
    )
    less_memory = "a smaller --batch-size, --half-precision, --attention-slicing or --cpu-offload"
    command.set_defaults(call=generate, less_memory=less_memory)
    add = command.add_argument
    add("--out", required=True, metavar="DIR", help="the store; `run --source` and generation.Ahead read it")
    add("--benchmark", default="mini", help="as of `run`: mini (default), digits, folders, mtil, cifar100, tinyimagenet, ...")
    add("--data", metavar="DIR", help="of the benchmark folders; no other needs its data set here")
    add("--tasks", nargs="+", metavar="TASK", help="which tasks, in which order, or how many of the first (default: all)")
    add("--order", choices=["I", "II"], help="of mtil (default I)")
    add("--images", type=int, metavar="N", help="a task (default, as of `run`: 200 for mini and digits, else 1000)")
    add("--drawn", type=int, metavar="N", help="prompts drawn a task (default: --images; of mtil as published): more "
        "pictures can only be added later up to this number")  # fmt: skip
    add("--skip", nargs="+", default=[], metavar="TASK", help="tasks whose classes never join the pool of prompts")
    add("--seed", type=int, default=0, help="of prompts and pictures, as `run --seeds` (default 0 as there; the paper's: 42)")
    add("--format", choices=["png", "jpg"], default="png", help="jpg: quality 75, as the paper's code (default png)")
    add("--attempts", type=int, default=5, metavar="N", help="draws of a black or failed picture (default 5)")
    add("--drop-black", action="store_true", help="leave black pictures out instead, as the paper's code does")
    add("--drop-lowest", type=float, metavar="SHARE", help="in the end leave out this share of each task's pictures, those "
        "that a CLIP finds least like their prompts; the files stay, 0 takes it back")  # fmt: skip
    add("--filter-model", metavar="NAME", help="the CLIP that finds them, as `run --model` (default of mini: mini)")
    add("--shard", metavar="K/N", help="make the K-th of N parts only (default: as torchrun says, or all)")
    add("--dry-run", action="store_true", help="count, make two batches that are not kept, and estimate seconds and bytes")
    add("--sheet", metavar="FILE", help="in the end also draw some pictures of each task with their prompts")
    add("--debug", action="store_true", help="show the traceback of an error")
    _add_generator(command.add_argument_group("generator"))


def _add_generator(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--source", metavar="NAME", help="a diffusers pipeline (folder or name on the hub), a folder of pictures, mini or "
        "perfect (the mini world's own drawings); the default belongs to the benchmark")  # fmt: skip
    add("--revision", help="of a name on the hub")
    add("--steps", type=int, metavar="N", help="default 50, of mini 12")
    add("--guidance", type=float, metavar="SCALE", help="default 7.5, of mini 1.5")
    add("--scheduler", metavar="NAME", help="of diffusers, or `own` (default: own from 50 steps on, DPM-Solver below)")
    add("--batch-size", type=int, metavar="N", help="pictures a call (default 8, of mini 64)")
    add("--device", help="default: a GPU for a pipeline where there is one, each process its own")
    add("--half-precision", action="store_true", help="float16, as the paper")
    add("--compile", action="store_true", help="the denoising model, by torch.compile")
    add("--channels-last", action="store_true")
    add("--attention-slicing", action="store_true", help="less memory, more time")
    add("--cpu-offload", action="store_true", help="each model is on the GPU only while it runs")


def generate(arguments: argparse.Namespace) -> int:
    """Raises as `Job.fill`: what was made stays."""
    for category in (UserWarning, DeprecationWarning, FutureWarning):  # as `run`: Avalanche's dependencies
        warnings.filterwarnings("ignore", category=category)
    warnings.filterwarnings("default", module="avalanche_gift")
    _generate(arguments)
    return 0


def _generate(arguments: argparse.Namespace) -> None:
    from avalanche_gift.generation.sheet import check_sheet, draw_sheet

    sheet = None if arguments.sheet is None else Path(arguments.sheet)
    if sheet is not None:
        check_sheet(sheet)
    filter_name = _filter_name(arguments)
    job = job_of(arguments)
    if arguments.dry_run:
        job.estimate()
        return
    job.fill()
    if filter_name is None and sheet is None:
        return
    if not job.is_complete():
        print("Other parts are being made; the last of them draws the sheet and drops pictures.")
        return
    if filter_name is not None:
        from avalanche_gift.by_name import load_model
        from avalanche_gift.generation.filters import clip_similarity

        model = load_model(filter_name).to(arguments.device or _own_device() or "cpu")
        job.drop_lowest(clip_similarity(model), arguments.drop_lowest, filter_name)
    if sheet is not None:
        print_line(f"Contact sheet: {draw_sheet(job.store, sheet)}")


def _filter_name(arguments: argparse.Namespace) -> str | None:
    """The model that the filter asks; None without a filter. Checked before hours of generation, not after."""
    if arguments.drop_lowest is None:
        if arguments.filter_model is not None:
            raise ValueError("expected --filter-model with --drop-lowest SHARE only, got it alone")
        return None
    if not 0 <= arguments.drop_lowest < 1:
        raise ValueError(f"expected --drop-lowest from 0 up to, but without, 1, got {arguments.drop_lowest}")
    name = arguments.filter_model or ("mini" if arguments.benchmark == "mini" else None)
    if name is None:
        raise ValueError("expected --filter-model NAME[:TAG], such as ViT-B-16:openai, with --drop-lowest, got none")
    return name


def job_of(arguments: argparse.Namespace) -> "Job":
    """What the arguments ask for, nothing of it made yet."""
    from avalanche_gift.generation.job import Job
    from avalanche_gift.generation.making import meta_of, shard_of_process
    from avalanche_gift.generation.store import SyntheticStore

    for option, most in AT_MOST.items():
        if (value := getattr(arguments, option)) is not None and value > most:
            raise ValueError(f"expected --{option.replace('_', '-')} of at most {most}, got {value}")
    if not 0 <= arguments.seed < 2**32:
        raise ValueError(f"expected --seed from 0 to {2**32 - 1}, got {arguments.seed}")
    shard = shard_of_process(arguments.shard)
    plan, drawn = plan_of(arguments)
    generator = make_generator(arguments)
    black = "drop" if arguments.drop_black else "again"
    settings: dict[str, Any] = {"seed": arguments.seed, "suffix": arguments.format, "drawn": drawn, "black": black}
    size = getattr(generator, "batch_size", 32) if arguments.batch_size is None else arguments.batch_size
    if size < 1 or arguments.attempts < 1:
        raise ValueError(f"expected --batch-size and --attempts of 1 or more, got {size} and {arguments.attempts}")
    return Job(
        store=SyntheticStore(arguments.out),
        generator=generator,
        plan=plan,
        metas=[meta_of(generator, task, **settings) for task in plan],
        batch_size=size,
        shard=shard,
        attempts=arguments.attempts,
        black=black,
    )


def plan_of(arguments: argparse.Namespace) -> "tuple[list[TaskPrompts], int]":
    """The prompts and seeds of every task, as training with the same options draws them, and how many are drawn a task."""
    from avalanche_gift.benchmarks.defaults import hyperparameters
    from avalanche_gift.generation.making import plan_tasks
    from avalanche_gift.stream_prompts import base_of, drawn_of, stream_prompts

    benchmark, images = arguments.benchmark, arguments.images
    tasks = stream_prompts(benchmark, data=arguments.data, order=arguments.order, tasks=arguments.tasks)
    images = hyperparameters(benchmark, {})["images"] if images is None else images
    drawn = drawn_of(benchmark, arguments.order, images) if arguments.drawn is None else arguments.drawn
    plan = plan_tasks(base_of(benchmark), tasks, images=images, seed=arguments.seed, drawn=drawn, skip=arguments.skip)
    return plan, drawn


def make_generator(arguments: argparse.Namespace) -> Any:
    """The generator that the arguments name. Raises ValueError where options for a pipeline come with another source."""
    flags = ("half_precision", "compile", "channels_last", "attention_slicing", "cpu_offload")
    given = {"num_inference_steps": arguments.steps, "guidance_scale": arguments.guidance}
    given |= {name: getattr(arguments, name) for name in ("scheduler", "batch_size", "revision", "device")}
    given = {name: value for name, value in given.items() if value is not None}
    given |= {name: True for name in flags if getattr(arguments, name)}
    source = arguments.source or {"mini": "mini", "digits": "glyphs"}.get(arguments.benchmark)
    if source is None:
        raise ValueError(f"expected --source NAME, a diffusers pipeline, for the benchmark {arguments.benchmark}, got none")
    mini = source == "mini" or Path(source, "text_to_image").is_dir()
    is_folder = not mini and Path(source).is_dir() and not Path(source, "model_index.json").is_file()
    if source in ("perfect", "glyphs") or is_folder:
        if strange := sorted(given.keys() - {"batch_size"}):
            raise ValueError(f"expected {', '.join(strange)} with a diffusers pipeline only, got them for {source}")
        return _other_source(source)
    from avalanche_gift.by_name import check_device
    from avalanche_gift.generation.diffusers_generator import DiffusersGenerator

    if arguments.device is not None:
        check_device(arguments.device)
    if mini:
        from avalanche_gift.generation.mini import mini_generator

        generator = mini_generator(None if source == "mini" else source)
        defaults = {name: getattr(generator, name) for name in ("num_inference_steps", "guidance_scale", "batch_size")}
        return DiffusersGenerator(generator.pipeline, **{**defaults, **given}) if given else generator
    return DiffusersGenerator(source, **{"device": _own_device(), **given})


def _other_source(source: str) -> Any:
    if source == "perfect":
        from avalanche_gift.benchmarks.mini import PerfectGenerator

        return PerfectGenerator()
    if source == "glyphs":
        from avalanche_gift.benchmarks import PrintedGlyphs

        return PrintedGlyphs()
    from avalanche_gift.generation.folders import FolderGenerator

    return FolderGenerator(source)


def _own_device() -> str | None:
    """The GPU of this process where torchrun started several."""
    import torch

    return f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ and torch.cuda.is_available() else None
