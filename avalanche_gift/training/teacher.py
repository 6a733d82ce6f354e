"""The frozen model whose embeddings the student is held to: `previous`, `initial` or `wise:R` (Table 4b)."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from avalanche_gift.consolidation import interpolate, snapshot
from avalanche_gift.models import CLIPClassifier


def parse_teacher(teacher: str | None) -> float | None:
    """The share of the initial weights in the teacher: 0 for `previous`, 1 for `initial`, R for `wise:R`; None for None."""
    if teacher is None:
        return None
    if teacher in ("previous", "initial"):
        return float(teacher == "initial")
    kind, _, share = teacher.partition(":")
    try:
        if kind == "wise" and 0 <= float(share) <= 1:
            return float(share)
    except ValueError:
        pass
    raise ValueError(f"expected the teacher previous, initial or wise:R with R between 0 and 1, got {teacher!r}")


class Teacher:
    """Lends the teacher for as long as its embeddings are computed; holds the initial weights only where it needs them."""

    def __init__(self, teacher: str | None, theta_initial: Mapping[str, Tensor] | None = None):
        self.initial_share = parse_teacher(teacher)
        self._theta_initial = theta_initial

    def meet(self, model: CLIPClassifier) -> None:
        """Takes the weights at the first training experience for the initial ones, unless they were given."""
        if self.initial_share and self._theta_initial is None:
            self._theta_initial = snapshot(model.clip.state_dict().items())

    def state_dict(self) -> dict[str, Any]:
        """The initial weights where it holds them."""
        return {"theta_initial": dict(self._theta_initial or {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self._theta_initial = state["theta_initial"] or None

    def model(self, student: CLIPClassifier) -> CLIPClassifier:
        """The student itself where the teacher has its weights now, else a copy with the teacher's weights."""
        if not self.initial_share:
            return student
        assert self._theta_initial is not None
        weights = interpolate(self._theta_initial, dict(student.clip.state_dict()), share_a=self.initial_share)
        teacher = copy.deepcopy(student)
        teacher.clip.load_state_dict(weights)
        return teacher


class FixedTeacher:
    """A teacher kept for a whole experience, where pairs are encoded while the student's weights already move."""

    initial_share = 0.0

    def __init__(self, model: CLIPClassifier):
        self._model = model

    def model(self, student: CLIPClassifier) -> CLIPClassifier:
        """The model kept, whatever the student."""
        return self._model
