"""The learning-rate schedule as a pure function of the iteration."""

import math


def usual_warmup(iterations: int) -> int:
    """The reference's 100 iterations, or a tenth of a shorter experience."""
    return min(100, iterations // 10)


def warmup_cosine(iteration: int, *, base_lr: float, iterations: int, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to zero (spec of the reference: 100 of 1,000 iterations warm up).

    iteration counts from 0 within the experience: `base_lr * (i + 1) / warmup` below `warmup`, then
    `base_lr / 2 * (1 + cos(pi * (i - warmup) / (iterations - warmup)))`, and 0 from
    `iterations` on; a warm-up longer than that goes on rising.
    Raises ValueError for a negative iteration or warm-up, or fewer than one iteration.
    """
    if iteration < 0 or warmup < 0 or iterations < 1:
        raise ValueError(
            f"expected iteration >= 0, warmup >= 0 and iterations >= 1, got {iteration}, {warmup} and {iterations}"
        )
    if iteration < warmup:
        return base_lr * (iteration + 1) / warmup
    if iteration >= iterations:
        return 0.0
    return base_lr / 2 * (1 + math.cos(math.pi * (iteration - warmup) / (iterations - warmup)))
