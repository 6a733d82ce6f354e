"""Losses over the plane through three weight vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from avalanche_gift.consolidation import trainable_parameters
from avalanche_gift.models import ClassTexts, CLIPClassifier, PicturePreparation
from avalanche_gift.stream_classes import classes_of
from experiments.plan import NotPossible

CHUNK = 256


@dataclass(frozen=True)
class Plane:
    """theta(x, y) = origin + x right + y up; right and up [P] have length one and are at right angles.

    corners: (x, y) of the three vectors that it was laid through, the first at (0, 0), the second at y = 0.
    """

    origin: Tensor
    right: Tensor
    up: Tensor
    corners: tuple[tuple[float, float], ...]

    def at(self, x: float, y: float) -> Tensor:
        return self.origin + x * self.right + y * self.up


def plane_through(a: Tensor, b: Tensor, c: Tensor) -> Plane:
    """By Gram-Schmidt of b - a and c - a, each [P]. Raises ValueError where the three lie on one line."""
    right, other = b - a, c - a
    length = torch.linalg.vector_norm(right)
    right = right / length
    across = torch.dot(other, right)
    up = other - across * right
    height = torch.linalg.vector_norm(up)
    if not (length > 0 and height > 1e-6 * torch.linalg.vector_norm(other)):
        raise ValueError("expected three weight vectors that span a plane, got three on one line")
    return Plane(a, right, up / height, ((0.0, 0.0), (float(length), 0.0), (float(across), float(height))))


def axes_around(corners: Sequence[tuple[float, float]], points: int, margin: float) -> tuple[list[float], list[float]]:
    """`points` places of x and of y that leave `margin` times the longer side around the corners."""
    sides = [(min(values), max(values)) for values in zip(*corners, strict=True)]
    room = margin * max(high - low for low, high in sides)
    x, y = (torch.linspace(low - room, high + room, points, dtype=torch.float64).tolist() for low, high in sides)
    return x, y


@dataclass(frozen=True)
class Pictures:
    """Pictures of one split as bytes where the transform allows it, [N, 3, H, W], with labels and class texts, on a device."""

    images: Tensor
    labels: Tensor
    texts: ClassTexts
    preparation: PicturePreparation


def pictures_of(experience: Any, model: CLIPClassifier, count: int, device: str) -> Pictures:
    """At most `count` pictures of an experience, evenly over it, read once, in the transform of evaluation."""
    dataset = experience.dataset.eval()
    few = min(count, len(dataset))
    rows = [dataset[k * len(dataset) // few] for k in range(few)]
    preparation = PicturePreparation(model.eval_transform)
    images = preparation.compact(torch.stack([row[0] for row in rows])).to(device)
    labels = torch.tensor([int(row[1]) for row in rows], device=device)
    return Pictures(images, labels, model.tokenize_classes(classes_of(experience).prompts), preparation)


@torch.no_grad()
def loss(model: CLIPClassifier, pictures: Pictures) -> float:
    """Mean cross-entropy, in nats, without label smoothing and with the templates of evaluation."""
    model.eval()  # forgets the texts that other weights encoded
    model.class_texts = pictures.texts
    total = 0.0
    for images, labels in zip(pictures.images.split(CHUNK), pictures.labels.split(CHUNK), strict=True):
        total += float(F.cross_entropy(model(pictures.preparation.model_input(images)), labels, reduction="sum"))
    return total / len(pictures.labels)


def weights(model: CLIPClassifier, kept: Path | None = None) -> Tensor:
    """The trained weights as one vector [P] on the CPU: of the model, or of a file that a run kept. NotPossible without it."""
    if kept is not None:
        if not kept.is_file():
            raise NotPossible(f"the weights that the run left as {kept}, which are missing; remove that folder")
        model.clip.load_state_dict(load_file(kept))
    return parameters_to_vector([parameter for _, parameter in trainable_parameters(model)]).detach().cpu().clone()


def surfaces(
    model: CLIPClassifier, plane: Plane, splits: Mapping[str, Pictures], x: Sequence[float], y: Sequence[float]
) -> dict[str, list[list[float]]]:
    """The losses of every split at every place of the grid, [len(y)][len(x)]; the model is left at the last one."""
    parameters = [parameter for _, parameter in trainable_parameters(model)]
    found: dict[str, list[list[float]]] = {name: [] for name in splits}
    for up in y:
        for values in found.values():
            values.append([])
        for right in x:
            vector_to_parameters(plane.at(right, up).to(parameters[0].device), parameters)
            for name, pictures in splits.items():
                found[name][-1].append(loss(model, pictures))
    return found
