"""CLIP models as classifiers over class texts."""

from avalanche_gift.models.class_texts import ClassTexts
from avalanche_gift.models.clip_classifier import CLIPClassifier
from avalanche_gift.models.numerics import set_numerics
from avalanche_gift.models.pictures import PicturePreparation

__all__ = ["CLIPClassifier", "ClassTexts", "PicturePreparation", "set_numerics"]
