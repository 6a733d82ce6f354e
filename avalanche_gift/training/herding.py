"""Which pictures stand for a data set: herding, as iCaRL picks them for CLIP."""

import torch
from torch import Tensor


@torch.no_grad()
def herd(features: Tensor, count: int) -> Tensor:
    """Rows picked greedily so that the mean of the picks stays closest (L2) to the mean of all; the first of equals wins.

    features: [N, D], normalised; one mean for all of them, whatever their class. Returns min(count, N) distinct row numbers
    in the order picked: a shorter list is the beginning of a longer one.
    """
    mean = features.mean(0, dtype=torch.float64)
    squares = features.square().sum(1)
    left = torch.ones(len(features), dtype=torch.bool, device=features.device)
    total = torch.zeros_like(mean)
    picks = []
    for number in range(1, min(count, len(features)) + 1):
        # |mean - (total + f) / number|^2 orders the rows as |f|^2 - 2 f (number mean - total).
        wanted = (number * mean - total).to(features)
        distances = (squares - 2 * features @ wanted).masked_fill(~left, torch.inf)
        pick = int(distances.argmin())
        left[pick] = False
        total += features[pick]
        picks.append(pick)
    return torch.tensor(picks, dtype=torch.long)


def places_after_removal(picks: Tensor) -> Tensor:
    """For each pick its place in a list that lost the earlier picks: [2, 0, 3] -> [2, 0, 1].

    The reference removes picked rows from the features but not from the pictures, and so keeps the pictures at these places.
    """
    earlier_below = (picks[None, :] < picks[:, None]).tril(-1).sum(1)
    return picks - earlier_below
