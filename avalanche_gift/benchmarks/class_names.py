"""Class names, templates, class orders and base names of the paper's protocols, as data of the package."""

import json
import re
from functools import cache
from pathlib import Path

from avalanche_gift.names import check_name
from avalanche_gift.prompts import DEFAULT_TEMPLATES, fill

DATA = Path(__file__).parent / "data"


def class_names(dataset: str) -> tuple[str, ...]:
    """The published names in label order, as prompts have them. Raises ValueError for an unknown data set.

    >>> class_names("EuroSAT")[1]
    'forest'
    """
    return _entry("class names of", "class_names.json", dataset)


def templates(dataset: str) -> tuple[str, ...]:
    """Evaluation templates, the training template first; `CIL` for those of the class-incremental protocol."""
    return _entry("templates of", "templates.json", dataset)


def class_order(dataset: str) -> tuple[int, ...]:
    """The label at each position of the class-incremental streams of CIFAR100 and TinyImageNet."""
    return _entry("class order of", "class_orders.json", dataset)


def folder_names(dataset: str) -> tuple[str, ...]:
    """What the data set calls its class folders, in label order, where that differs from the class names."""
    return _entry("folder names of", "folder_names.json", dataset)


def base_names(dataset: str) -> tuple[str, ...]:
    """The 100 ImageNet names, none of them a class of the data set, that are the broad vocabulary of its streams.

    Sampled by `random.Random(42).sample(rest, 100)` from open_clip's 998 distinct names in their order, less those that
    `overlap` with a class of the data set and those that show the same under another name (`base_names.json` lists them). The
    paper publishes no list of its own.
    """
    return _entry("base names of", "base_names.json", dataset)


def overlap(a: str, b: str) -> bool:
    """Whether one name is in the other as whole words, whatever the case, punctuation or a final s.

    >>> overlap("keyboard space bar", "keyboard"), overlap("Sea_Urchins", "sea urchin"), overlap("dam", "damselfly")
    (True, True, False)
    """
    shorter, longer = sorted((_words(a), _words(b)), key=len)
    return any(longer[k : k + len(shorter)] == shorter for k in range(len(longer) - len(shorter) + 1))


def _words(name: str) -> list[str]:
    """Lower case and without the s of a plural; "bus" and "glass" keep theirs."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return [word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word for word in words]


def base_prompts(dataset: str) -> list[str]:
    """`base_names` in "a photo of a {c}."."""
    return [fill(DEFAULT_TEMPLATES[0], name) for name in base_names(dataset)]


def _entry(kind: str, file: str, dataset: str) -> tuple:
    content = _load(file)
    return tuple(content[check_name(kind, dataset, content)])


@cache
def _load(file: str) -> dict[str, list]:
    return json.loads((DATA / file).read_text(encoding="utf-8"))
