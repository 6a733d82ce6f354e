"""Pictures of earlier experiences under one quota, as bytes where that is exact."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from avalanche_gift.models import PicturePreparation
from avalanche_gift.names import check_name


class PictureMemory(Dataset):
    """A data set of at most `size` pictures [3, H, W] as a model reads them: those of the first experience come first.

    Each of t experiences keeps its first floor(size / t) pictures. quota: `equal`, the newest one too, or `rest`: the newest
    one may have size - floor(size / t) instead (size where that is 0), as in the reference, which makes
    size + (t - 2) floor(size / t) in all: more than `size` from the third on.
    most_pictures, most_bytes: the most that was ever kept. Pictures are kept after the evaluation transform, as bytes where
    the model's normalisation gives them back bit by bit (one byte a channel and pixel), otherwise as they came.
    """

    def __init__(self, size: int = 10_000, *, quota: str = "equal"):
        if size < 1:
            raise ValueError(f"expected a memory of at least one picture, got {size}")
        self.size, self.quota = size, check_name("quota of the memory", quota, ("equal", "rest"))
        self.most_pictures = self.most_bytes = 0
        self._sets: list[Tensor] = []
        self._preparation: PicturePreparation | None = None

    def __len__(self) -> int:
        return sum(map(len, self._sets))

    def __getitem__(self, index: int) -> Tensor:
        if not 0 <= index < len(self):
            raise IndexError(f"expected a picture from 0 to {len(self) - 1}, got {index}")
        assert self._preparation is not None
        ends = list(accumulate(map(len, self._sets)))
        number = next(number for number, end in enumerate(ends) if index < end)
        return self._as_read(self._sets[number][index - ends[number]])

    def quota_of_next(self) -> int:
        """How many pictures the next experience may bring."""
        number = len(self._sets) + 1
        share = self.size // number
        return share if self.quota == "equal" else self.size - share or self.size

    def prepare(self, eval_transform: Callable[[Any], Any]) -> None:
        """Takes the normalisation of the model that the pictures are for; before they are added or read."""
        self._preparation = PicturePreparation(eval_transform)

    def add(self, pictures: Tensor) -> None:
        """Cuts the earlier sets to their share, then keeps `pictures` [N, 3, H, W], model input, the dearest first.

        Raises ValueError for more of them than `quota_of_next()`.
        """
        assert self._preparation is not None
        if len(pictures) > (quota := self.quota_of_next()):
            raise ValueError(f"expected at most {quota} pictures of this experience, got {len(pictures)}")
        share = self.size // (len(self._sets) + 1)
        # Cloned, because a slice would keep the whole set alive.
        self._sets = [kept if len(kept) <= share else kept[:share].clone() for kept in self._sets]
        self._sets.append(self._preparation.compact(pictures))
        self.most_pictures = max(self.most_pictures, len(self))
        self.most_bytes = max(self.most_bytes, sum(kept.numel() * kept.element_size() for kept in self._sets))

    def state_dict(self) -> dict[str, Any]:
        """The pictures, as kept."""
        return {"sets": self._sets, "most_pictures": self.most_pictures, "most_bytes": self.most_bytes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self._sets, self.most_pictures, self.most_bytes = state["sets"], state["most_pictures"], state["most_bytes"]

    def sizes(self) -> Sequence[int]:
        """Pictures of each experience so far."""
        return [len(kept) for kept in self._sets]

    def _as_read(self, picture: Tensor) -> Tensor:
        assert self._preparation is not None
        return picture if picture.is_floating_point() else self._preparation.model_input(picture)
