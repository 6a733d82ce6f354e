"""Names of class folders that are called by WordNet's numbers, as ImageNet's are."""

import re
import warnings
from collections.abc import Sequence
from functools import cache

WORDNET_ID = re.compile(r"n\d{8}")
_SAME_NAME = {"n04008634": "projectile", "n04355933": "sunglass"}
"""Two of the names in open_clip's list stand for two classes each; WordNet's own name tells these from the others."""


def folder_class_names(folders: Sequence[str], where: str, way_out: str) -> list[str]:
    """The class names of folders: with spaces for underscores, and ImageNet's in place of the numbers of its 1,000 classes.

    Warns, once for all, of numbers that are not ImageNet's: their prompts would hold the number.
    where: the folders' place. way_out: what to do, both for the warning.

    >>> folder_class_names(["n01443537", "polar_bear"], "data/train", "rename them")
    ['goldfish', 'polar bear']
    """
    numbers = [folder for folder in folders if WORDNET_ID.fullmatch(folder)]
    known = imagenet_names() if numbers else {}
    if unknown := [number for number in numbers if number not in known]:
        more = ", ..." if len(unknown) > 5 else ""
        warnings.warn(
            f"{len(unknown)} class folders of {where} are called by WordNet numbers that are none of ImageNet's 1,000 classes "
            f"({', '.join(unknown[:5])}{more}), so that prompts hold the numbers; {way_out}",
            stacklevel=2,
        )
    return [known.get(folder, folder.replace("_", " ")) for folder in folders]


@cache
def imagenet_names() -> dict[str, str]:
    """By WordNet's number, the names that open_clip has for the 1,000 classes of ImageNet; all of them distinct."""
    from open_clip import IMAGENET_CLASSNAMES
    from timm.data import ImageNetInfo

    return {**dict(zip(ImageNetInfo().label_names(), IMAGENET_CLASSNAMES, strict=True)), **_SAME_NAME}
