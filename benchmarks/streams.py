"""Building MTIL at full size from made-up file lists, and evaluation with and without the cache of resized pictures.

    python benchmarks/streams.py >> benchmarks/streams.jsonl

One JSON line a measurement. The eleven data sets are written in their official layouts with the protocol's numbers of pictures
(rounded up to the same number a class), empty files where a layout is known by its files; nothing is downloaded. Building runs
in a process of its own; memory is the growth of its peak over what the imports took. Evaluation reads 300 JPEG photographs of
500 x 375 made-up pixels on one thread.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
warnings.filterwarnings("ignore")

import layouts  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
from PIL import Image  # noqa: E402
from world import quiet  # noqa: E402

from avalanche_gift import ClassFolders, CLIPClassifier, FineTune  # noqa: E402
from avalanche_gift.benchmarks import MTIL  # noqa: E402
from avalanche_gift.benchmarks.sources import ORDERS, SOURCES  # noqa: E402
from avalanche_gift.benchmarks.transforms import clip_transforms  # noqa: E402

LISTED_BY_FILES = ("Caltech101", "EuroSAT", "StanfordCars", "SUN397")
PICTURES = 300


def main() -> None:
    if sys.argv[1:2] == ["build"]:
        print(json.dumps(build(Path(sys.argv[2]))))
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for name in ORDERS["I"]:
            write_full(name, Path(folder))
        command = [sys.executable, __file__, "build", folder]
        show("build MTIL", **json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder) / "pictures")
        show("read test pictures at 224", **reading(Path(folder)))
        show("evaluate clip-tiny", **evaluation(Path(folder)))


def show(what: str, **values: Any) -> None:
    facts = {"date": date.today().isoformat(), "device": f"CPU, 1 thread of {os.cpu_count()}, {processor()}"}
    versions = {"python": platform.python_version(), "torch": torch.__version__, "torchvision": torchvision.__version__}
    print(json.dumps({"measurement": what, **values, **facts, "versions": versions}), flush=True)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def write_full(name: str, root: Path) -> None:
    source = SOURCES[name]
    train, test = (-(-count // source.classes) for count in (source.train, source.test))
    layouts.write(name, root, train, test, paint=False if name in LISTED_BY_FILES else None)


class _Patch:
    """What `layouts.accept` wants of pytest."""

    setattr = staticmethod(setattr)


def build(root: Path) -> dict[str, Any]:
    layouts.accept(_Patch(), root)
    clip_transforms()
    before, start = peak(), time.perf_counter()
    benchmark = MTIL(root)
    seconds = time.perf_counter() - start
    train, test = (sum(len(e.dataset) for e in stream) for stream in (benchmark.train_stream, benchmark.test_stream))
    return {"train": train, "test": test, "seconds": round(seconds, 2), "peak_growth_MB": round((peak() - before) / 1e6)}


def peak() -> int:
    """Bytes. Not `ru_maxrss`, which a process takes over from the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def write_photographs(root: Path) -> None:
    random = np.random.default_rng(0)
    for split, count in (("train", 2), ("test", PICTURES // 2)):
        for name in ("one", "two"):
            folder = root / "task" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = random.integers(0, 255, (24, 32, 3), dtype=np.uint8)
                Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)


def reading(folder: Path) -> dict[str, Any]:
    train, test = clip_transforms(224)
    return compare(folder / "pictures", folder / "cache-224", train, test, lambda benchmark: read(benchmark))


def evaluation(folder: Path) -> dict[str, Any]:
    model = CLIPClassifier.from_open_clip("clip-tiny")
    strategy = FineTune(model, eval_mb_size=64, evaluator=quiet())
    transforms = model.train_transform, model.eval_transform
    return compare(
        folder / "pictures", folder / "cache-tiny", *transforms, lambda benchmark: strategy.eval(benchmark.test_stream)
    )


def compare(pictures: Path, cache: Path, train: Any, test: Any, run: Any) -> dict[str, Any]:
    """Pictures a second without and with the cache, in turns, the best of three; and how fast it is made."""
    options = {"train_transform": train, "eval_transform": test}
    start = time.perf_counter()
    cached = ClassFolders(pictures, **options, cache_dir=cache)
    made = time.perf_counter() - start
    plain = ClassFolders(pictures, **options)
    rates: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(3):
        for name, benchmark in (("without", plain), ("with", cached)):
            start = time.perf_counter()
            run(benchmark)
            rates[name].append(PICTURES / (time.perf_counter() - start))
    best = {f"pictures_a_second_{name}_cache": round(max(values)) for name, values in rates.items()}
    return {**best, "pictures_a_second_making_cache": round(PICTURES / made), "pictures": PICTURES}


def read(benchmark: Any) -> None:
    for _ in torch.utils.data.DataLoader(benchmark.test_stream[0].dataset.eval(), batch_size=64):
        pass


if __name__ == "__main__":
    main()
