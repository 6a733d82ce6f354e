"""Figure 4: the loss of distillation over the iterations of the first five tasks, with and without AWC.

    python -m experiments.figure4 --world mini
    python -m experiments.figure4 --world mtil --data DIR --sources synthetic=PICTURES --device cuda

Expected: lower with AWC. A cross-entropy with soft targets holds the teacher's entropy, so it never reaches zero. The paper
prints no numbers. Both see the same batches, so that their difference shows what the lines, rough from batch to batch, hide.
"Without" has no weight term at all: neither AWC nor the plain l2 term that the rows without AWC of the tables have.
Read from the TensorBoard events of the first seed. About 3 H100 hours (estimated), half of them shared with Table 1.
"""

from avalanche_gift.report.losses import loss_curves
from experiments.command import main
from experiments.drawing import Found, Panel
from experiments.plan import Row, World

WORLDS = ("mini", "mtil")
ROWS = [Row("with AWC"), Row("without AWC", given={"awc_weight": 0})]
TASKS = 5


def panels(found: Found, world: World) -> list[Panel]:
    losses, less = Panel("Distillation", "iteration", "loss"), Panel("With AWC less without", "iteration", "difference of loss")
    for entry, (result, *_), (folder, *_) in found:
        if entry.seed != found[0][0].seed or (curve := loss_curves(folder).get("distillation")) is None:
            continue
        iterations = result["config"]["train_iterations"]
        kept = [(x, y) for x, y in zip(*curve, strict=True) if x < TASKS * iterations]
        losses.lines[entry.row.label] = ([x for x, _ in kept], [y for _, y in kept])
        losses.starts = less.starts = tuple(float(task * iterations) for task in range(1, TASKS))
    with_it, without = (losses.lines.get(row.label) for row in ROWS)
    if with_it and without and with_it[0] == without[0]:
        less.lines["difference"] = (with_it[0], [a - b for a, b in zip(with_it[1], without[1], strict=True)])
    return [losses, less] if less.lines else [losses]


if __name__ == "__main__":
    main("figure4")
