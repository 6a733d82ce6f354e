"""The formulas of the baselines once more, in float64 and word by word; nothing here calls the package's losses."""

import copy

import torch
from world import names_of, plain, template_of


def double(model):
    """A copy of the open_clip model inside, in float64."""
    return copy.deepcopy(model.clip).double()


def normal(features):
    return features / features.norm(dim=1, keepdim=True)


def logits(clip, images, tokens, *, images_by=None, texts_by=None):
    """[N, M]; images_by, texts_by: another model whose features stand in for that tower's."""
    z = normal((images_by or clip).encode_image(images))
    w = normal((texts_by or clip).encode_text(tokens))
    return clip.logit_scale.exp() * z @ w.T


def cross_entropy(scores, labels, smoothing=0.2):
    rows = []
    for row, label in zip(scores, labels.tolist(), strict=True):
        logs = row - row.exp().sum().log()
        rows.append(-(1 - smoothing) * logs[label] - smoothing * logs.mean())
    return sum(rows) / len(rows)


def soft_rows(student, teacher, temperature=2.0):
    """D(A -> B; T), a row at a time."""
    rows = []
    for row, of_teacher in zip(student / temperature, teacher / temperature, strict=True):
        target = of_teacher.exp() / of_teacher.exp().sum()
        rows.append(-(target.detach() * (row - row.exp().sum().log())).sum())
    return temperature**2 * sum(rows) / len(rows)


def distillation(student, teacher, temperature=2.0):
    return soft_rows(student, teacher, temperature) + soft_rows(student.T, teacher.T, temperature)


def pull(clip, anchor, fisher=None):
    """sum F (theta - anchor)^2 over all parameters but logit_scale; F of one where None."""
    return sum(
        ((1.0 if fisher is None else fisher[name]) * (parameter - anchor[name]) ** 2).sum()
        for name, parameter in clip.named_parameters()
        if name != "logit_scale"
    )


def weights(clip):
    return {name: parameter.detach().clone() for name, parameter in clip.named_parameters()}


def gradients(clip, loss):
    """By name; zeros where the loss does not reach."""
    named = {name: parameter for name, parameter in clip.named_parameters() if name != "logit_scale"}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(named.items(), found, strict=True)
    }


@torch.no_grad()
def descend(clip, found, lr):
    for name, parameter in clip.named_parameters():
        if name in found:
            parameter -= lr * found[name]


def whole_task(experience):
    """All training pictures of an experience as evaluation sees them, in float64, and their labels."""
    items = [experience.dataset.eval()[index] for index in range(len(experience.dataset))]
    return torch.stack([item[0] for item in items]).double(), torch.tensor([item[1] for item in items])


def class_tokens(model, task, counts):
    """As long as the context: the package cuts its own."""
    return model.tokenizer([template_of(task).replace("{c}", name) for name in names_of(task, counts)])


def close(ours, clip, *, atol=2e-6):
    """Whether float32 weights are those of a float64 model, key biases left out (their true gradient is zero)."""
    for name, parameter in clip.named_parameters():
        error = (ours[name].double() - parameter.detach()).abs()
        if name.endswith("in_proj_bias"):
            error[len(error) // 3 : 2 * len(error) // 3] = 0
        if error.max() > atol:
            return False
    return True


PLAIN = {"train_transform": plain(), "eval_transform": plain()}
"""For a stream whose training pictures are always the same."""
