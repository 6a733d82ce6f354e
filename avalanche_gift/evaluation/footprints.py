"""What a strategy keeps beyond the one CLIP model: parameters used at test time, and pictures of earlier experiences."""

from typing import Any

PARTS = ("extra_parameters", "stored_pictures", "stored_bytes")


def footprint(strategy: Any) -> dict[str, int]:
    """The sum of what the strategy and its plugins report, each by a method `footprint() -> {part: count}`.

    extra_parameters: at test time, beyond the model's own. stored_pictures, stored_bytes: the most that was ever kept of
    pictures from one experience to a later one. Raises ValueError for a part of another name.
    """
    total = dict.fromkeys(PARTS, 0)
    for one in (strategy, *strategy.plugins):
        if not callable(getattr(one, "footprint", None)):
            continue
        for part, count in one.footprint().items():
            if part not in total:
                raise ValueError(f"{type(one).__name__}.footprint: expected parts {PARTS}, got {part!r}")
            total[part] += int(count)
    return total
