"""Table 8: TinyImageNet, 100 classes first and the others in 5, 10 and 20 steps, told apart among all classes seen.

    python -m experiments.table8 --world mini
    python -m experiments.table8 --world cil --data DIR --device cuda --sources tinyimagenet=PICTURES \\
        tinyimagenet-10=PICTURES tinyimagenet-20=PICTURES captioned=DIR

GIFT is above ZSCL, and more so with more steps: Last 77.0 against 73.6 in 5, 74.9 against 68.3 in 20.
As Table 7, with weight decay 0.1 and no label smoothing for GIFT. The 100 base classes have an epoch, too: 782 iterations.
About 3 H100 hours (estimated).
"""

from experiments.cells import class_incremental
from experiments.command import main
from experiments.plan import Row
from experiments.table7 import METHODS

WORLDS = ("mini", "cil")
NOTES = {
    "cil": "Rows without CLIP are quoted; avalanche_gift/evaluation/published_conventional.json says where from.",
    "mini": "The six tasks in order II as steps, told apart among all 56 classes; the paper's columns stand apart.",
}
STEPS = {"tinyimagenet": 5, "tinyimagenet-10": 10, "tinyimagenet-20": 20}
VIEW = class_incremental
ROWS = [
    Row(label, strategy, order="II", benchmark=benchmark, steps=steps)
    for label, strategy in METHODS.items()
    for benchmark, steps in STEPS.items()
]

if __name__ == "__main__":
    main("table8")
