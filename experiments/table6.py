"""Table 6: adaptive weight consolidation against EWC-V, whose importance of weights is measured once a task and then fixed.

    python -m experiments.table6 --world mini
    python -m experiments.table6 --world mtil --data DIR --sources synthetic=PICTURES --device cuda

EWC-V gets better with more pictures (Transfer 65.8, 66.8, 68.0) and stays below AWC on Transfer (69.3) and Average; on Last it
is level. No row has a plain l2 term. EWC-V is as the paper's text has it; the released code does
something else (`static_fisher="reference:N"`).
About 5 H100 hours (estimated); AWC's run is Table 1's.
"""

from experiments.command import main
from experiments.plan import Row

WORLDS = ("mini", "mtil")
ROWS = [
    *[Row(f"EWC-V {pictures}", "ewc-v", options={"static_fisher": pictures}) for pictures in (64, 128, 256)],
    Row("AWC"),
]

if __name__ == "__main__":
    main("table6")
