"""Table 10: Transfer, Average and Last of every task of MTIL in order II, for all methods.

    python -m experiments.table10 --world mini
    python -m experiments.table10 --world mtil --data DIR --sources synthetic-II=PICTURES imagenet=DIR --device cuda

The runs of Table 2, and fine-tuning on every task alone (Table 9 shares those): the bound that Last is measured against, 89.2
on average. The paper prints 94.7 for MNIST alone, where its own mean needs 99.6, as in Table 9.
About 11 H100 hours (estimated), all but 1 of them Table 2's.
"""

from experiments.cells import per_task
from experiments.command import main
from experiments.plan import Row
from experiments.table1 import METHODS

WORLDS = ("mini", "mtil")
VIEW = per_task
ROWS = [
    *[Row(label, strategy, order="II") for label, strategy in METHODS.items()],
    Row("Fine-tune alone", "finetune", order="II", alone=True),
]

if __name__ == "__main__":
    main("table10")
