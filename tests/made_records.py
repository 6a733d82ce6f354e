"""Records like those of the reference, made by the formulas in float64: for settings that no recorded optimisation here has."""

import json

import slow_reference as slow
import torch
from replay import build_clip
from safetensors.torch import save_file

ARCHITECTURE = {
    "embed_dim": 16,
    "image_size": 8,
    "vision_layers": 1,
    "vision_width": 32,
    "patch_size": 4,
    "vision_heads": 1,
    "context_length": 8,
    "vocab_size": 64,
    "text_width": 32,
    "text_heads": 1,
    "text_layers": 1,
    "quick_gelu": True,
}
SETTINGS = {
    "architecture": ARCHITECTURE,
    "learning_rate": 1e-3,
    "adam_beta2": 0.999,
    "weight_decay": 0.0,
    "iterations": 5,
    "warmup_iterations": 2,
    "optimizer_calls": 6,
    "label_smoothing": 0.2,
    "temperature": 2.0,
    "alpha": 1.0,
    "beta": 0.25,
    "consolidation_weight": 1.0,
    "adaptive": True,
    "distillation": "contrastive",
    "teacher": "previous",
    "static_fisher_batches": 0,
}
RATES = (0.5e-3, 1e-3, 1e-3, 0.75e-3, 0.25e-3, 0.0)
"""Warm-up of two calls and a cosine over three, worked by hand."""


def make_record(path, **changes):
    """Writes a safetensors file in the format of the records, with `SETTINGS` but for the changes."""
    settings = {**SETTINGS, **changes}
    start, initial = _clip(0), _clip(1)
    tensors = _batches(settings["optimizer_calls"])
    start_weights = {f"start.{name}": value.clone() for name, value in start.state_dict().items()}
    if settings["teacher"] != "previous":
        start_weights |= {f"initial.{name}": value.clone() for name, value in initial.state_dict().items()}
    student = start.double()
    losses = _optimise(student, _teacher(settings["teacher"], student, initial.double()), tensors, settings)
    final = {f"final.{name}": value.float().clone() for name, value in student.state_dict().items()}
    everything = {**tensors, **start_weights, **final, "loss": torch.tensor(losses)}
    save_file(everything, path, metadata={key: json.dumps(value) for key, value in settings.items()})


def _clip(seed):
    torch.manual_seed(seed)
    clip = build_clip(ARCHITECTURE)
    clip.logit_scale.requires_grad_(False)
    return clip


def _batches(calls, size=5):
    random = torch.Generator().manual_seed(7)

    def tokens(rows):
        made = torch.zeros(rows, 8, dtype=torch.long)
        made[:, :4] = torch.randint(1, 62, (rows, 4), generator=random)
        made[:, 4] = 63
        return made

    return {
        "images": torch.randn(calls, size, 3, 8, 8, generator=random),
        "labels": torch.randint(3, (calls, size), generator=random),
        "class_tokens": tokens(3),
        "synthetic_images": torch.randn(calls, size, 3, 8, 8, generator=random),
        "synthetic_prompt_index": torch.randint(6, (calls, size), generator=random),
        "prompt_tokens": tokens(6),
    }


def _teacher(name, student, initial):
    fixed = _clip(0).double()
    share = {"previous": 0.0, "initial": 1.0}.get(name)
    share = float(name.partition(":")[2]) if share is None else share
    mixed = {key: share * initial.state_dict()[key] + (1 - share) * value for key, value in student.state_dict().items()}
    fixed.load_state_dict(mixed)
    return fixed.requires_grad_(False)


def _synthetic(student, teacher, images, tokens, settings):
    """The weighted synthetic losses of methods A.4 and F."""
    form = settings["distillation"]
    towers = {"images_by": teacher} if form == "text_only" else {"texts_by": teacher} if form == "image_only" else {}
    scores, targets = slow.logits(student, images, tokens, **towers), slow.logits(teacher, images, tokens)
    if form == "feature":
        distil = sum(
            ((slow.normal(encode(student)) - slow.normal(encode(teacher))) ** 2).mean()
            for encode in (lambda clip: clip.encode_image(images), lambda clip: clip.encode_text(tokens))
        )
    elif form == "reverse_kl":
        distil = _reverse(scores, targets) + _reverse(scores.T, targets.T)
    else:
        distil = slow.distillation(scores, targets)
    pairs = torch.arange(len(scores))
    align = slow.cross_entropy(scores, pairs) + slow.cross_entropy(scores.T, pairs)
    return settings["alpha"] * distil + settings["beta"] * align


def _reverse(scores, targets):
    q, p = (scores / 2).softmax(1), (targets / 2).softmax(1)
    return 4 * (q * (q / p).log()).sum() / len(scores)


def _optimise(student, teacher, tensors, settings):
    """The loop of the released code; fisher and gradients by name."""
    named = {name: parameter for name, parameter in student.named_parameters() if name != "logit_scale"}
    optimizer = torch.optim.AdamW(named.values(), betas=(0.9, settings["adam_beta2"]), weight_decay=settings["weight_decay"])
    anchor, fisher, losses, fixed_after = slow.weights(student), {}, [], settings["static_fisher_batches"]
    for call, rate in enumerate(RATES):
        pictures = {key: tensors[key][call].double() for key in ("images", "synthetic_images")}
        task = slow.cross_entropy(
            slow.logits(student, pictures["images"], tensors["class_tokens"]),
            tensors["labels"][call],
            settings["label_smoothing"],
        )
        tokens = tensors["prompt_tokens"][tensors["synthetic_prompt_index"][call]]
        synthetic = _synthetic(student, teacher, pictures["synthetic_images"], tokens, settings)
        if not settings["adaptive"] or not fixed_after or call < fixed_after:
            optimizer.zero_grad()
            synthetic.backward()
            if settings["adaptive"]:
                _measure(named, fisher, call if fixed_after else 0)
        weights = fisher if settings["adaptive"] else dict.fromkeys(named, 1.0)
        penalty = settings["consolidation_weight"] * slow.pull(student, anchor, weights)
        (task + penalty).backward()
        losses.append((task + synthetic + penalty).item())
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    return losses


def _measure(named, fisher, before):
    for name, parameter in named.items():
        fresh = 1e-6 if parameter.grad is None else parameter.grad**2 / (parameter.grad**2).mean()
        fisher[name] = fresh if not before else before / (before + 1) * fisher[name] + fresh / (before + 1)
