"""Figure 7: accuracy on the first task when its classes are left out of the pool of prompts, against the default.

    python -m experiments.figure7 --world mini
    python -m experiments.figure7 --world mtil --data DIR --device cuda --sources synthetic=DIR synthetic-II=DIR \\
        without-first=DIR without-first-II=DIR

Aircraft in order I, StanfordCars in order II. Expected: without pictures of its classes the first task is forgotten faster.
without-first: made by `avalanche-gift generate --skip Aircraft`, without-first-II by `--skip StanfordCars`.
About 5 H100 hours (estimated); Tables 1 and 2 share half.
"""

from experiments.command import main
from experiments.drawing import Found, Panel, task_panels
from experiments.plan import Row, World

WORLDS = ("mini", "mtil")
ROWS = [
    Row(label, order=order, skip_first=skip)
    for order in ("I", "II")
    for label, skip in (("in the pool", False), ("left out", True))
]


def panels(found: Found, world: World) -> list[Panel]:
    return task_panels(found, tasks=1)


if __name__ == "__main__":
    main("figure7")
