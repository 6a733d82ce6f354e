"""The losses against hand-worked values and against slow loops over single numbers, in value and gradient."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from avalanche_gift.losses import (
    MASKED_LOGIT,
    contrastive_distillation,
    contrastive_logits,
    feature_distillation,
    image_text_alignment,
    reverse_kl_distillation,
    smoothed_cross_entropy,
    soft_cross_entropy,
)

LN2, LN3 = math.log(2), math.log(3)


def normal(generator: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64) * scale


def slow_probabilities(row: list[Tensor]) -> list[Tensor]:
    top = max(x.detach() for x in row)
    exponentials = [(x - top).exp() for x in row]
    return [e / sum(exponentials) for e in exponentials]


def slow_rows(matrix: Tensor) -> list[list[Tensor]]:
    return [[matrix[i, j] for j in range(matrix.shape[1])] for i in range(matrix.shape[0])]


def slow_cross_entropy(targets: list[list], logits: Tensor) -> Tensor:
    """Mean over rows of -sum target * log softmax, number by number."""
    total = torch.zeros((), dtype=torch.float64)
    for target, row in zip(targets, slow_rows(logits), strict=True):
        for share, probability in zip(target, slow_probabilities(row), strict=True):
            total = total - share * probability.log()
    return total / len(targets)


def slow_distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for s, t in ((student, teacher), (student.t(), teacher.t())):
        targets = [[float(p) for p in slow_probabilities(row)] for row in slow_rows(t / temperature)]
        total = total + slow_cross_entropy(targets, s / temperature)
    return temperature**2 * total


def slow_reverse_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for s, t in ((student, teacher), (student.t(), teacher.t())):
        for s_row, t_row in zip(slow_rows(s / temperature), slow_rows(t.detach() / temperature), strict=True):
            for q, p in zip(slow_probabilities(s_row), slow_probabilities(t_row), strict=True):
                total = total + q * (q.log() - p.log()) / len(s)
    return temperature**2 * total


def slow_alignment(student: Tensor, label_smoothing: float, equal: Tensor | None = None) -> Tensor:
    """Eq. 5 with targets spread evenly over equal prompts, as the reference has it; identity without `equal`."""
    equal = torch.eye(len(student)) if equal is None else equal.double()
    width = len(student)
    targets = [
        [(1 - label_smoothing) * float(equal[i, j] / equal[i].sum()) + label_smoothing / width for j in range(width)]
        for i in range(width)
    ]
    return slow_cross_entropy(targets, student) + slow_cross_entropy(targets, student.t())


def assert_same_value_and_gradient(fast, slow, *inputs: Tensor) -> None:
    copies = [[x.clone().requires_grad_() for x in inputs] for _ in range(2)]
    values = [function(*of_one) for function, of_one in zip((fast, slow), copies, strict=True)]
    assert values[1].abs() > 1e-3, "a reference near zero shows little"
    torch.testing.assert_close(values[0], values[1], rtol=1e-11, atol=1e-12)
    gradients = [torch.autograd.grad(value, of_one) for value, of_one in zip(values, copies, strict=True)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-12)


def test_contrastive_logits_are_scaled_cosines_of_images_by_texts():
    images = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    texts = torch.tensor([[0.0, 1.0], [0.8, 0.6], [1.0, 0.0]])
    # Second image with second text: 0.6 * 0.8 + 0.8 * 0.6 = 0.96.
    expected = 10 * torch.tensor([[0.0, 0.8, 1.0], [0.8, 0.96, 0.6]])
    torch.testing.assert_close(contrastive_logits(image_features=images, text_features=texts, logit_scale=10.0), expected)


def test_smoothed_cross_entropy_has_the_hand_worked_value():
    # Softmax (3/4, 1/4). Smoothing 0.2 over two classes makes the targets (0.9, 0.1):
    # -(0.9 ln 3/4 + 0.1 ln 1/4) = ln 4 - 0.9 ln 3. The second row is the first one mirrored.
    logits = torch.tensor([[LN3, 0.0], [0.0, LN3]], dtype=torch.float64)
    value = smoothed_cross_entropy(logits, torch.tensor([0, 1]), 0.2)
    assert value.item() == pytest.approx(2 * LN2 - 0.9 * LN3, abs=1e-12)


def test_smoothing_skips_masked_columns_in_the_hand_worked_value():
    # As above with a third column that is no class: had it a share of the smoothing, the targets were (13/15, 1/15).
    logits = torch.tensor([[LN3, MASKED_LOGIT, 0.0]], dtype=torch.float64)
    assert smoothed_cross_entropy(logits, torch.tensor([0]), 0.2).item() == pytest.approx(2 * LN2 - 0.9 * LN3, abs=1e-12)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_smoothed_cross_entropy_without_masked_columns_is_torchs(generator, label_smoothing):
    labels = torch.tensor([0, 4, 2, 2])
    assert_same_value_and_gradient(
        lambda logits: smoothed_cross_entropy(logits, labels, label_smoothing),
        lambda logits: F.cross_entropy(logits, labels, label_smoothing=label_smoothing),
        normal(generator, 4, 5, scale=30),
    )


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_masked_columns_change_nothing(generator, label_smoothing):
    own = [[0, 1, 2], [3, 5], [0, 1, 2], [4]]  # the classes of each row, of six in all; a row may have only one
    labels = [2, 3, 0, 4]
    masked = torch.ones(4, 6, dtype=torch.bool)
    for row, columns in enumerate(own):
        masked[row, columns] = False

    def slow(logits: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for row, (columns, label) in enumerate(zip(own, labels, strict=True)):
            target = [(1 - label_smoothing) * (c == label) + label_smoothing / len(columns) for c in columns]
            total = total + slow_cross_entropy([target], logits[row : row + 1, columns])
        return total / len(own)

    assert_same_value_and_gradient(
        lambda logits: smoothed_cross_entropy(logits.masked_fill(masked, MASKED_LOGIT), torch.tensor(labels), label_smoothing),
        slow,
        normal(generator, 4, 6, scale=30),
    )


def test_masked_columns_receive_no_gradient(generator):
    logits = normal(generator, 2, 4, scale=30)
    logits[:, 1] = MASKED_LOGIT
    logits.requires_grad_()
    smoothed_cross_entropy(logits, torch.tensor([0, 2]), 0.2).backward()
    assert (logits.grad[:, 1] == 0).all()
    assert (logits.grad[:, [0, 2, 3]] != 0).all()


def test_soft_cross_entropy_equals_the_slow_loop_on_a_rectangle(generator):
    teacher = normal(generator, 3, 5, scale=3)
    targets = [[float(p) for p in slow_probabilities(row)] for row in slow_rows(teacher)]
    assert_same_value_and_gradient(
        lambda student: soft_cross_entropy(student_logits=student, teacher_logits=teacher),
        lambda student: slow_cross_entropy(targets, student),
        normal(generator, 3, 5, scale=3),
    )


def test_contrastive_distillation_has_the_hand_worked_value():
    # At T = 2 the teacher's rows are (3/4, 1/4) and (1/4, 3/4), the student's (1/2, 1/2) and (1/3, 2/3):
    # row 1: -(3/4 + 1/4) ln 1/2 = ln 2;  row 2: -(1/4 ln 1/3 + 3/4 ln 2/3) = ln 3 - 3/4 ln 2.
    # Both matrices are symmetric, so the columns give the same. T^2 * (rows + columns), each a mean of two.
    student = 2 * torch.tensor([[0.0, 0.0], [0.0, LN2]], dtype=torch.float64)
    teacher = 2 * torch.tensor([[LN3, 0.0], [0.0, LN3]], dtype=torch.float64)
    value = contrastive_distillation(student_logits=student, teacher_logits=teacher, temperature=2.0)
    assert value.item() == pytest.approx(4 * 2 * (LN2 + LN3 - 0.75 * LN2) / 2, abs=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_contrastive_distillation_equals_the_slow_loop(generator, temperature):
    teacher = normal(generator, 4, 4, scale=5)
    assert_same_value_and_gradient(
        lambda student: contrastive_distillation(student_logits=student, teacher_logits=teacher, temperature=temperature),
        lambda student: slow_distillation(student, teacher, temperature),
        normal(generator, 4, 4, scale=5),
    )


def test_contrastive_distillation_has_the_gradient_of_the_forward_kl(generator):
    student, teacher = normal(generator, 4, 4, scale=5).requires_grad_(), normal(generator, 4, 4, scale=5)

    def kl(s: Tensor, t: Tensor) -> Tensor:  # KL(teacher || student), by torch's own function
        return F.kl_div((s / 2).log_softmax(1), (t / 2).log_softmax(1), reduction="batchmean", log_target=True)

    divergence = 4 * (kl(student, teacher) + kl(student.t(), teacher.t()))
    value = contrastive_distillation(student_logits=student, teacher_logits=teacher, temperature=2.0)
    ours, theirs = (torch.autograd.grad(x, student)[0] for x in (value, divergence))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    # The values differ by the teacher's entropy, which is positive.
    assert (value - divergence).item() > 0.1


def test_distillation_gradients_vanish_at_agreement_and_the_reverse_kl_too(generator):
    teacher = normal(generator, 5, 5, scale=5)
    for loss in (contrastive_distillation, reverse_kl_distillation):
        student = teacher.clone().requires_grad_()
        value = loss(student_logits=student, teacher_logits=teacher)
        value.backward()
        assert student.grad.abs().max() < 1e-14
        assert (value.item() == 0) == (loss is reverse_kl_distillation)


@pytest.mark.parametrize("loss", [contrastive_distillation, reverse_kl_distillation])
def test_the_temperature_divides_the_logits_and_its_square_multiplies_the_loss(generator, loss):
    student, teacher = normal(generator, 3, 3), normal(generator, 3, 3)
    at_one = loss(student_logits=student, teacher_logits=teacher, temperature=1.0)
    at_three = loss(student_logits=3 * student, teacher_logits=3 * teacher, temperature=3.0)
    torch.testing.assert_close(at_three, 9 * at_one)
    default = loss(student_logits=2 * student, teacher_logits=2 * teacher)
    torch.testing.assert_close(default, 4 * at_one)


@pytest.mark.parametrize("loss", [contrastive_distillation, reverse_kl_distillation])
def test_distillation_is_the_same_with_images_and_texts_swapped(generator, loss):
    student, teacher = normal(generator, 4, 4), normal(generator, 4, 4)
    as_is = loss(student_logits=student, teacher_logits=teacher)
    torch.testing.assert_close(loss(student_logits=student.t(), teacher_logits=teacher.t()), as_is)
    # Not so when only one is transposed.
    assert (loss(student_logits=student.t(), teacher_logits=teacher) - as_is).abs() > 1e-3


@pytest.mark.parametrize("loss", [contrastive_distillation, reverse_kl_distillation, soft_cross_entropy])
def test_the_teacher_receives_no_gradient(generator, loss):
    student, teacher = (normal(generator, 3, 3).requires_grad_() for _ in range(2))
    loss(student_logits=student, teacher_logits=teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().max() > 0


def test_reverse_kl_has_the_hand_worked_value_and_is_not_the_forward_one():
    # T = 2: student rows and columns (3/4, 1/4) or mirrored, teacher (1/2, 1/2) everywhere.
    # KL(student || teacher) = 3/4 ln 3/2 + 1/4 ln 1/2 = 3/4 ln 3 - ln 2; the forward one would be ln 2 - 1/2 ln 3.
    student = 2 * torch.tensor([[LN3, 0.0], [0.0, LN3]], dtype=torch.float64)
    value = reverse_kl_distillation(student_logits=student, teacher_logits=torch.zeros_like(student), temperature=2.0)
    assert value.item() == pytest.approx(8 * (0.75 * LN3 - LN2), abs=1e-12)
    assert abs(value.item() - 8 * (LN2 - 0.5 * LN3)) > 0.05


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_reverse_kl_equals_the_slow_loop(generator, temperature):
    teacher = normal(generator, 4, 4, scale=3)
    assert_same_value_and_gradient(
        lambda student: reverse_kl_distillation(student_logits=student, teacher_logits=teacher, temperature=temperature),
        lambda student: slow_reverse_kl(student, teacher, temperature),
        normal(generator, 4, 4, scale=3),
    )


def test_distillation_stays_finite_over_masked_columns(generator):
    student, teacher = (normal(generator, 3, 3, scale=50) for _ in range(2))
    student[:, 1] = teacher[:, 1] = MASKED_LOGIT
    student.requires_grad_()
    for loss in (contrastive_distillation, reverse_kl_distillation):
        value = loss(student_logits=student, teacher_logits=teacher)
        assert value.isfinite()
        assert torch.autograd.grad(value, student)[0].isfinite().all()


@pytest.mark.parametrize("loss", [contrastive_distillation, reverse_kl_distillation])
def test_distillation_refuses_unequal_shapes_and_temperatures_that_are_not_positive(loss):
    square = torch.zeros(2, 2)
    with pytest.raises(ValueError, match=r"one shape, got \(2, 2\) and \(2, 3\)"):
        loss(student_logits=square, teacher_logits=torch.zeros(2, 3))
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"positive temperature, got {temperature}"):
            loss(student_logits=square, teacher_logits=square, temperature=temperature)


def test_feature_distillation_has_the_hand_worked_value():
    # Images: mean of (1^2, 1^2) = 1. Texts: mean of (0.4^2, 0.8^2) = 0.4. Means over the elements, not sums over a row.
    value = feature_distillation(
        student_image_features=torch.tensor([[1.0, 0.0]]),
        teacher_image_features=torch.tensor([[0.0, 1.0]]),
        student_text_features=torch.tensor([[1.0, 0.0]]),
        teacher_text_features=torch.tensor([[0.6, 0.8]]),
    )
    assert value.item() == pytest.approx(1.4)


def test_feature_distillation_equals_the_slow_loop_and_leaves_the_teacher_alone(generator):
    teachers = [normal(generator, 3, 4).requires_grad_() for _ in range(2)]

    def fast(images: Tensor, texts: Tensor) -> Tensor:
        return feature_distillation(
            student_image_features=images,
            teacher_image_features=teachers[0],
            student_text_features=texts,
            teacher_text_features=teachers[1],
        )

    def slow(images: Tensor, texts: Tensor) -> Tensor:
        pairs = [(images, teachers[0].detach()), (texts, teachers[1].detach())]
        return sum((s[i, j] - t[i, j]) ** 2 / s.numel() for s, t in pairs for i in range(3) for j in range(4))

    students = normal(generator, 3, 4), normal(generator, 3, 4)
    assert_same_value_and_gradient(fast, slow, *students)
    fast(*(x.requires_grad_() for x in students)).backward()
    assert [teacher.grad for teacher in teachers] == [None, None]


def test_alignment_has_the_hand_worked_value():
    # Rows and columns (3/4, 1/4) or mirrored; targets (0.9, 0.1): ln 4 - 0.9 ln 3 in each direction.
    logits = torch.tensor([[LN3, 0.0], [0.0, LN3]], dtype=torch.float64)
    assert image_text_alignment(student_logits=logits).item() == pytest.approx(2 * (2 * LN2 - 0.9 * LN3), abs=1e-12)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_alignment_equals_the_slow_loop(generator, label_smoothing):
    assert_same_value_and_gradient(
        lambda logits: image_text_alignment(student_logits=logits, label_smoothing=label_smoothing),
        lambda logits: slow_alignment(logits, label_smoothing),
        normal(generator, 4, 4, scale=5),
    )


def test_alignment_with_equal_prompts_is_that_of_targets_spread_over_them(generator):
    prompts = torch.tensor([0, 1, 0, 2, 0, 1])  # pairs 0, 2 and 4 share a prompt, and so do 1 and 5
    equal = prompts[:, None] == prompts[None, :]
    images, texts = F.normalize(normal(generator, 6, 8), dim=1), F.normalize(normal(generator, 3, 8), dim=1)

    def logits(images: Tensor, texts: Tensor) -> Tensor:
        return contrastive_logits(image_features=images, text_features=texts[prompts], logit_scale=20.0)

    assert_same_value_and_gradient(
        lambda *features: image_text_alignment(student_logits=logits(*features)),
        lambda *features: slow_alignment(logits(*features), 0.2, equal),
        images,
        texts,
    )
    # The comparison can fail: with texts of their own the two targets differ.
    other = normal(generator, 6, 6)
    assert (slow_alignment(other, 0.2, equal) - image_text_alignment(student_logits=other)).abs() > 1e-2


@pytest.mark.parametrize("shape", [(2, 3), (4,)])
def test_alignment_refuses_what_is_not_square(shape):
    with pytest.raises(ValueError, match=r"square matrix, got logits of shape \(" + str(shape[0])):
        image_text_alignment(student_logits=torch.zeros(shape))


def test_every_loss_passes_gradcheck(generator):
    teacher = normal(generator, 3, 3)
    mask = torch.tensor([[False, False, True], [False, False, False], [True, False, False]])
    labels = torch.tensor([1, 0, 2])
    losses = [
        lambda x: contrastive_distillation(student_logits=x, teacher_logits=teacher),
        lambda x: reverse_kl_distillation(student_logits=x, teacher_logits=teacher),
        lambda x: image_text_alignment(student_logits=x),
        lambda x: smoothed_cross_entropy(x.masked_fill(mask, MASKED_LOGIT), labels, 0.2),
        lambda x: contrastive_logits(image_features=x, text_features=x + 1, logit_scale=3.0),
        lambda x: feature_distillation(
            student_image_features=x,
            teacher_image_features=teacher,
            student_text_features=x.square(),
            teacher_text_features=teacher,
        ),
    ]
    for loss in losses:
        assert torch.autograd.gradcheck(loss, normal(generator, 3, 3).requires_grad_())
