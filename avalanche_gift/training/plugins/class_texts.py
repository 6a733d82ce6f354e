"""Puts the class texts of the current experience in force, in every phase of any Avalanche strategy."""

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from avalanche_gift.losses import MASKED_LOGIT
from avalanche_gift.models import ClassTexts, CLIPClassifier
from avalanche_gift.prompts import DEFAULT_TEMPLATES, class_prompts

Prompts = tuple[tuple[str, ...], ...]


class ClassTextsPlugin(SupervisedPlugin):
    """List it first. Four hooks keep a `CLIPClassifier` on the right classes: before and after a training experience, before
    every training forward (a nested evaluation leaves its own texts behind) and before an evaluation experience, be it past,
    current or future, and before any training (zero-shot).

    Task-incremental (default): the classes of the experience. Class-incremental: all classes seen so far, the evaluated
    experience's included, so that a label is the number of its class in the order of the stream.

    Where the names come from:
    - streams of `avalanche_gift.benchmarks` carry them: `experience.class_names` and `experience.templates`, labels counted
      from 0 in each experience (task-incremental), the task label telling replayed samples apart;
    - any other Avalanche stream: `class_names` gives the name of every label of the stream. The logits then have one column
      a label; those of classes that are not in force are masked, and not encoded.

    A batch that mixes experiences, as replay makes it, is compared with the classes of all of them; in the task-incremental
    case each row keeps those of its own experience. Use `ClassificationLoss` (or no label smoothing) with masked columns.
    """

    supports_distributed = True

    def __init__(
        self,
        class_names: Sequence[str] | None = None,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        *,
        class_incremental: bool = False,
    ):
        super().__init__()
        self.class_incremental = class_incremental
        self._class_names = class_names
        self._all_prompts = None if class_names is None else class_prompts(class_names, templates)
        self._templates = tuple(templates)
        self._groups: dict[int, tuple[Prompts, list[int] | None]] = {}
        self._built: dict[tuple[int, ...], ClassTexts] = {}
        self._trained_up_to = -1
        self._row_mask: Tensor | None = None

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._trained_up_to = max(self._trained_up_to, strategy.experience.current_experience)
        self._set(strategy, self.meet(strategy.experience))

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        own = self.meet(strategy.experience)
        groups = self._groups_in_batch(strategy, own)
        self._set(strategy, *groups)
        self._row_mask = None if len(groups) == 1 else self._separate(strategy, own, groups)

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        if self._row_mask is not None:
            strategy.mb_output = strategy.mb_output.masked_fill(self._row_mask, MASKED_LOGIT)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._set(strategy, self.meet(strategy.experience))

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._set(strategy, self.meet(strategy.experience))

    def state_dict(self) -> dict[str, Any]:
        """The experiences met, as plain values."""
        return {"trained_up_to": self._trained_up_to, "groups": {str(group): each for group, each in self._groups.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self._trained_up_to = state["trained_up_to"]
        self._groups = {
            int(group): (tuple(tuple(of_class) for of_class in prompts), labels)
            for group, (prompts, labels) in state["groups"].items()
        }

    def meet(self, experience: Any) -> int:
        """Notes the classes of an experience, so that batches may hold samples of it; returns the number it goes by here."""
        if self._class_names is not None:
            self._name(experience, self._class_names)
        if self.class_incremental:
            group = max(experience.current_experience, self._trained_up_to)
        elif self._class_names is None:
            group = getattr(experience, "task_label", experience.current_experience)
        else:
            group = experience.current_experience
        if group not in self._groups:
            self._groups[group] = self._classes(experience, group)
        return group

    def _name(self, experience: Any, class_names: Sequence[str]) -> None:
        """Stock experiences get the names of their own classes, for whoever makes prompts of them."""
        if not hasattr(experience, "class_names"):
            experience.class_names = tuple(class_names[label] for label in _labels(experience))
            experience.templates = self._templates

    def _classes(self, experience: Any, group: int) -> tuple[Prompts, list[int] | None]:
        """Prompts of the classes in force and, where labels span the whole stream, those labels."""
        experiences = list(experience.origin_stream)[: group + 1] if self.class_incremental else [experience]
        if self._all_prompts is not None:
            labels = sorted({label for each in experiences for label in _labels(each)})
            return tuple(self._all_prompts[label] for label in labels), labels
        return tuple(prompts for each in experiences for prompts in experience_prompts(each)), None

    def _groups_in_batch(self, strategy: Any, own: int) -> list[int]:
        """The experiences whose samples are in the batch, in order."""
        if self.class_incremental:
            return [own]
        if self._all_prompts is not None:
            groups = torch.unique(self._label_owners(own)[strategy.mb_y.cpu()]).tolist()
        elif hasattr(strategy.experience, "task_label"):
            groups = torch.unique(strategy.mb_task_id).tolist()
        else:
            return [own]
        if strangers := set(groups) - self._groups.keys():
            raise ValueError(
                f"expected samples of experiences met before (task labels {sorted(self._groups)}), got task labels "
                f"{sorted(strangers)} (-1: of no experience met), whose class names are not known; evaluate or train on "
                "those experiences first"
            )
        return groups

    def _label_owners(self, own: int) -> Tensor:
        """For each label of a stock stream the experience it belongs to, -1 where none has it; a shared one is `own`'s."""
        owner = torch.full((len(self._all_prompts or ()),), -1)
        for group in (*self._groups, own):
            owner[self._groups[group][1]] = group
        return owner

    def _separate(self, strategy: Any, own: int, groups: list[int]) -> Tensor:
        """Which columns are not of a row's own experience: [B, columns]. Shifts labels that count from 0 in each."""
        if self._all_prompts is not None:
            owner = self._label_owners(own).to(strategy.device)
            return owner[None, :] != owner[strategy.mb_y][:, None]
        sizes = [len(self._groups[group][0]) for group in groups]
        owner = torch.repeat_interleave(torch.tensor(groups), torch.tensor(sizes)).to(strategy.device)
        starts = torch.zeros(max(groups) + 1, dtype=torch.long)
        starts[groups] = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        strategy.mbatch[1] = strategy.mb_y + starts.to(strategy.device)[strategy.mb_task_id]
        return owner[None, :] != strategy.mb_task_id[:, None]

    def _set(self, strategy: Any, *groups: int) -> None:
        model = strategy.model
        if not isinstance(model, CLIPClassifier):
            raise TypeError(f"expected a CLIPClassifier as the strategy's model, got {type(model).__name__}")
        if groups not in self._built:
            self._built[groups] = self._build(model, groups, strategy.device)
        model.class_texts = self._built[groups]

    def _build(self, model: CLIPClassifier, groups: tuple[int, ...], device: torch.device) -> ClassTexts:
        prompts = [of_class for group in groups for of_class in self._groups[group][0]]
        if self._all_prompts is None:
            return model.tokenize_classes(prompts).to(device)
        columns = [label for group in groups for label in self._groups[group][1] or ()]
        return model.tokenize_classes(prompts, columns=columns, width=len(self._all_prompts)).to(device)


def experience_prompts(experience: Any) -> Prompts:
    """The prompts of each class of an experience, the training prompt first. ValueError where it carries no names."""
    if not hasattr(experience, "class_names"):
        raise ValueError(
            f"expected an experience with class_names (and templates), got {type(experience).__name__} without; make the "
            "stream with avalanche_gift.benchmarks, or list ClassTextsPlugin(class_names=[...]) first"
        )
    return class_prompts(experience.class_names, getattr(experience, "templates", DEFAULT_TEMPLATES))


def first_prompts(experience: Any) -> list[str]:
    """The training prompt of each class of an experience."""
    return [prompts[0] for prompts in experience_prompts(experience)]


def _labels(experience: Any) -> list[int]:
    labels = getattr(experience, "classes_in_this_experience", None)
    return sorted(experience.dataset.targets.uniques if labels is None else labels)
