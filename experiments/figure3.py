"""Figure 3: Transfer, Average and Last against the number of synthetic pictures a task.

    python -m experiments.figure3 --world mini
    python -m experiments.figure3 --world mtil --data DIR --sources synthetic=PICTURES --device cuda

The gains flatten beyond 1,000 pictures. The numbers of pictures are ours (a quarter, a half, one and three times the default;
smaller sets are the first of the larger ones), without AWC, so that Tables 5 and 12 share the two larger. The paper's numbers
are published in the drawing only. About 5 H100 hours (estimated).
"""

from experiments.command import main
from experiments.drawing import Found, Panel
from experiments.plan import Row, World

WORLDS = ("mini", "mtil")
ROWS = [Row(f"{times:g}K", images=times, plain_l2=True) for times in (0.25, 0.5, 1, 3)]


def panels(found: Found, world: World) -> list[Panel]:
    values: dict[int, list[dict[str, float]]] = {}
    for _, (result, *_), _ in found:
        values.setdefault(result["config"]["synthetic"]["synthetic_images"], []).append(result["metrics"])
    drawn = []
    for metric in ("transfer", "average", "last"):
        panel = Panel(metric.title(), "synthetic pictures a task")
        panel.add("GIFT without AWC", {float(count): [each[metric] for each in values[count]] for count in sorted(values)})
        drawn.append(panel)
    return drawn


if __name__ == "__main__":
    main("figure3")
