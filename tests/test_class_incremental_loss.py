"""Over which classes a class-incremental step takes its cross-entropy: those of the step (ZSCL's protocol) or all seen."""

import copy

import pytest
import torch
import torch.nn.functional as F
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import ReplayPlugin
from torchvision.transforms import Compose
from world import COUNTS, Spy, augment, equal_weights, made_stream, plain, prompts_of, quiet, tiny_model, weights_of

from avalanche_gift.losses import MASKED_LOGIT
from avalanche_gift.training import EWC, L2, FineTune, Joint, LwF
from avalanche_gift.training.plugins.optimizer import clip_optimizer

SETTINGS = {"train_iterations": 3, "warmup_iterations": 1, "lr": 1e-3, "train_mb_size": 8, "evaluator": quiet}


def as_double(transform):
    return Compose([transform, torch.Tensor.double])


def double_stream():
    return made_stream(class_incremental=True, train_transform=as_double(augment()), eval_transform=as_double(plain()))


def reference(model, batches, rates, first_classes):
    """ZSCL's loop (spec E.3): the texts of the step alone, labels shifted to begin at 0, a new optimiser for every step."""
    optimizer = None
    for step, images, labels, rate in zip(*batches, rates, strict=True):
        if optimizer is None or optimizer.step_number != step:
            optimizer = torch.optim.AdamW(
                [p for p in model.clip.parameters() if p.requires_grad], betas=(0.9, 0.999), weight_decay=0
            )
            optimizer.step_number = step
        texts = F.normalize(model.clip.encode_text(model.tokenizer(prompts_of(step))), dim=-1)
        features = F.normalize(model.clip.encode_image(images), dim=-1)
        logits = model.clip.logit_scale.exp() * features @ texts.t()
        loss = F.cross_entropy(logits, labels - first_classes[step], label_smoothing=0.2)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def trained(loss):
    """Our strategy over three steps; its model, and the batches and rates it saw."""
    model = tiny_model().double()
    start = copy.deepcopy(model)
    spy = Spy(
        before_forward=lambda s: (s.experience.current_experience, s.mb_x.clone(), s.mb_y.clone()),
        after_update=lambda s: s.optimizer.param_groups[0]["lr"],
    )
    strategy = FineTune(model, class_incremental_loss=loss, plugins=[spy], optimizer=clip_optimizer(model), **SETTINGS)
    strategy.train(double_stream().train_stream)
    return start, model, list(zip(*spy.seen.before_forward, strict=True)), spy.seen.after_update


def largest_difference(one, other):
    """Over all weights but the key biases, whose gradient is zero but for rounding (spec A.4)."""
    differences = []
    for name, weight in one.clip.state_dict().items():
        difference = (weight - other.clip.state_dict()[name]).abs()
        if name.endswith("in_proj_bias"):
            third = len(difference) // 3
            difference[third : 2 * third] = 0
        differences.append(float(difference.max()))
    return max(differences)


def test_the_default_equals_the_references_own_loop_in_float64():
    start, ours, batches, rates = trained("step")
    reference(start, batches, rates, first_classes=(0, 3, 5))
    assert largest_difference(ours, start) < 1e-11


def test_over_all_classes_seen_it_is_another_optimisation():
    start, ours, batches, rates = trained("seen")
    reference(start, batches, rates, first_classes=(0, 3, 5))
    assert largest_difference(ours, start) > 1e-4


def columns_of(loss, *plugins, kind=FineTune):
    """For each step of the stream the columns that its rows really have."""
    spy = Spy(
        before_backward=lambda s: (
            s.experience.current_experience,
            set(s.mb_y.tolist()),
            tuple((s.mb_output[0] > MASKED_LOGIT / 2).nonzero().flatten().tolist()),
        )
    )
    strategy = kind(tiny_model(), class_incremental_loss=loss, plugins=[*plugins, spy], **SETTINGS)
    stream = made_stream(class_incremental=True).train_stream
    for unit in [stream] if kind is Joint else stream:
        strategy.train(unit, eval_streams=[])
    return spy.seen.before_backward


@pytest.mark.parametrize("kind", [FineTune, L2, EWC, LwF])
def test_every_strategy_takes_the_classes_of_the_step_by_default_and_all_seen_as_an_option(kind):
    steps = {step: columns for step, _, columns in columns_of("step", kind=kind)}
    assert steps == {0: (0, 1, 2), 1: (3, 4), 2: (5, 6, 7, 8)}
    seen = {step: columns for step, _, columns in columns_of("seen", kind=kind)}
    assert seen == {0: (0, 1, 2), 1: (0, 1, 2, 3, 4), 2: tuple(range(9))}


def test_replayed_samples_bring_their_classes_along():
    mixed = 0
    for step, labels, columns in columns_of("step", ReplayPlugin(mem_size=12)):
        own = set(range(sum(COUNTS[:step]), sum(COUNTS[: step + 1])))
        assert set(columns) == own | labels
        mixed += bool(labels - own)
    assert mixed


class AddNext(SupervisedPlugin):
    """Trains the first step on the data of the next, too."""

    def __init__(self, experience):
        super().__init__()
        self.other = experience

    def after_train_dataset_adaptation(self, strategy, **kwargs):
        if strategy.experience.current_experience == 0:
            strategy.adapted_dataset = strategy.adapted_dataset.concat(self.other.dataset)


def test_data_of_a_later_step_that_a_plugin_adds_has_its_columns():
    add = AddNext(made_stream(class_incremental=True).train_stream[1])
    assert {columns for step, _, columns in columns_of("step", add) if step == 0} == {(0, 1, 2, 3, 4)}


def test_joint_training_is_one_step_of_all_classes():
    assert {columns for *_, columns in columns_of("step", kind=Joint)} == {tuple(range(9))}


def test_task_incremental_training_does_not_depend_on_it():
    weights = []
    for loss in ("step", "seen"):
        strategy = FineTune(tiny_model(), class_incremental_loss=loss, **SETTINGS)
        strategy.train(made_stream().train_stream)
        weights.append(weights_of(strategy.model))
    assert equal_weights(*weights)


def test_another_word_is_refused():
    with pytest.raises(ValueError, match=r"class_incremental_loss.*'all'.*seen, step"):
        FineTune(tiny_model(), class_incremental_loss="all", evaluator=quiet)
