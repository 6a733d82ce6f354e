"""Class prompts as tokens: what a CLIP classifier compares a picture with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avalanche_gift.losses import MASKED_LOGIT


@dataclass(frozen=True, eq=False)
class ClassTexts:
    """The tokenised prompts of some classes; made by `CLIPClassifier.tokenize_classes`, never changed.

    prompts: for each of the C classes its prompts, the training prompt first.
    train_tokens: [C, L], the first prompt of each class. eval_tokens: [P, L'], all prompts; eval_class: [P], their class.
    columns, width: where the C logits stand among `width` ones (None: they are all there is).
    """

    prompts: tuple[tuple[str, ...], ...]
    train_tokens: Tensor
    eval_tokens: Tensor
    eval_class: Tensor
    columns: Tensor | None = None
    width: int | None = None

    def __len__(self) -> int:
        return len(self.prompts)

    def to(self, device: torch.device) -> "ClassTexts":
        if self.train_tokens.device == device:
            return self
        moved = {
            name: tensor.to(device)
            for name in ("train_tokens", "eval_tokens", "eval_class", "columns")
            if (tensor := getattr(self, name)) is not None
        }
        return replace(self, **moved)

    def average(self, prompt_features: Tensor) -> Tensor:
        """Each class's mean over its prompts: [P, D] -> [C, D], not normalised."""
        sums = prompt_features.new_zeros(len(self), prompt_features.shape[1])
        counts = torch.bincount(self.eval_class, minlength=len(self))
        return sums.index_add_(0, self.eval_class, prompt_features) / counts[:, None]

    def place(self, logits: Tensor) -> Tensor:
        """[N, C] logits at their columns of [N, width], the others masked."""
        if self.columns is None or self.width is None:
            return logits
        return logits.new_full((len(logits), self.width), MASKED_LOGIT).index_copy(1, self.columns, logits)


def tokenize_whole(tokenizer: Callable[..., Tensor], texts: Sequence[str]) -> Tensor:
    """Token ids [N, context]. Raises ValueError where the tokenizer would cut a text, whose end token would go with it."""
    tokens = tokenizer(list(texts))
    context = tokens.shape[1]
    full = [texts[row] for row in (tokens[:, -1] != 0).nonzero().flatten().tolist()]
    if not full:
        return tokens
    try:  # A full row may just fit: only a longer context tells. A tokenizer without one is taken at its word.
        roomy = tokenizer(full, context_length=4 * context)
    except TypeError:
        return tokens
    for text, row in zip(full, roomy, strict=True):
        length = int((row != row[-1]).nonzero().max()) + 1
        if length > context:
            raise ValueError(
                f"expected prompts of at most {context} tokens, got {length} or more for {text[:200]!r}: the tokenizer "
                "would cut it; shorten the class name or the template"
            )
    return tokens


def class_texts(
    tokenize: Callable[[Sequence[str]], Tensor],
    prompts: Sequence[Sequence[str]],
    *,
    columns: Sequence[int] | None = None,
    width: int | None = None,
    groups: Sequence[int] | None = None,
) -> ClassTexts:
    """Tokenises the prompts of every class once.

    groups: the classes are several sets one behind the other, of these sizes, each told apart in itself; one set if None.
    Raises ValueError for no class, columns that do not fit the classes, or two classes of a set with the same training tokens.
    """
    if not prompts:
        raise ValueError("expected at least one class, got none")
    if (columns is None) != (width is None) or (columns is not None and len(columns) != len(prompts)):
        raise ValueError(f"expected a column for each of {len(prompts)} classes and a width, got {columns} and {width}")
    everything = [prompt for of_class in prompts for prompt in of_class]
    owner = [index for index, of_class in enumerate(prompts) for _ in of_class]
    train_tokens = tokenize([of_class[0] for of_class in prompts])
    _check_distinct([of_class[0] for of_class in prompts], train_tokens, [len(prompts)] if groups is None else groups)
    return ClassTexts(
        prompts=tuple(tuple(of_class) for of_class in prompts),
        train_tokens=train_tokens,
        eval_tokens=tokenize(everything),
        eval_class=torch.tensor(owner),
        columns=None if columns is None else torch.tensor(columns),
        width=width,
    )


def _check_distinct(prompts: Sequence[str], tokens: Tensor, groups: Sequence[int]) -> None:
    """Raises ValueError, naming both, for two prompts of one group that differ as texts and not as tokens.

    Equal texts are equal on purpose: tasks whose labels run on may have classes of one name.
    """
    first = 0
    for size in groups:
        known: dict[tuple[int, ...], str] = {}
        for prompt, row in zip(prompts[first : first + size], tokens[first : first + size].tolist(), strict=True):
            other = known.setdefault(tuple(row), prompt)
            if other != prompt:
                raise ValueError(
                    f"expected class names that the tokenizer tells apart, got the same tokens for {other!r} and {prompt!r}: "
                    "one of the classes could never win (case and outer spaces are ignored, unknown words are alike); give one "
                    'of them another name, for class folders in classes.json: {"names": {FOLDER: NAME}}'
                )
        first += size
