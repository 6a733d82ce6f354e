"""The data sets of the paper's protocols: sizes, places on disk, where they come from. Plain facts, cheap to import."""

from collections.abc import Sequence
from dataclasses import dataclass

ORDERS = {
    "I": (
        "Aircraft", "Caltech101", "CIFAR100", "DTD", "EuroSAT", "Flowers",
        "Food", "MNIST", "OxfordPet", "StanfordCars", "SUN397",
    ),
    "II": (
        "StanfordCars", "Food", "MNIST", "OxfordPet", "Flowers", "SUN397",
        "Aircraft", "Caltech101", "DTD", "EuroSAT", "CIFAR100",
    ),
}  # fmt: skip
"""The two task orders of MTIL."""

DRAWN = {"I": 10_000, "II": 1_000}
"""Prompts drawn for each task by the reference; it uses the first 1,000, the others move the stream of random numbers on."""

LEARNING_RATES = {name: 5e-5 if name in ("Aircraft", "MNIST") else 1e-5 for name in ORDERS["I"]}
"""Base learning rates of GIFT on MTIL, the same in both orders."""


@dataclass(frozen=True)
class Source:
    """One data set. folder: its place inside the root, as torchvision has it. train, test: pictures in the protocol.

    whole: pictures in one piece, split 80/20 by a generator seeded with 42; None where the split is the data set's own.
    needs: files and folders without which nothing can be read. page: where it comes from. licence: a note, not advice.
    """

    name: str
    classes: int
    train: int
    test: int
    folder: str
    needs: tuple[str, ...]
    reader: str
    page: str
    licence: str
    whole: int | None = None
    downloadable: bool = True

    @property
    def split(self) -> str:
        return "official" if self.whole is None else "80/20, seed 42"


_VGG = "https://www.robots.ox.ac.uk/~vgg/data"
_ALL = (
    Source(
        "Aircraft", 100, 3334, 3333, "fgvc-aircraft-2013b",
        ("data/variants.txt", "data/images_variant_train.txt", "data/images_variant_test.txt", "data/images"),
        "torchvision FGVCAircraft", f"{_VGG}/fgvc-aircraft", "non-commercial research",
    ),
    Source(
        "Caltech101", 101, 6941, 1736, "caltech101", ("101_ObjectCategories",),
        "torchvision Caltech101", "https://data.caltech.edu/records/mzrjq-6wc02", "CC BY 4.0", whole=8677,
    ),
    Source(
        "CIFAR100", 100, 50000, 10000, "cifar-100-python", ("train", "test", "meta"),
        "torchvision CIFAR100", "https://www.cs.toronto.edu/~kriz/cifar.html", "none stated",
    ),
    Source(
        "DTD", 47, 1880, 1880, "dtd", ("dtd/labels/train1.txt", "dtd/labels/test1.txt", "dtd/images"),
        "torchvision DTD, partition 1", f"{_VGG}/dtd", "research",
    ),
    Source(
        "EuroSAT", 10, 21600, 5400, "eurosat", ("2750",),
        "torchvision EuroSAT", "https://github.com/phelber/EuroSAT", "MIT", whole=27000,
    ),
    Source(
        "Flowers", 102, 1020, 6149, "flowers-102", ("imagelabels.mat", "setid.mat", "jpg"),
        "torchvision Flowers102", f"{_VGG}/flowers/102", "none stated",
    ),
    Source(
        "Food", 101, 75750, 25250, "food-101", ("meta/train.json", "meta/test.json", "images"),
        "torchvision Food101", "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101", "scientific fair use",
    ),
    Source(
        "MNIST", 10, 60000, 10000, "MNIST",
        tuple(f"raw/{part}" for part in (
            "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
        )),
        "torchvision MNIST", "https://ossci-datasets.s3.amazonaws.com/mnist", "CC BY-SA 3.0",
    ),
    Source(
        "OxfordPet", 37, 3680, 3669, "oxford-iiit-pet", ("annotations/trainval.txt", "annotations/test.txt", "images"),
        "torchvision OxfordIIITPet", f"{_VGG}/pets", "CC BY-SA 4.0",
    ),
    Source(
        "StanfordCars", 196, 8144, 8041, "stanford_cars", (),
        "torchvision StanfordCars", "https://www.kaggle.com/datasets/eduardo4jesus/stanford-cars-dataset",
        "non-commercial research", downloadable=False,
    ),
    Source(
        "SUN397", 397, 87003, 21751, "SUN397", ("ClassName.txt",),
        "torchvision SUN397", "https://vision.princeton.edu/projects/2010/SUN", "research", whole=108754,
    ),
    Source(
        "TinyImageNet", 200, 100_000, 10_000, "tiny-imagenet-200",
        ("wnids.txt", "val/val_annotations.txt", "val/images", "train"),
        "torchvision ImageFolder", "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "non-commercial research (ImageNet's)",
    ),
)  # fmt: skip

SOURCES = {source.name: source for source in _ALL}


def split_sizes(count: int) -> tuple[int, int]:
    """Train and test pictures of a data set that comes in one piece: 80 % rounded down, and the rest.

    >>> split_sizes(8677)
    (6941, 1736)
    """
    train = int(0.8 * count)
    return train, count - train


def check_sizes(name: str, classes: int, train: int, test: int, strays: Sequence[str] = ()) -> None:
    """Raises ValueError where counts are not those of the protocol: what was expected, what came, and files under strange
    names (`datasets.strays_of`), which may be what is missing."""
    source = SOURCES[name]
    expected, found = (source.classes, source.train, source.test), (classes, train, test)
    if expected != found:
        words = [f"{c} classes, {a} train and {b} test pictures" for c, a, b in (expected, found)]
        named = ", ".join(strays[:5]) + (", ..." if len(strays) > 5 else "")
        beside = f", and {len(strays)} files that are not named as its own: {named}" if strays else ""
        raise ValueError(f"expected of {name} {words[0]}, got {words[1]}{beside}")
