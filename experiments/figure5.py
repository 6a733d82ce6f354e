"""Figure 5: slices of loss surfaces through three weight vectors. Not there yet.

The paper lays a plane through the weights at the start, after Aircraft without AWC and after Aircraft with AWC (axes by
Gram-Schmidt of their differences) and shows the training loss on Aircraft and the test loss on CIFAR100.
"""

from experiments.command import main
from experiments.plan import Row

WORLDS: tuple[str, ...] = ()
ROWS: list[Row] = []
LACKS = "not there yet: needs the weights after the first task, which runs do not keep, and losses over a plane of weights"

if __name__ == "__main__":
    main("figure5")
