"""Table 3: what each part of GIFT adds to fine-tuning with a plain l2 term, on MTIL in order I.

    python -m experiments.table3 --world mini
    python -m experiments.table3 --world mtil --data DIR --sources synthetic=PICTURES --device cuda

Distillation (CD) brings most, on all three metrics; alignment (ITA) and adaptive consolidation (AWC) add a little, AWC most on
Last. ITA alone, at weight 1, is far below CD. Expected: Last 77.3 finetune, 75.9 l2, 84.7 CD, 86.0 in full.
About 8 H100 hours (estimated); Table 1 shares four of the runs.
"""

from experiments.command import main
from experiments.plan import Row

WORLDS = ("mini", "mtil")
ROWS = [
    Row("zero-shot", "zero-shot"),
    Row("finetune", "finetune"),
    Row("l2", "l2"),
    Row("ITA only (scale 1)", given={"alpha": 0, "beta": 1}, plain_l2=True),
    Row("CD", given={"beta": 0}, plain_l2=True),
    Row("CD+ITA", plain_l2=True),
    Row("CD+AWC", given={"beta": 0}),
    Row("CD+ITA+AWC"),
]
DELTAS = {row.label: "zero-shot" for row in ROWS[1:]}
DELTA_NOTE = "Δ: points above zero-shot."

if __name__ == "__main__":
    main("table3")
