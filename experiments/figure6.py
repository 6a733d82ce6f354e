"""Figure 6: accuracy on single tasks over the stream, a line a method, in both orders.

    python -m experiments.figure6 --world mini
    python -m experiments.figure6 --world mtil --data DIR --sources synthetic=DIR synthetic-II=DIR imagenet=DIR --device cuda

Expected, from Tables 9 and 10: GIFT stays near zero-shot (dotted) before a task is learned and near its best after, fine-tuning
falls on both sides. Six of the methods, all with runs of Tables 1 and 2. About 12 H100 hours (estimated), all shared.
"""

from experiments.command import main
from experiments.drawing import Found, Panel, task_panels
from experiments.plan import Row, World
from experiments.table1 import METHODS

SHOWN = ("Continual Finetune", "l2", "WiSE-FT", "ZSCL", "MoE-Adapter", "GIFT (Ours)")
WORLDS = ("mini", "mtil")
ROWS = [Row(label, METHODS[label], order=order) for order in ("I", "II") for label in SHOWN]


def panels(found: Found, world: World) -> list[Panel]:
    return task_panels(found)


if __name__ == "__main__":
    main("figure6")
