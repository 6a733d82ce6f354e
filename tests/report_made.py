"""Results to report on, whose means can be worked by hand."""

import io
from pathlib import Path

from PIL import Image

from avalanche_gift.evaluation.metrics import continual_metrics

HOSTILE = "<script>window.hacked=1</script>\"'&amp;$x$ -->\u2028\x07\ud800<img src=x onerror=hacked=1>"


def results(strategy="gift", seed=0, accuracy=((50, 40), (80, 30), (60, 90)), **changes):
    rows = [list(row) for row in accuracy]
    names = [f"task {number}" for number in range(len(rows[0]))]
    return {
        "schema_version": 1,
        "strategy": strategy,
        "seed": seed,
        "benchmark": "mini",
        "experiences": names,
        "config": {"strategy": strategy, "seed": seed, "lr": 1e-5, "train_iterations": 3, "synthetic": {"alpha": 1.0}},
        "versions": {"python": "3.11"},
        "accuracy": rows,
        "metrics": continual_metrics(rows[1:]),
        "seconds": 12.5,
        "peak_memory_bytes": 3 * 2**29,
    } | changes


GIFT = (
    results("gift", 0, [[50, 40], [80, 30], [60, 90]], seconds=20.0),  # Transfer 30, Average 65, Last 75, Forgetting -20
    results("gift", 1, [[50, 40], [84, 36], [70, 90]], seconds=22.0),  # 36, 70, 80, -14
)
FINETUNE = (
    results("finetune", 0, [[50, 40], [90, 20], [40, 92]]),  # 20, 60.5, 66, -50
    results("finetune", 1, [[50, 40], [90, 38], [40, 92]]),  # 38, 65, 66, -50
)


def placed(many):
    """Results as `find_runs` gives them, of a folder that is not there."""
    return [(Path("nowhere", str(number)), result) for number, result in enumerate(many)]


def many(count, tasks=6):
    """Different configurations of five strategies on four streams."""
    found = []
    for number in range(count):
        strategy = ("gift", "finetune", "l2", "zscl", "ewc")[number % 5]
        accuracy = [[(number * 7 + row * 13 + column * 29) % 101 for column in range(tasks)] for row in range(tasks + 1)]
        made = results(strategy, 0, accuracy, benchmark=f"stream {number % 4}")
        made["config"] |= {"strategy": strategy, "lr": number / 1000}
        found.append(made)
    return found


def record(name="table3", **changes):
    """Of a table or figure, as `python -m experiments` writes it."""
    rows = {
        "CD": {"Last": {"ours": 85.0, "values": [84.0, 86.0], "std": 1.41, "paper": 84.7, "difference": 0.3}},
        "l2": {"Last": {"paper": 75.9}, "Average": {"ours": 60.0, "values": [60.0]}},
    }
    what = {"experiment": name, "what": "what it shows", "world": "mini", "seeds": [0, 1], "protocol": "Not the paper's."}
    return what | {"not_there": ["EWC, seed 0: not run"]} | ({"rows": rows} if name.startswith("table") else {}) | changes


def png(side=8):
    content = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(content, "png")
    return content.getvalue()
