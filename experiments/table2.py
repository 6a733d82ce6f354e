"""Table 2: all methods on MTIL in order II.

    python -m experiments.table2 --world mini
    python -m experiments.table2 --world mtil --data DIR --sources synthetic-II=PICTURES imagenet=DIR --device cuda

The ranking of Table 1 in another order of tasks: GIFT 65.9 / 75.7 / 85.3, ZSCL 64.2 / 74.5 / 83.4. The rates of MoE-Adapters
in this order are not published; those of order I are used. About 10 H100 hours (estimated).
"""

from experiments.command import main
from experiments.plan import Row
from experiments.table1 import METHODS

WORLDS = ("mini", "mtil")
ROWS = [Row(label, strategy, order="II") for label, strategy in METHODS.items()]
DELTAS = {label: "Zero-shot" for label in METHODS if label != "Zero-shot"}
DELTA_NOTE = "Δ: points above zero-shot."

if __name__ == "__main__":
    main("table2")
