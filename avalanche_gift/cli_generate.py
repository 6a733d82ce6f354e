"""`avalanche-gift generate`: all synthetic pictures of a stream, ahead of training. Parses before it imports."""

import argparse
import os
import shutil
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avalanche_gift.generation.making import TaskPrompts
    from avalanche_gift.generation.store import SyntheticStore, TaskFolder

SHEET_COLUMNS, SHEET_SIDE, SHEET_MARGIN = 8, 96, 24


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds it to the command line's list."""
    command = commands.add_parser(
        "generate",
        help="make the synthetic pictures of a stream ahead of training",
        description="Makes what is missing: the same command goes on after any interruption. Under torchrun or accelerate "
        "launch the pictures are shared among the processes.",
    )
    command.set_defaults(call=generate)
    add = command.add_argument
    add("--out", required=True, metavar="DIR", help="the store; `run --source` and generation.Ahead read it")
    add("--benchmark", default="mini", help="as of `run`: mini (default), digits, folders, mtil, cifar100, tinyimagenet, ...")
    add("--data", metavar="DIR", help="of the benchmark folders; no other needs its data set here")
    add("--tasks", nargs="+", metavar="TASK", help="which tasks, in which order, or how many of the first (default: all)")
    add("--order", choices=["I", "II"], help="of mtil (default I)")
    add("--images", type=int, default=1000, metavar="N", help="a task (default 1000)")
    add("--drawn", type=int, metavar="N", help="prompts drawn a task (default: --images; of mtil as published): more "
        "pictures can only be added later up to this number")  # fmt: skip
    add("--skip", nargs="+", default=[], metavar="TASK", help="tasks whose classes never join the pool of prompts")
    add("--seed", type=int, default=42, help="of prompts and pictures (default 42, the paper's)")
    add("--format", choices=["png", "jpg"], default="png", help="jpg: quality 75, as the paper's code (default png)")
    add("--attempts", type=int, default=5, metavar="N", help="draws of a black or failed picture (default 5)")
    add("--drop-black", action="store_true", help="leave black pictures out instead, as the paper's code does")
    add("--shard", metavar="K/N", help="make the K-th of N parts only (default: as torchrun says, or all)")
    add("--dry-run", action="store_true", help="count, make two batches that are not kept, and estimate seconds and bytes")
    add("--sheet", metavar="FILE", help="also draw some pictures of each task with their prompts")
    add("--debug", action="store_true", help="show the traceback of an error")
    _add_generator(command.add_argument_group("generator"))


def _add_generator(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--source", metavar="NAME", help="a diffusers pipeline (folder or name on the hub), a folder of pictures, mini or "
        "perfect (the mini world's own drawings); the default belongs to the benchmark")  # fmt: skip
    add("--revision", help="of a name on the hub")
    add("--steps", type=int, metavar="N", help="default 50, of mini 12")
    add("--guidance", type=float, metavar="SCALE", help="default 7.5, of mini 3")
    add("--scheduler", metavar="NAME", help="of diffusers, or `own` (default: own from 50 steps on, DPM-Solver below)")
    add("--batch-size", type=int, metavar="N", help="pictures a call (default 8, of mini 64)")
    add("--device", help="default: a GPU for a pipeline where there is one, each process its own")
    add("--half-precision", action="store_true", help="float16, as the paper")
    add("--compile", action="store_true", help="the denoising model, by torch.compile")
    add("--channels-last", action="store_true")
    add("--attention-slicing", action="store_true", help="less memory, more time")
    add("--cpu-offload", action="store_true", help="each model is on the GPU only while it runs")


def generate(arguments: argparse.Namespace) -> int:
    """Returns 1 where a picture failed every attempt; what was made stays."""
    from avalanche_gift.generation.making import GenerationError, shard_of_process
    from avalanche_gift.generation.store import SyntheticStore

    warnings.filterwarnings("ignore", message="no QP solver found")  # Avalanche's, which some benchmarks bring with them
    shard = shard_of_process(arguments.shard)
    plan = plan_of(arguments)
    store = SyntheticStore(arguments.out)
    made = make_generator(arguments)
    try:
        if arguments.dry_run:
            _dry_run(arguments, store, plan, made, shard)
        else:
            _fill(arguments, store, plan, made, shard)
    except GenerationError as error:
        if arguments.debug:
            raise
        print(f"avalanche-gift: {error}", file=sys.stderr)
        return 1
    if arguments.sheet and shard[0] == 1:
        print(f"Contact sheet: {draw_sheet(store, Path(arguments.sheet))}")
    return 0


