"""The mini world's reference pictures, which ZSCL distils on, as a source of pairs for GIFT: why is ZSCL ahead of it here?

    python experiments/strategies/references.py runs/references
    avalanche-gift run --benchmark mini --strategies gift --source runs/references --seeds 0 1 2 --out runs/gift-references

1,000 pictures of the kind that the CLIP was pre-trained on, with their captions, as class folders cannot hold them: PNG files
and prompts.csv. Expected: GIFT on them is level with ZSCL on Average and above it on Last.
"""

import csv
import io
import sys
from pathlib import Path

from PIL import Image

from avalanche_gift.benchmarks.mini.pretraining import draw_pretraining
from avalanche_gift.benchmarks.mini.references import FROM
from avalanche_gift.files import write_aside

COUNT = 1000


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("expected a folder to write: python experiments/strategies/references.py runs/references")
    folder = Path(sys.argv[1])
    pictures, captions, _ = draw_pretraining(FROM, COUNT, seed=0)
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(("file", "prompt"))
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        png = io.BytesIO()
        Image.fromarray(picture).save(png, format="PNG")
        write_aside(folder / f"{number:04d}.png", png.getvalue())
        rows.writerow((f"{number:04d}.png", caption))
    write_aside(folder / "prompts.csv", table.getvalue().encode())


if __name__ == "__main__":
    main()
