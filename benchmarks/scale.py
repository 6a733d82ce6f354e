"""How the cost of GIFT grows with classes, synthetic pictures, tasks and the size of the model.

    python benchmarks/scale.py classes pictures tasks models >> benchmarks/scale.jsonl

One JSON line a sweep. Classes, pictures and models: FLOPs and peak bytes of an iteration and of a task's beginning, counted as
`step.py --count-only` does, for both sides; `added_per_unit` is what each further class or picture costs between neighbouring
points, equal numbers where growth is linear. Tasks: a tiny CLIP trained on one iteration a task, 16 pictures a batch; bytes and
number of the tensors that are alive after each task, and the task's seconds.
"""

import json
import sys
import time
from itertools import pairwise
from typing import Any

import step
import torch
from gauges import Flops, LiveBytes, ReadBack, facts
from side_by_side import Noise, Pairs, build_model, silent, stream_of

from avalanche_gift import GIFT
from avalanche_gift.benchmarks import Task
from avalanche_gift.prompts import PromptSampler, imagenet_prompts

CLASSES = (10, 100, 500, 1000, 2000)
PICTURES = (100, 1000, 5000, 10000)
TASKS = 100
MODELS = ("tiny", "ViT-B-32", "ViT-B-16", "ViT-L-14")


def main() -> None:
    torch.set_num_threads(1)
    sweeps = {
        "classes": lambda: counted("classes", CLASSES, "flops_step", "--pictures", "64"),
        "pictures": lambda: counted("pictures", PICTURES, "flops_once_a_task"),
        "tasks": lambda: tasks(TASKS),
        "models": models,
    }
    for name in sys.argv[1:] or sweeps:
        device = "cpu" if name == "tasks" else "meta"
        print(json.dumps({"measurement": f"scale: {name}", **sweeps[name](), **facts(device)}), flush=True)


def counted(option: str, values: tuple[int, ...], grows: str, *rest: str) -> dict[str, Any]:
    """A sweep of an option of `step.py` with the tiny model."""
    points = [{option: value, **count([f"--{option}", str(value), *rest])} for value in values]
    added = [round((b[grows] - a[grows]) / (b[option] - a[option])) for a, b in pairwise(points)]
    return {"model": "tiny", "points": points, "added_per_unit": {grows: added}}


def models() -> dict[str, Any]:
    points = []
    for name in MODELS:
        parameters = sum(parameter.numel() for parameter in build_model(name, "meta").parameters())
        points.append({"model": name, "parameters": parameters, **count(["--model", name, "--pictures", "64"])})
    return {"points": points}


def count(options: list[str]) -> dict[str, int]:
    """FLOPs and bytes of two iterations by shapes."""
    flops, live = Flops(), LiveBytes()
    step.both(step.parse(options), "meta", 2, [flops, live, ReadBack()])
    return {
        "flops_step": (flops.of["ours synthetic"] + flops.of["ours task"]) // 2,
        "flops_once_a_task": flops.of["ours once"],
        "peak_bytes": live.peak["ours"],
        "plain_flops_step": flops.of["plain"] // 2,
        "plain_peak_bytes": live.peak["plain"],
    }


def tasks(number: int, classes: int = 10, pictures: int = 16) -> dict[str, Any]:
    """Bytes and tensors alive after each of `number` tasks of a tiny CLIP, and the seconds of each."""
    model = build_model("tiny", "cpu")
    side = model.clip.visual.image_size[0]
    names = tuple(f"thing {index}" for index in range(classes))
    noise = [Noise(count, side, classes) for count in (pictures, classes)]
    stream = stream_of(model, [Task(f"task {index}", *noise, names, (f"{index}: {{c}}",)) for index in range(number)])
    prompts = PromptSampler().draw(imagenet_prompts(), pictures)
    pairs = Pairs([noise[0][index][0] for index in range(pictures)], prompts)
    options = {"train_mb_size": pictures, "synthetic_mb_size": pictures, "synthetic_images": pictures}
    strategy = GIFT(model, synthetic=pairs, train_iterations=1, evaluator=silent(), **options)
    after: list[tuple[int, int, float]] = []
    with LiveBytes() as live:
        live.switch("ours")
        live.add(model.parameters())
        for experience in stream.train_stream:
            start = time.perf_counter()
            strategy.train(experience)
            after.append((live.now["ours"], live.tensors, time.perf_counter() - start))
    chosen = [index for index in (2, 5, 10, 20, 50, 100) if index <= number]
    points = [dict(zip(("tasks", "bytes", "tensors"), (index, *after[index - 1][:2]), strict=True)) for index in chosen]
    tenth = max(1, number // 10)
    seconds = {name: round(sum(row[2] for row in rows) / tenth, 3) for name, rows in _ends(after, tenth)}
    return {"model": "tiny", "points": points, "seconds_a_task": seconds, "peak_bytes": live.peak["ours"]}


def _ends(rows: list[Any], length: int) -> list[tuple[str, list[Any]]]:
    return [(f"first {length}", rows[:length]), (f"last {length}", rows[-length:])]


if __name__ == "__main__":
    main()
