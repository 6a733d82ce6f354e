"""Table 1: all methods on MTIL in order I.

    python -m experiments.table1 --world mini
    python -m experiments.table1 --world mtil --data DIR --sources synthetic=PICTURES imagenet=DIR --device cuda

GIFT has the best Average and Last and keeps the zero-shot Transfer; fine-tuning forgets. Expected of GIFT: 69.3 / 77.3 / 86.0,
of fine-tuning 44.6 / 55.9 / 77.3. The paper quotes its rows other than l2 and GIFT from ZSCL and MoE-Adapters.
About 10 H100 hours (estimated), and the pictures made ahead; TinyImageNet in DIR for moe-adapters.
"""

from experiments.command import main
from experiments.plan import Row

WORLDS = ("mini", "mtil")
METHODS = {
    "Zero-shot": "zero-shot",
    "Continual Finetune": "finetune",
    "l2": "l2",
    "LwF": "lwf",
    "iCaRL": "icarl",
    "LwF-VR": "lwf-vr",
    "WiSE-FT": "wise-ft",
    "ZSCL": "zscl",
    "MoE-Adapter": "moe-adapters",
    "GIFT (Ours)": "gift",
}
"""By the paper's names; Tables 2, 9 and 10 have the same."""
ROWS = [Row(label, strategy) for label, strategy in METHODS.items()]
DELTAS = {label: "Zero-shot" for label in METHODS if label != "Zero-shot"}
DELTA_NOTE = "Δ: points above zero-shot."

if __name__ == "__main__":
    main("table1")
