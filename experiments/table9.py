"""Table 9: Transfer, Average and Last of every task of MTIL in order I, for all methods.

    python -m experiments.table9 --world mini
    python -m experiments.table9 --world mtil --data DIR --sources synthetic=PICTURES imagenet=DIR --device cuda

The runs of Table 1, and fine-tuning on every task alone: the bound that Last is measured against, 89.2 on
average. GIFT loses Transfer on StanfordCars and gains it on MNIST.
About 11 H100 hours (estimated), all but 1 of them Table 1's.
"""

from experiments.cells import per_task
from experiments.command import main
from experiments.plan import Row
from experiments.table1 import METHODS

WORLDS = ("mini", "mtil")
VIEW = per_task
ROWS = [
    *[Row(label, strategy) for label, strategy in METHODS.items()],
    Row("Fine-tune alone", "finetune", alone=True),
]

if __name__ == "__main__":
    main("table9")
