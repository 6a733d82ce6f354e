"""Figure 9: samples of the synthetic pictures by data set. Not there yet.

The paper shows pictures of classes of Aircraft, CIFAR100, DTD, EuroSAT and StanfordCars.
"""

from experiments.command import main
from experiments.plan import Row

WORLDS: tuple[str, ...] = ()
ROWS: list[Row] = []
LACKS = "not there yet: needs a sheet of samples by task; stores of `avalanche-gift generate` hold the pictures"

if __name__ == "__main__":
    main("figure9")
