"""One training iteration of the GIFT strategy against the plain step of `plain_step.py`: FLOPs, peak memory, seconds.

    python benchmarks/step.py --model ViT-B-16 --classes 397 --count-only
    python benchmarks/step.py --model tiny
    python benchmarks/step.py --model ViT-B-16 --classes 397 --device cuda --bf16 --compile

One JSON line; every ratio is ours over plain. Both see the same batches, in turns, in one process: the plain step follows each
iteration of `GIFT(...).train(...)` on weights of its own. Reading and augmenting pictures is nobody's.

FLOPs are counted on the meta device: the strategy itself runs, on tensors without data. Attention is matrix products there,
and the bytes hold its score matrices; without --count-only the bytes are those of the kernels that really run. Bytes are live
tensors: weights, gradients, Adam's moments, theta_prev, graphs and, on our side, the synthetic pictures and their embeddings.
--bf16 and --compile are for our side; the reference has neither.
"""

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from contextlib import ExitStack
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from gauges import Flops, LiveBytes, ReadBack, Seconds, facts  # noqa: E402
from side_by_side import Beside, Noise, Pairs, build_model, names_of, side_by_side, stream_of  # noqa: E402

from avalanche_gift.benchmarks import Task  # noqa: E402
from avalanche_gift.models import set_numerics  # noqa: E402
from avalanche_gift.prompts import PromptSampler, imagenet_prompts  # noqa: E402

ITERATIONS_A_TASK = 1000
WARM = 3
COUNTED = 2
"""Iterations of a count; Adam's moments are there from the second on."""


def main() -> None:
    arguments = parse(sys.argv[1:])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    print(json.dumps(measure(arguments)))


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="tiny (clip-tiny) or an architecture of open_clip, without weights")
    parser.add_argument("--classes", type=int, default=10, help="10, 100 and 397 have the names of EuroSAT, CIFAR100, SUN397")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--synthetic", type=int, default=64, help="pairs a step")
    parser.add_argument("--pictures", type=int, default=1000, help="synthetic pictures of the task")
    parser.add_argument("--iterations", type=int, default=20, help="timed, after others that warm up; medians")
    parser.add_argument("--count-only", action="store_true", help="FLOPs and bytes by shapes alone, nothing computed")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="our side's towers under bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="our side's blocks by torch.compile")
    return parser.parse_args(words)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The line to print."""
    flops, shapes = Flops(), LiveBytes()
    beside = both(arguments, "meta", COUNTED, [flops, shapes, ReadBack()])
    once, plain = flops.of["ours once"], flops.of["plain"] // COUNTED
    synthetic, task = (flops.of[f"ours {part}"] // COUNTED for part in ("synthetic", "task"))
    amortised = synthetic + task + once // ITERATIONS_A_TASK
    line: dict[str, Any] = {
        "measurement": "step",
        **{key: getattr(arguments, key) for key in ("model", "classes", "batch", "synthetic", "pictures")},
        "text_lengths": beside.lengths,
        "plain": {"flops": plain, "peak_bytes": shapes.peak["plain"]},
        "ours": {
            "flops": amortised,
            "flops_synthetic_pass": synthetic,
            "flops_task_pass": task,
            "flops_once_a_task": once,
            "peak_bytes": shapes.peak["ours"],
        },
        "iterations_a_task": ITERATIONS_A_TASK,
        "flop_ratio": round(amortised / plain, 4),
        "flop_ratio_without_once_a_task": round((synthetic + task) / plain, 4),
    }
    if not arguments.count_only:
        computed(arguments, line)
    line["memory_ratio"] = round(line["ours"]["peak_bytes"] / line["plain"]["peak_bytes"], 4)
    return {**line, **facts("meta" if arguments.count_only else arguments.device)}


def computed(arguments: argparse.Namespace, line: dict[str, Any]) -> None:
    """Adds what needs arithmetic: the bytes that the device's own kernels keep, the seconds, and how far the losses agree."""
    live = LiveBytes()
    both(arguments, arguments.device, COUNTED, [live], quick=False)
    device = torch.device(arguments.device)
    clocks = {"seconds": Seconds(device), "processor_seconds": Seconds(device, time.process_time)}
    beside = both(arguments, arguments.device, WARM + arguments.iterations, list(clocks.values()))
    for name, clock in clocks.items():
        ours = [a + b for a, b in zip(clock.of["ours synthetic"], clock.of["ours task"], strict=True)]
        for side, values in (("ours", ours), ("plain", clock.of["plain"])):
            line[side] |= {"peak_bytes": live.peak[side], name: round(statistics.median(values[WARM:]), 5)}
        line[f"{name}_ratio"] = round(line["ours"][name] / line["plain"][name], 4)
    line |= {"iterations": arguments.iterations, "bf16": arguments.bf16, "compile": arguments.compile}
    line["largest_loss_difference"] = max(
        abs(float(ours[name] - plain[name])) for ours, plain in beside.terms for name in plain
    )


def both(arguments: argparse.Namespace, device: str, iterations: int, gauges: list[Any], quick: bool = True) -> Beside:
    """Trains `iterations` of a task on either side under the gauges. quick: with --bf16 and --compile, where asked."""
    model = build_model(arguments.model, device)
    names, template = names_of(arguments.classes)
    prompts = PromptSampler().draw(imagenet_prompts(), arguments.pictures)
    pictures = Noise(arguments.pictures, model.clip.visual.image_size[0], arguments.classes)
    pairs = Pairs([pictures[index][0] for index in range(arguments.pictures)], prompts)
    task = Task("task", Noise(arguments.batch, pictures.side, len(names)), Noise(2, pictures.side, 2), names, (template,))
    with ExitStack() as stack:
        options = {"train_mb_size": arguments.batch, "synthetic_mb_size": arguments.synthetic}
        strategy, beside = side_by_side(model, task, pairs, iterations=iterations, gauges=gauges, **options)
        if quick and device != "meta":
            set_numerics(model, precision="bf16" if arguments.bf16 else "float32", compile=arguments.compile)
        for gauge in gauges:
            stack.enter_context(gauge)
        strategy.train(stream_of(model, [task]).train_stream, shuffle=False)
    return beside


if __name__ == "__main__":
    main()
