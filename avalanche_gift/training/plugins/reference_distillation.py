"""Distillation on reference pictures and reference texts: what LwF, LwF-VR, iCaRL and ZSCL share."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor
from torch.utils.data import DataLoader

from avalanche_gift.losses import contrastive_distillation, contrastive_logits
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.training.backward import backward
from avalanche_gift.training.batches import EndlessBatches
from avalanche_gift.training.loss_terms import record_term, show_in_loss
from avalanche_gift.training.seeded_draws import Numbered, SeededDraws
from avalanche_gift.training.teacher import Teacher

ENCODING_CHUNK = 256

Pictures = Callable[[Any], Any] | Any
Texts = Callable[[Any], Tensor | Sequence[str]] | Tensor | Sequence[str]


class ReferenceDistillationPlugin(SupervisedPlugin):
    """Holds the student's similarities of pictures with texts to a frozen teacher's: `weight * [D(A -> M) + D(A' -> M')]`.

    A = s Z_teacher W_teacher', M = s Z_student W_teacher': the teacher's text features stand on both sides, so that the text
    tower is not trained by it. D is `losses.contrastive_distillation`, over texts for each picture (image_term) and over the
    pictures of the batch for each text (text_term).

    pictures: a data set (`len`, indexing), or a function of the strategy that gives one as an experience begins; None or an
    empty one means no distillation in that experience. Its items are tensors as the model reads them, PIL pictures, which go
    through the model's evaluation transform, or tuples that begin with either: `experience.dataset.eval()`, an
    `ImageFolder`, a tensor [N, 3, H, W].
    texts: prompts, or token ids [N, L], or a function of the strategy that gives either as an experience begins. The
    teacher encodes them once an experience.
    teacher: `previous` (a copy of the model as the experience begins), `initial` or `wise:R`, as `SyntheticReplayPlugin`.
    theta_initial: the initial weights where the strategy does not start from them.
    seed: batch k of an experience is a function of (seed, experience, k). shuffle False goes through the pictures in their
    order. The last batch of a pass is short. `num_workers` of `strategy.train` counts for these pictures too.

    In `before_forward`, with all gradients clear, it goes backward on its term, whose graph is freed before the task's is
    built; the term is `strategy.loss_terms[term]` and part of the `strategy.loss` that loggers see. Subclasses may override
    `reference_pictures(strategy)` and `reference_texts(strategy)` in place of giving the arguments.
    """

    supports_distributed = False
    term = "distillation"
    random_transform = False
    """Whether the images come out of a random transform, whose draws are then seeded by (seed, experience, batch, row)."""

    def __init__(
        self,
        pictures: Pictures = None,
        texts: Texts = (),
        *,
        weight: float = 1.0,
        teacher: str = "previous",
        theta_initial: dict[str, Tensor] | None = None,
        image_term: bool = True,
        text_term: bool = True,
        temperature: float = 2.0,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int = 42,
    ):
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"expected a distillation weight >= 0, got {weight}")
        if not temperature > 0:
            raise ValueError(f"expected a temperature above 0, got {temperature}")
        if batch_size < 1:
            raise ValueError(f"expected at least one reference picture a batch, got {batch_size}")
        if not (image_term or text_term):
            raise ValueError("expected image_term, text_term or both, got neither")
        if teacher is None:
            raise ValueError("expected the teacher previous, initial or wise:R, got None")
        self.pictures, self.texts = pictures, texts
        self.weight, self.temperature, self.batch_size = weight, temperature, batch_size
        self.image_term, self.text_term, self.shuffle, self.seed = image_term, text_term, shuffle, seed
        self._lender = Teacher(teacher, theta_initial)
        self._teacher: CLIPClassifier | None = None
        self._text_features: Tensor | None = None
        self._batches: _Batches | None = None
        self._loss: Tensor | None = None

    def reference_pictures(self, strategy: Any) -> Any:
        """The data set of this experience; None for none."""
        return self.pictures(strategy) if callable(self.pictures) else self.pictures

    def reference_texts(self, strategy: Any) -> Tensor | Sequence[str]:
        """Token ids [N, L] or N prompts of this experience."""
        return self.texts(strategy) if callable(self.texts) else self.texts

    def before_training_exp(self, strategy: Any, num_workers: int = 0, **kwargs: Any) -> None:
        self._lender.meet(strategy.model)
        pictures = self.reference_pictures(strategy)
        self._batches = self._loss = None
        if pictures is None or not len(pictures) or self.weight == 0:
            return
        self._teacher = self._frozen(strategy.model)
        self._text_features = _encode_texts(self._teacher, self.reference_texts(strategy), strategy.device)
        self._batches = _Batches(
            pictures,
            strategy.model.eval_transform,
            batch_size=self.batch_size,
            seed=(self.seed, strategy.clock.train_exp_counter) if self.shuffle else None,
            draws=(self.seed, strategy.clock.train_exp_counter) if self.random_transform else None,
            num_workers=num_workers,
        )

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        if self._batches is None:
            return
        images = self._batches[strategy.clock.train_exp_iterations].to(strategy.device)
        loss = self.weight * self._distil(strategy.model, images)
        backward(strategy.model, loss)
        self._loss = loss.detach()
        record_term(strategy, self.term, loss)

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        if self._loss is not None:
            show_in_loss(strategy, self._loss)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._batches = self._loss = self._text_features = None
        if self._lender.initial_share != 1:
            self._teacher = None

    def state_dict(self) -> dict[str, Any]:
        """The teacher's initial weights where it holds them."""
        return self._lender.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self._lender.load_state_dict(state)

    def _frozen(self, student: CLIPClassifier) -> CLIPClassifier:
        """A true copy: training the student never moves it."""
        if self._teacher is not None:
            return self._teacher
        lent = self._lender.model(student)
        teacher = copy.deepcopy(lent) if lent is student else lent
        return teacher.requires_grad_(False).eval()

    def _distil(self, student: CLIPClassifier, images: Tensor) -> Tensor:
        assert self._teacher is not None and self._text_features is not None
        with torch.no_grad():
            teacher_features = self._teacher.encode_image(images)
        fixed = {"text_features": self._text_features, "logit_scale": student.logit_scale.detach()}
        return contrastive_distillation(
            student_logits=contrastive_logits(image_features=student.encode_image(images), **fixed),
            teacher_logits=contrastive_logits(image_features=teacher_features, **fixed),
            temperature=self.temperature,
            over_texts=self.image_term,
            over_images=self.text_term,
        )


