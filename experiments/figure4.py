"""Figure 4: the loss of distillation over the iterations of the first five tasks, with and without AWC.

    python -m experiments.figure4 --world mini
    python -m experiments.figure4 --world mtil --data DIR --sources synthetic=PICTURES --device cuda

Expected: lower with AWC. A cross-entropy with soft targets holds the teacher's entropy, so it never reaches zero. The paper
prints no numbers. "Without" has the plain l2 term, as in the tables. Read from the TensorBoard events of the first seed.
About 3 H100 hours (estimated), all shared with Table 3.
"""

from avalanche_gift.report.losses import loss_curves
from experiments.command import main
from experiments.drawing import Found, Panel
from experiments.plan import Row, World

WORLDS = ("mini", "mtil")
ROWS = [Row("with AWC"), Row("without AWC", plain_l2=True)]
TASKS = 5


def panels(found: Found, world: World) -> list[Panel]:
    panel = Panel("Distillation", "iteration", "loss")
    for entry, (result, *_), (folder, *_) in found:
        if entry.seed != found[0][0].seed or (curve := loss_curves(folder).get("distillation")) is None:
            continue
        iterations = result["config"]["train_iterations"]
        kept = [(x, y) for x, y in zip(*curve, strict=True) if x < TASKS * iterations]
        panel.lines[entry.row.label] = ([x for x, _ in kept], [y for _, y in kept])
        panel.starts = tuple(float(task * iterations) for task in range(1, TASKS))
    return [panel]


if __name__ == "__main__":
    main("figure4")
