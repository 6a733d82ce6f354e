"""Table 11: pictures made in 25 steps of denoising instead of 50, with and without AWC.

    python -m experiments.table11 --world mini
    python -m experiments.table11 --world mtil --data DIR --sources synthetic=PICTURES steps-25=PICTURES --device cuda

Half the steps cost next to nothing (Last 85.8 instead of 86.0). In the paper's code fewer than 50 steps change the scheduler,
too, as `DiffusersGenerator` does. The embedded world compares 6 with 12 steps. About 5 H100 hours (estimated).
"""

from experiments.command import main
from experiments.plan import Row

WORLDS = ("mini", "mtil")
ROWS = [
    Row("AWC 50 steps"),
    Row("no AWC 50 steps", plain_l2=True),
    Row("AWC 25 steps", source="steps-25"),
    Row("no AWC 25 steps", source="steps-25", plain_l2=True),
]

if __name__ == "__main__":
    main("table11")
