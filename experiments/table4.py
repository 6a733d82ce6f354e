"""Table 4: the form of distillation (a), its teacher (b) and the weight of alignment (c), all without AWC, with plain l2.

    python -m experiments.table4 --world mini
    python -m experiments.table4 --world mtil --data DIR --sources synthetic=PICTURES --device cuda

Contrastive distillation of both towers is best; the previous model is the best teacher on Average and Last, the initial one
keeps as much Transfer and learns less; a small weight of alignment helps, a large one costs Last.
About 14 H100 hours (estimated); "Contrastive", "Last CLIP" and "beta = 0.25" are one run, which Table 3 has, too.
"""

from experiments.command import main
from experiments.plan import Row

WORLDS = ("mini", "mtil")
ROWS = [
    Row("Feat. Dist.", given={"distillation": "feature"}, plain_l2=True),
    Row("Image-only", given={"distillation": "image-only"}, plain_l2=True),
    Row("Text-only", given={"distillation": "text-only"}, plain_l2=True),
    Row("Contrastive", plain_l2=True),
    Row("Initial CLIP", given={"teacher": "initial"}, plain_l2=True),
    Row("Last CLIP", plain_l2=True),
    Row("WiSE(0.2)", given={"teacher": "wise:0.2"}, plain_l2=True),
    Row("WiSE(0.5)", given={"teacher": "wise:0.5"}, plain_l2=True),
    *[Row(f"beta = {beta}", given={"beta": beta}, plain_l2=True) for beta in (0.0, 0.25, 0.5, 1.0)],
]

if __name__ == "__main__":
    main("table4")