@torch.no_grad()
def _encode_texts(teacher: CLIPClassifier, texts: Tensor | Sequence[str], device: torch.device) -> Tensor:
    """[N, D], in chunks."""
    if not len(texts):
        raise ValueError("expected at least one reference text, got none")
    tokens = texts if isinstance(texts, Tensor) else teacher.tokenize(texts)
    return torch.cat([teacher.encode_text(part.to(device)) for part in tokens.split(ENCODING_CHUNK)])


class _Batches:
    """Batch k of the pictures, [B, 3, H, W]; asked for in order, workers read ahead."""

    def __init__(
        self,
        pictures: Any,
        transform: Callable[[Any], Any],
        *,
        batch_size: int,
        seed: Any,
        draws: tuple[int, int] | None,
        num_workers: int,
    ):
        self._pictures = pictures if draws is None else SeededDraws(pictures, *draws)
        self._numbered, self._transform, self._num_workers = draws is not None, transform, num_workers
        self._drawing = {"batch_size": batch_size, "seed": seed}
        self._next = -1
        self._loader: Iterator[Tensor] = iter(())

    def __getitem__(self, iteration: int) -> Tensor:
        if iteration != self._next:
            batches = EndlessBatches(len(self._pictures), iteration, **self._drawing)
            self._loader = iter(
                DataLoader(
                    self._pictures,
                    batch_sampler=Numbered(batches, iteration) if self._numbered else batches,  # type: ignore[arg-type]
                    collate_fn=self._collate,
                    num_workers=self._num_workers,
                    # Its own, so that torch's global generator, and with it the task's batches, stay as they are.
                    generator=torch.Generator(),
                )
            )
        self._next = iteration + 1
        return next(self._loader)

    def _collate(self, items: Sequence[Any]) -> Tensor:
        pictures = [item[0] if isinstance(item, tuple | list) else item for item in items]
        return torch.stack([each if isinstance(each, Tensor) else self._transform(each) for each in pictures])
