"""Mixture-of-experts adapters beside the blocks of a frozen CLIP, with a router for each task (MoE-Adapters, CVPR 2024)."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avalanche_gift.models.clip_classifier import CLIPClassifier

EXPERT_SCALE, LEAST_NOISE = 0.1, 0.01


def top_gate(logits: Tensor, top: int) -> Tensor:
    """The softmax over the `top` largest logits of each row, 0 for the others: [N, E] -> [N, E]."""
    largest, places = logits.topk(top, dim=1)
    return torch.zeros_like(logits).scatter(1, places, largest.softmax(1))


class Expert(nn.Module):
    """`0.1 up(dropout(relu(down(x))))`, [..., d] -> [..., d]; `up` begins at zero, and so does what an expert adds.

    drawing: of the first weights, from this generator.
    """

    def __init__(self, width: int, bottleneck: int, dropout: float, drawing: torch.Generator):
        super().__init__()
        self.down, self.up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
        self.dropout = dropout
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5), generator=drawing)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        hidden = self.down(x).relu()
        if self.training and self.dropout:
            # Not torch's own dropout, which draws from the global generator: nested evaluations move that one.
            kept = torch.rand(hidden.shape, generator=generator, device=hidden.device) >= self.dropout
            hidden = hidden * kept / (1 - self.dropout)
        return EXPERT_SCALE * self.up(hidden)


class BlockAdapter(nn.Module):
    """The experts beside one residual block, shared by all tasks, and a router among them for each task.

    `forward`: the residual stream after the block's attention, [N, L, d], to what is added to the block's output, [N, L, d].
    A sequence has one gate for all its tokens, read from token 0: the class token of a picture; the start token of a text,
    which under a causal mask is the same for every text. In training, and in evaluation with `evaluation_noise`, noise of
    learned strength moves the gate. usage: how often each expert had a gate above zero in training; frozen: which are.
    """

    usage: Tensor
    frozen: Tensor

    def __init__(self, width: int, experts: int, *, top: int, evaluation_noise: bool, **of_experts: Any):
        super().__init__()
        self.width, self.top, self.evaluation_noise = width, top, evaluation_noise
        self.experts = nn.ModuleList(Expert(width, **of_experts) for _ in range(experts))
        self.routers, self.noises = nn.ParameterDict(), nn.ParameterDict()
        self.register_buffer("usage", torch.zeros(experts, dtype=torch.long))
        self.register_buffer("frozen", torch.zeros(experts, dtype=torch.bool))
        self.task: str | None = None
        self.generator: torch.Generator | None = None
        self._stream: Tensor | None = None
        self.register_load_state_dict_pre_hook(_add_loaded_tasks)

    def add_task(self, task: str) -> None:
        """A router and the strength of its noise, [d, experts] each, at zero; nothing where the task has them."""
        if task not in self.routers:
            self.routers[task] = nn.Parameter(self.frozen.new_zeros(self.width, len(self.experts), dtype=torch.float32))
            self.noises[task] = nn.Parameter(torch.zeros_like(self.routers[task]))

    def gate(self, first: Tensor) -> Tensor:
        """Token 0 of each sequence, [N, d] -> the weights of the experts [N, E], by the router of the task in use."""
        assert self.task is not None
        logits = first @ self.routers[self.task]
        if self.training or self.evaluation_noise:
            strength = F.softplus(first @ self.noises[self.task]) + LEAST_NOISE
            noise = torch.randn(logits.shape, generator=self.generator, device=logits.device, dtype=logits.dtype)
            logits = logits + noise * strength
        return top_gate(logits, self.top)

    def forward(self, stream: Tensor) -> Tensor:
        gates = self.gate(stream[:, 0])
        chosen = gates.detach() > 0
        if self.training:
            self.usage += chosen.sum(0)
        added = torch.zeros_like(stream)
        for number in chosen.any(0).nonzero().flatten().tolist():
            rows = chosen[:, number].nonzero().flatten()
            expert_output = self.experts[number](stream[rows], self.generator)
            added = added.index_add(0, rows, (gates[rows, number, None, None] * expert_output).to(added.dtype))
        return added

    def attach(self, block: Any) -> None:
        """Adds this adapter to every later pass through a residual block of open_clip, while a task is in use."""
        # Bound methods: a deep copy of the model then has hooks of the copied adapters.
        block.ln_2.register_forward_pre_hook(self._keep_stream)
        block.register_forward_hook(self._add_to_output)

    def _keep_stream(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._stream = inputs[0] if self.task is not None else None

    def _add_to_output(self, block: Any, _: tuple[Any, ...], output: Tensor) -> Tensor:
        stream, self._stream = self._stream, None
        if stream is None:
            return output
        if getattr(block.attn, "batch_first", True):
            return output + self(stream)
        return output + self(stream.transpose(0, 1)).transpose(0, 1)


def _add_loaded_tasks(module: Any, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Makes room for the routers of a state dict that is about to be loaded."""
    start = f"{prefix}routers."
    for name in state_dict:
        if name.startswith(start):
            module.add_task(name.removeprefix(start))


