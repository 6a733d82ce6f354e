"""How fast pictures come: decoded and augmented for the task by 0, 1 and 2 workers, and synthetic ones kept as bytes.

    python benchmarks/input.py >> benchmarks/input.jsonl

Two JSON lines: pictures a second at 224 pixels, and a second of processor time (workers' included), which others on a shared
machine disturb least; the best of three passes. The task's are JPEG photographs of 500 x 375 made-up pixels through open_clip's
training transform; workers share this process's processors. `synthetic bytes` is what a step does with those of its pairs: take
the rows of a batch and normalise them, which on a GPU is the GPU's.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from streams import PICTURES, show, write_photographs  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from avalanche_gift import ClassFolders  # noqa: E402
from avalanche_gift.benchmarks.transforms import clip_transforms  # noqa: E402
from avalanche_gift.models import PicturePreparation  # noqa: E402

BATCH, WORKERS = 64, (0, 1, 2)


def main() -> None:
    torch.set_num_threads(1)
    train, test = clip_transforms(224)
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder))
        # The test split, which has the pictures, in the transform of training.
        benchmark = ClassFolders(Path(folder), train_transform=train, eval_transform=train)
        pictures = benchmark.test_stream[0].dataset.eval()
        rates = {f"{workers} workers": best(lambda workers=workers: read(pictures, workers)) for workers in WORKERS}
    rates["synthetic bytes"] = best(synthetic(test))
    for number, clock in enumerate(("second", "processor second")):
        show(f"input: pictures a {clock}", **{name: pair[number] for name, pair in rates.items()}, batch=BATCH)


def best(run: Callable[[], None]) -> tuple[int, int]:
    """Pictures a second, and a second of processor time."""
    passed = []
    for _ in range(3):
        start = clocks()
        run()
        passed.append([after - before for before, after in zip(start, clocks(), strict=True)])
    wall, processor = (round(PICTURES / min(seconds)) for seconds in zip(*passed, strict=True))
    return wall, processor


def clocks() -> tuple[float, float]:
    return time.perf_counter(), sum(os.times()[:4])


def read(pictures: object, workers: int) -> None:
    for _ in DataLoader(pictures, batch_size=BATCH, num_workers=workers):  # type: ignore[arg-type]
        pass


def synthetic(transform: object) -> Callable[[], None]:
    preparation = PicturePreparation(transform)  # type: ignore[arg-type]
    noise = np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8)
    images = preparation.stack([Image.fromarray(noise)]).expand(PICTURES, -1, -1, -1).contiguous()
    batches = torch.randperm(PICTURES).split(BATCH)

    def run() -> None:
        for rows in batches:
            preparation.model_input(images[rows])

    return run


if __name__ == "__main__":
    main()
