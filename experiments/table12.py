"""Table 12: the scale of guidance (4.5, 7.5, 10.5) by the number of pictures, without AWC.

    python -m experiments.table12 --world mini
    python -m experiments.table12 --world mtil --data DIR --device cuda \\
        --sources synthetic=PICTURES guidance-4.5=PICTURES guidance-10.5=PICTURES

All within 0.7 points; with 1K pictures, 7.5 is best on Transfer and Average.
The embedded world compares 1.0, 1.5 and 2.5, with 200 and 600 pictures.
About 8 H100 hours (estimated); the middle rows are Table 5's.
"""

from experiments.command import main
from experiments.plan import Row

WORLDS = ("mini", "mtil")
SCALES = {"small": "guidance-4.5", "medium": "synthetic", "large": "guidance-10.5"}
ROWS = [
    Row(f"{scale} {images}K", source=source, images=images, plain_l2=True)
    for images in (1, 3)
    for scale, source in SCALES.items()
]

if __name__ == "__main__":
    main("table12")
