"""GIFT's gradient at every step against a slow double backward pass."""

import copy

import pytest
import torch
import torch.nn.functional as F
from avalanche.core import SupervisedPlugin
from torchvision.transforms import Compose, PILToTensor, Resize
from world import BASE_PROMPTS, MadePictures, made_stream, names_of, quiet, template_of, tiny_model

from avalanche_gift.training import GIFT


def to_double(picture):
    return (Compose([Resize((16, 16)), PILToTensor()])(picture).double() / 255 - 0.5) / 0.25


class DoubleBackward(SupervisedPlugin):
    """GIFT's formula by autograd: `grad CE + grad(CD + ITA) + 2 lambda F (theta - theta_prev)`, teacher run at each step."""

    def __init__(self, generator, *, alpha, beta, weight, temperature):
        super().__init__()
        self.generator, self.alpha, self.beta = generator, alpha, beta
        self.weight, self.temperature = weight, temperature
        self.errors, self.moved, self.names, self.totals = [], [], [], []

    def before_training_exp(self, strategy, **kwargs):
        self.teacher = copy.deepcopy(strategy.model.clip).requires_grad_(False)

    def before_update(self, strategy, **kwargs):
        student = copy.deepcopy(strategy.model.clip)
        parameters = {name: p for name, p in student.named_parameters() if p.requires_grad}
        theta_prev = dict(self.teacher.named_parameters())
        tokenizer, scale = strategy.model.tokenizer, student.logit_scale.exp().detach()
        prompts, seeds = self.generator.calls[-1]
        pictures = torch.stack([to_double(MadePictures.picture(p, s)) for p, s in zip(prompts, seeds, strict=True)])

        def similarities(clip):
            images = F.normalize(clip.encode_image(pictures), dim=-1)
            texts = F.normalize(clip.encode_text(tokenizer(prompts)), dim=-1)
            return scale * images @ texts.t()

        m, a = similarities(student), similarities(self.teacher).detach()
        t = self.temperature
        distilled = (
            -t
            * t
            * (
                ((a / t).softmax(1) * (m / t).log_softmax(1)).sum(1).mean()
                + ((a.t() / t).softmax(1) * (m.t() / t).log_softmax(1)).sum(1).mean()
            )
        )
        equal = torch.tensor([[p == q for q in prompts] for p in prompts], dtype=torch.float64)
        targets = 0.8 * equal / equal.sum(1, keepdim=True) + 0.2 / len(prompts)
        aligned = -(targets * m.log_softmax(1)).sum(1).mean() - (targets * m.t().log_softmax(1)).sum(1).mean()
        synthetic = self.alpha * distilled + self.beta * aligned
        of_pairs = torch.autograd.grad(synthetic, list(parameters.values()), retain_graph=True)

        task = strategy.experience.current_experience
        texts = [template_of(task).replace("{c}", name) for name in names_of(task)]
        logits = (
            scale
            * F.normalize(student.encode_image(strategy.mb_x), dim=-1)
            @ F.normalize(student.encode_text(tokenizer(texts)), dim=-1).t()
        )
        loss = F.cross_entropy(logits, strategy.mb_y, label_smoothing=0.2)
        penalty = 0.0
        for (name, parameter), g in zip(parameters.items(), of_pairs, strict=True):
            fisher = g.square() / g.square().mean()
            penalty = penalty + self.weight * (fisher * (parameter - theta_prev[name]).square()).sum()
        expected = torch.autograd.grad(loss + penalty, list(parameters.values()))
        ours = dict(strategy.model.clip.named_parameters())
        self.errors.append(
            {
                name: float((ours[name].grad - g - e).abs().max() / (g + e).abs().max())
                for name, g, e in zip(parameters, of_pairs, expected, strict=True)
            }
        )
        self.moved.append(float(torch.as_tensor(penalty).detach()))
        self.totals.append((strategy.loss.item(), (loss + synthetic + penalty).item()))


@pytest.mark.parametrize(
    ("alpha", "beta", "weight", "temperature"), [(1.0, 0.25, 1.0, 2.0), (2.0, 0.5, 2.0, 1.5), (0.0, 1.0, 0.7, 2.0)]
)
def test_gradient_of_every_step_is_that_of_a_double_backward_pass(alpha, beta, weight, temperature):
    model, generator = tiny_model().double(), MadePictures()
    model.eval_transform = to_double
    reference = DoubleBackward(generator, alpha=alpha, beta=beta, weight=weight, temperature=temperature)
    strategy = GIFT(
        model,
        synthetic=generator,
        alpha=alpha,
        beta=beta,
        awc_weight=weight,
        temperature=temperature,
        lr=1e-3,
        train_iterations=4,
        warmup_iterations=0,
        train_mb_size=6,
        synthetic_images=10,
        synthetic_mb_size=10,
        base_prompts=BASE_PROMPTS,
        plugins=[reference],
        evaluator=quiet,
    )
    strategy.train(made_stream((3, 2), train_transform=to_double, eval_transform=to_double).train_stream)
    assert len(set(generator.calls[0][0])) < 10, "equal prompts are among the pairs"
    assert len(reference.errors) == 8
    for step, (errors, moved) in enumerate(zip(reference.errors, reference.moved, strict=True)):
        assert (moved == 0) == (step in (0, 4)), "theta_prev is where each experience began"
        assert max(errors.values()) < 1e-8, f"step {step}: {errors}"
    # Avalanche keeps the loss in float32
    assert [ours for ours, _ in reference.totals] == pytest.approx([total for _, total in reference.totals], rel=1e-5)
