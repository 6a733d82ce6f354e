"""Reference pictures and captions of the mini world, as ImageNet and Conceptual Captions are CLIP's."""

from avalanche_gift.benchmarks.mini.pretraining import draw_pretraining
from avalanche_gift.benchmarks.pictures import ArrayPictures

FROM = 50_000_000
"""Where they begin in the endless pre-training set: far from the pictures that its CLIP was trained on or measured by."""


def mini_references(count: int = 1000, seed: int = 0) -> tuple[ArrayPictures, list[str]]:
    """Pictures of the pre-training kind, with their concepts as labels, and their captions, equal ones once."""
    pictures, captions, concepts = draw_pretraining(FROM, count, seed)
    return ArrayPictures(pictures, concepts), list(dict.fromkeys(captions))
