"""Figure 8: pictures for the same prompts and seeds at 25 and at 50 steps of denoising. Not there yet.

Table 11 has what the steps mean for accuracy.
"""

from experiments.command import main
from experiments.plan import Row

WORLDS: tuple[str, ...] = ()
ROWS: list[Row] = []
LACKS = "not there yet: needs pictures side by side; `avalanche-gift generate --steps` makes them, one store a setting"

if __name__ == "__main__":
    main("figure8")