def plan_of(arguments: argparse.Namespace) -> "list[TaskPrompts]":
    """The prompts and seeds of every task, as training with the same seed and number of pictures would draw them."""
    from avalanche_gift.generation.making import plan_tasks

    base, tasks = stream_prompts(arguments.benchmark, data=arguments.data, order=arguments.order, tasks=arguments.tasks)
    drawn = arguments.drawn
    if drawn is None and arguments.benchmark == "mtil":
        from avalanche_gift.benchmarks.sources import DRAWN

        drawn = max(arguments.images, DRAWN[arguments.order or "I"])
    return plan_tasks(base, tasks, images=arguments.images, seed=arguments.seed, drawn=drawn, skip=arguments.skip)


def stream_prompts(
    benchmark: str, *, data: str | None = None, order: str | None = None, tasks: Sequence[str] | None = None
) -> tuple[Sequence[str], list[tuple[str, list[str]]]]:
    """The base prompts of a benchmark, and the name and training prompts of each task; only `folders` reads its data.

    Raises ValueError for an unknown benchmark or task, or an option that the benchmark does not have.
    """
    from avalanche_gift.prompts import DEFAULT_TEMPLATES, imagenet_prompts, training_prompts

    if order is not None and benchmark != "mtil":
        raise ValueError(f"expected --order for the benchmark mtil only, got it for {benchmark}")
    if benchmark == "mini":
        from avalanche_gift.benchmarks.mini.concepts import TASKS, TEMPLATE, base_prompts

        chosen = _chosen(tuple(TASKS), tasks)
        return base_prompts(), [(name, training_prompts(TASKS[name], [TEMPLATE])) for name in chosen]
    if benchmark == "mtil":
        from avalanche_gift.benchmarks.class_names import class_names, templates
        from avalanche_gift.benchmarks.sources import ORDERS

        chosen = _chosen(ORDERS[order or "I"], tasks)
        return imagenet_prompts(), [(name, training_prompts(class_names(name), templates(name))) for name in chosen]
    if benchmark == "digits":
        from avalanche_gift.benchmarks.digits import DIGITS, LETTER_PROMPTS, TEMPLATE

        pairs = [DIGITS[first : first + 2] for first in range(0, 10, 2)]
        return LETTER_PROMPTS, [("-".join(pair), training_prompts(pair, [TEMPLATE])) for pair in _no(tasks, pairs)]
    if benchmark == "folders":
        from avalanche_gift.benchmarks import ClassFolders

        if data is None:
            raise ValueError("expected --data DIR, the folder of the benchmark folders, got none")
        stream = ClassFolders(data, order=tasks, train_transform=None, eval_transform=None).train_stream  # type: ignore[arg-type]
        return imagenet_prompts(), [(each.task_name, training_prompts(each.class_names, each.templates)) for each in stream]
    from avalanche_gift.benchmarks.class_names import base_prompts as cil_base_prompts
    from avalanche_gift.benchmarks.class_names import class_names, class_order
    from avalanche_gift.by_name import BENCHMARKS, CLASS_INCREMENTAL
    from avalanche_gift.names import check_name

    steps = CLASS_INCREMENTAL[check_name("benchmark", benchmark, BENCHMARKS)][1]
    dataset, names = ("CIFAR100", "CIFAR100_CIL") if benchmark.startswith("cifar100") else ("TinyImageNet",) * 2
    labels, first = list(class_order(dataset)), 0
    sizes = ([] if dataset == "CIFAR100" else [100]) + [(len(labels) - 100 * (dataset != "CIFAR100")) // steps] * steps
    stream_of_classes = []
    for size in _no(tasks, sizes):
        own = [class_names(names)[label] for label in labels[first : first + size]]
        stream_of_classes.append((f"classes {first}-{first + size - 1}", training_prompts(own, DEFAULT_TEMPLATES)))
        first += size
    return cil_base_prompts(dataset), stream_of_classes


def _chosen(names: Sequence[str], tasks: Sequence[str] | None) -> list[str]:
    """As `benchmarks.stream.in_order`, which brings Avalanche with it: ten seconds."""
    from avalanche_gift.names import check_name

    if tasks is None:
        return list(names)
    if len(tasks) == 1 and tasks[0].isdecimal():
        if not 1 <= int(tasks[0]) <= len(names):
            raise ValueError(f"expected a number of tasks from 1 to {len(names)}, got {tasks[0]}")
        return list(names)[: int(tasks[0])]
    return [check_name("task", name, names) for name in tasks]


def _no(tasks: Sequence[str] | None, steps: list[Any]) -> list[Any]:
    if tasks is not None:
        raise ValueError(f"expected no --tasks for this benchmark, whose steps are fixed, got {list(tasks)}")
    return steps


def make_generator(arguments: argparse.Namespace) -> Any:
    """The generator that the arguments name. Raises ValueError where options for a pipeline come with another source."""
    flags = ("half_precision", "compile", "channels_last", "attention_slicing", "cpu_offload")
    given = {"num_inference_steps": arguments.steps, "guidance_scale": arguments.guidance}
    given |= {name: getattr(arguments, name) for name in ("scheduler", "batch_size", "revision")}
    given = {name: value for name, value in given.items() if value is not None}
    given |= {name: True for name in flags if getattr(arguments, name)}
    source = arguments.source or {"mini": "mini", "digits": "glyphs"}.get(arguments.benchmark)
    if source is None:
        raise ValueError(f"expected --source NAME, a diffusers pipeline, for the benchmark {arguments.benchmark}, got none")
    mini = source == "mini" or Path(source, "text_to_image").is_dir()
    is_folder = not mini and Path(source).is_dir() and not Path(source, "model_index.json").is_file()
    if source in ("perfect", "glyphs") or is_folder:
        if given.keys() - {"batch_size"}:
            raise ValueError(f"expected {sorted(given)} with a diffusers pipeline only, got them for {source}")
        return _other_source(source)
    from avalanche_gift.generation.diffusers_generator import DiffusersGenerator

    if mini:
        from avalanche_gift.generation.mini import mini_generator

        generator = mini_generator(None if source == "mini" else source)
        defaults = {"num_inference_steps": generator.num_inference_steps, "guidance_scale": generator.guidance_scale}
        defaults["batch_size"] = generator.batch_size
        options = {**defaults, **given}
        return (
            DiffusersGenerator(generator.pipeline, device=arguments.device, **options)
            if given or arguments.device
            else generator
        )
    return DiffusersGenerator(source, device=arguments.device or _own_device(), **given)


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


def _batch_size(arguments: argparse.Namespace, generator: Any) -> int:
    return arguments.batch_size or getattr(generator, "batch_size", 32)


def _meta(arguments: argparse.Namespace, generator: Any, task: "TaskPrompts") -> dict[str, Any]:
    from avalanche_gift.generation.making import meta_of

    drawn = arguments.drawn
    if drawn is None and arguments.benchmark == "mtil":
        from avalanche_gift.benchmarks.sources import DRAWN

        drawn = max(arguments.images, DRAWN[arguments.order or "I"])
    return meta_of(
        generator,
        task,
        seed=arguments.seed,
        suffix=arguments.format,
        drawn=drawn,
        black="drop" if arguments.drop_black else "again",
    )


def _fill(
    arguments: argparse.Namespace, store: "SyntheticStore", plan: "list[TaskPrompts]", generator: Any, shard: tuple[int, int]
) -> None:
    from tqdm import tqdm

    from avalanche_gift.generation.making import fill_task

    metas = [_meta(arguments, generator, task) for task in plan]
    missing = sum(_missing(store.task(task.position), task, meta, shard) for task, meta in zip(plan, metas, strict=True))
    again = dropped = 0
    began = time.perf_counter()
    part = f" (part {shard[0]} of {shard[1]})" if shard[1] > 1 else ""
    with tqdm(total=missing, unit="picture", desc=f"generate{part}", mininterval=1, smoothing=0.1) as bar:
        for task, meta in zip(plan, metas, strict=True):

            def on_batch(records: Any, seconds: float, name: str = task.name) -> None:
                nonlocal again, dropped
                again += sum(record.attempts > 1 for record in records)
                dropped += sum(record.dropped is not None for record in records)
                bar.set_postfix_str(name, refresh=False)
                bar.update(len(records))

            fill_task(
                store.task(task.position),
                generator,
                task,
                meta=meta,
                batch_size=_batch_size(arguments, generator),
                shard=shard,
                attempts=arguments.attempts,
                black="drop" if arguments.drop_black else "again",
                on_batch=on_batch,
            )
    seconds = time.perf_counter() - began
    remarks = [f"{again} of them drawn more than once"] * bool(again) + [f"{dropped} black ones left out"] * bool(dropped)
    print(
        f"{store.root}: {len(plan)} tasks of {arguments.images} pictures{part}; made {missing} now"
        + (f" in {seconds:.1f} s, {missing / seconds:.1f} a second" if missing else "")
        + "".join(f"; {remark}" for remark in remarks)
    )


def _missing(folder: "TaskFolder", task: "TaskPrompts", meta: dict[str, Any], shard: tuple[int, int]) -> int:
    from avalanche_gift.generation.making import missing_indices

    folder.check(meta)
    return len(missing_indices(folder, task, shard))


def _dry_run(
    arguments: argparse.Namespace, store: "SyntheticStore", plan: "list[TaskPrompts]", generator: Any, shard: tuple[int, int]
) -> None:
    from avalanche_gift.generation.making import make_pictures
    from avalanche_gift.generation.store import encoded

    counts = [_missing(store.task(task.position), task, _meta(arguments, generator, task), shard) for task in plan]
    for task, count in zip(plan, counts, strict=True):
        print(f"{task.position:2d} {task.name}: {len(task.prompts)} pictures, {count} missing, first {task.prompts[0]!r}")
    if not (missing := sum(counts)):
        print("Nothing is missing.")
        return
    size = min(_batch_size(arguments, generator), arguments.images)
    task = plan[counts.index(max(counts))]
    black = "drop" if arguments.drop_black else "again"
    for _ in range(2):  # the first also warms up
        began = time.perf_counter()
        made = make_pictures(generator, task.prompts[:size], task.seeds[:size], attempts=arguments.attempts, black=black)
        seconds = (time.perf_counter() - began) / size
    bytes_each = sum(len(encoded(one.picture, arguments.format)) for one in made) / len(made)
    below = next(path for path in (store.root.absolute(), *store.root.absolute().parents) if path.exists())
    free = shutil.disk_usage(below).free
    print(
        f"{missing} pictures missing: about {seconds * missing:.0f} s ({seconds:.3f} s a picture in batches of {size}) and "
        f"{bytes_each * missing / 1e6:.1f} MB ({free / 1e6:.0f} MB free)"
    )


def draw_sheet(store: "SyntheticStore", path: Path, columns: int = SHEET_COLUMNS) -> Path:
    """Writes a picture of the first `columns` pictures of each task above their prompts; dropped ones are left out."""
    import io

    from PIL import Image, ImageDraw, ImageFont

    from avalanche_gift.files import write_aside

    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"expected a file .png or .jpg for the sheet, got '{path}'")
    side, margin = SHEET_SIDE, SHEET_MARGIN
    folders = [store.task(position) for position in store.positions()]
    sheet = Image.new("RGB", (columns * (side + 4) + 4, max(1, len(folders)) * (side + 2 * margin)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(9)
    for row, folder in enumerate(folders):
        top = row * (side + 2 * margin)
        draw.text((4, top + 4), f"{folder.root.name}: {(folder.meta() or {}).get('task')}", fill="black", font=font)
        for column, record in enumerate(folder.kept()[:columns]):
            left = 4 + column * (side + 4)
            picture = folder.picture(record).convert("RGB")
            sheet.paste(
                picture.resize((side, side), Image.Resampling.NEAREST if picture.width < side else None), (left, top + margin)
            )
            words = record.prompt if draw.textlength(record.prompt, font) <= side else record.prompt.removeprefix("a photo of ")
            while len(words) > 1 and draw.textlength(words, font) > side:
                words = words[:-1]
            draw.text((left, top + margin + side + 2), words, fill="black", font=font)
    content = io.BytesIO()
    sheet.save(content, "PNG" if path.suffix.lower() == ".png" else "JPEG")
    write_aside(path, content.getvalue())
    return path