class Adapters(nn.Module):
    """The adapters of every block of both towers; tasks are numbered as their experiences. Made by `attach_adapters`.

    Unless a task is in use (`use`), the model computes what it does without adapters.
    """

    def __init__(self, image: list[BlockAdapter], text: list[BlockAdapter]):
        super().__init__()
        self.image, self.text = nn.ModuleList(image), nn.ModuleList(text)

    def blocks(self) -> Iterator[BlockAdapter]:
        yield from (block for tower in (self.image, self.text) for block in tower)  # type: ignore[misc]

    @property
    def tasks(self) -> list[int]:
        """Those that have a router, in order."""
        return sorted(int(task) for task in next(self.blocks()).routers)

    @property
    def task(self) -> int | None:
        """The one in use; None for the model without adapters."""
        task = next(self.blocks()).task
        return None if task is None else int(task)

    def add_task(self, task: int) -> None:
        """Gives a task its routers, at zero; nothing where it has them."""
        for block in self.blocks():
            block.add_task(str(task))

    def make_room(self, names: Iterable[str]) -> None:
        """Gives routers to every task that a state dict of the model, whose names these are, has routers of."""
        for task in sorted({int(name.rsplit(".", 1)[1]) for name in names if ".routers." in name}):
            self.add_task(task)

    def use(self, task: int | None) -> None:
        """Puts the routers of a task in force in both towers, or none. ValueError for a task without routers."""
        if task is not None and task not in self.tasks:
            raise ValueError(f"expected a task with a router ({self.tasks}) or None, got {task}")
        for block in self.blocks():
            block.task = None if task is None else str(task)

    def train_only(self, task: int) -> None:
        """Lets gradients reach the experts that are not frozen and the routers of one task; begins to count usage anew."""
        for block in self.blocks():
            block.usage.zero_()
            for number, expert in enumerate(block.experts):
                expert.requires_grad_(not block.frozen[number])
            for parameters in (block.routers, block.noises):
                for name, parameter in parameters.items():
                    parameter.requires_grad_(name == str(task))

    def freeze_most_used(self, count: int) -> None:
        """Freezes the `count` most used experts of every block; some may be frozen already."""
        for block in self.blocks():
            for number in block.usage.argsort(descending=True, stable=True)[:count].tolist():
                block.frozen[number] = True
                block.experts[number].requires_grad_(False)

    def seed(self, seed: int) -> None:
        """Noise and dropout come from one generator with this seed from now on; before, from torch's global one."""
        generator = torch.Generator(next(self.parameters()).device).manual_seed(seed)
        for block in self.blocks():
            block.generator = generator

    def count_at_test(self) -> int:
        """Parameters that evaluation uses: without the strengths of the noise, unless that stays on."""
        return sum(
            parameter.numel()
            for block in self.blocks()
            for name, parameter in block.named_parameters()
            if block.evaluation_noise or not name.startswith("noises.")
        )


def attach_adapters(
    model: CLIPClassifier,
    *,
    experts: int = 22,
    bottleneck: int = 64,
    top: int = 2,
    dropout: float = 0.1,
    evaluation_noise: bool = False,
    seed: int = 42,
) -> Adapters:
    """Puts adapters beside every residual block of both towers, as `model.adapters`, and freezes the CLIP itself.

    `model.clip` keeps its parameters and names. Raises TypeError for towers without open_clip's residual blocks (ResNets,
    timm's and Hugging Face's), ValueError for a model with adapters or numbers that do not fit.
    """
    if getattr(model, "adapters", None) is not None:
        raise ValueError(f"expected a model without adapters, got one that has them for the tasks {model.adapters.tasks}")
    if not 1 <= top <= experts or bottleneck < 1 or not 0 <= dropout < 1:
        raise ValueError(
            f"expected 1 <= top <= experts, bottleneck >= 1 and dropout in [0, 1), got top {top}, experts {experts}, "
            f"bottleneck {bottleneck}, dropout {dropout}"
        )
    drawing = torch.Generator().manual_seed(seed)
    towers = []
    for blocks in _residual_blocks(model):
        settings: dict[str, Any] = {"top": top, "evaluation_noise": evaluation_noise, "bottleneck": bottleneck}
        of_tower = [BlockAdapter(len(b.ln_2.weight), experts, dropout=dropout, drawing=drawing, **settings) for b in blocks]
        for adapter, block in zip(of_tower, blocks, strict=True):
            adapter.attach(block)
        towers.append(of_tower)
    model.clip.requires_grad_(False)
    adapters = Adapters(*towers).to(model.clip.logit_scale.device)
    model.adapters = adapters.train(model.training)
    return adapters


def _residual_blocks(model: CLIPClassifier) -> list[list[Any]]:
    """Of the image tower, and of the text tower."""
    if not isinstance(model, CLIPClassifier):
        raise TypeError(f"expected a CLIPClassifier, got {type(model).__name__}")
    towers = {"image": model.clip.visual, "text": getattr(model.clip, "text", model.clip)}
    found = []
    for name, tower in towers.items():
        blocks = list(getattr(getattr(tower, "transformer", None), "resblocks", ()))
        if not blocks or not all(hasattr(block, "ln_2") and hasattr(block, "attn") for block in blocks):
            raise TypeError(
                f"expected an {name} tower of open_clip's residual attention blocks (a ViT), got {type(tower).__name__}"
            )
        found.append(blocks)
    return found
