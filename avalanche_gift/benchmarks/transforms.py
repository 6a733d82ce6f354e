"""CLIP's transforms, for streams made without a model."""

from collections.abc import Callable, Sequence
from typing import Any


def clip_transforms(
    size: int = 224, *, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """CLIP's train transform (random crop of 0.9 to 1.0 of the area, bicubic, no flip) and its test transform.

    mean, std: CLIP's where None. A model has its own pair: `model.train_transform`, `model.eval_transform`.
    """
    from open_clip import image_transform

    options: dict[str, Any] = {"mean": mean and tuple(mean), "std": std and tuple(std)}
    return image_transform(size, is_train=True, **options), image_transform(size, is_train=False, **options)


def given_or_clip(train_transform: Callable[[Any], Any] | None, eval_transform: Callable[[Any], Any] | None) -> dict[str, Any]:
    """Both transforms by the names `clip_benchmark` has for them: those given, or CLIP's at 224 pixels."""
    train, test = clip_transforms()
    return {"train_transform": train_transform or train, "eval_transform": eval_transform or test}
