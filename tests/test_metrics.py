"""The four numbers against hand-worked matrices, an independent reference, and the paper's zero-shot line."""

import math

import numpy as np
import pytest

from avalanche_gift.evaluation.metrics import average, continual_metrics, forgetting, last, measured_metrics, transfer

ROWS = [[80, 40, 20], [70, 90, 30], [50, 60, 95]]

ZERO_SHOT = {
    "Aircraft": 24.3,
    "Caltech101": 88.4,
    "CIFAR100": 68.2,
    "DTD": 44.6,
    "EuroSAT": 54.9,
    "Flowers": 71.0,
    "Food": 88.5,
    "MNIST": 59.4,
    "OxfordPet": 89.0,
    "StanfordCars": 64.7,
    "SUN397": 65.2,
}
ORDER_I = list(ZERO_SHOT)
ORDER_II = ["StanfordCars", "Food", "MNIST", "OxfordPet", "Flowers", "SUN397"]
ORDER_II += ["Aircraft", "Caltech101", "DTD", "EuroSAT", "CIFAR100"]


def reference(rows):
    """The definitions again, by masks on an array; a row that is missing is NaN."""
    a = np.asarray(rows, float)
    m, n = a.shape
    full = np.full((n, n), np.nan)
    full[:m] = a
    ahead = np.where(np.triu(np.ones((n, n)), k=1) > 0, full, np.nan)
    own = np.diag(full)[:m]
    return {
        "transfer": np.nanmean(np.nanmean(ahead[:, 1:], axis=0)) if n > 1 else None,
        "average": np.nanmean(full),
        "last": a[-1].mean(),
        "forgetting": (a[-1, :m] - own).sum() / (m - 1) if m > 1 else None,
    }


def test_hand_worked_values_of_a_finished_stream():
    assert transfer(ROWS) == pytest.approx((40 + (20 + 30) / 2) / 2)  # 32.5
    assert average(ROWS) == pytest.approx(535 / 9)
    assert last(ROWS) == pytest.approx(205 / 3)
    assert forgetting(ROWS) == pytest.approx((50 - 80 + 60 - 90) / 2)  # -30


def test_hand_worked_values_of_a_stream_after_two_of_three_experiences():
    expected = {"transfer": (40 + 25) / 2, "average": 330 / 6, "last": 190 / 3, "forgetting": -10}
    assert continual_metrics(ROWS[:2]) == pytest.approx(expected)


def test_after_one_experience_transfer_is_that_row_without_its_first_column_and_nothing_is_forgotten_yet():
    assert continual_metrics(ROWS[:1]) == {
        "transfer": 30,
        "average": pytest.approx(140 / 3),
        "last": pytest.approx(140 / 3),
        "forgetting": None,
    }


def test_a_single_experience_has_neither_transfer_nor_forgetting():
    assert continual_metrics([[70]]) == {"transfer": None, "average": 70, "last": 70, "forgetting": None}


@pytest.mark.parametrize("n", [1, 2, 5, 11])
def test_all_numbers_agree_with_an_independent_reference_on_random_matrices(n):
    rng = np.random.default_rng(n)
    for m in range(1, n + 1):
        rows = rng.uniform(0, 100, (m, n)).tolist()
        for name, expected in reference(rows).items():
            assert continual_metrics(rows)[name] == (None if expected is None else pytest.approx(expected)), (name, m)


def test_gaining_on_old_experiences_gives_positive_forgetting():
    assert forgetting([[50, 0], [60, 70]]) == 10


@pytest.mark.parametrize(("order", "expected"), [(ORDER_I, 69.4), (ORDER_II, 65.4)])
def test_the_zero_shot_line_of_the_paper_comes_out_of_equal_rows(order, expected):
    rows = [[ZERO_SHOT[name] for name in order]] * len(order)
    assert sorted(order) == sorted(ZERO_SHOT)
    assert transfer(rows) == pytest.approx(expected, abs=0.0501)
    assert average(rows) == last(rows) == pytest.approx(65.3, abs=0.0501)
    assert forgetting(rows) == 0


# ZSCL's row of Tables 9 and 10, a number a data set in task order: Transfer (none for the first), Average, Last.
ZSCL_PER_DATA_SET = {
    (68.1, 75.4, 83.6): (
        [None, 86.0, 67.4, 45.4, 50.4, 69.1, 87.6, 61.8, 86.8, 60.1, 66.8],
        [45.1, 92.0, 80.1, 64.3, 79.5, 81.6, 89.6, 75.2, 88.9, 64.7, 68.0],
        [40.6, 92.2, 81.3, 70.5, 94.8, 90.5, 91.9, 98.7, 93.9, 85.3, 80.2],
    ),
    (64.2, 74.5, 83.4): (
        [None, 88.3, 57.5, 84.7, 68.1, 64.8, 21.1, 88.2, 45.3, 55.2, 68.2],
        [81.7, 91.3, 91.1, 91.0, 82.9, 72.5, 33.6, 89.7, 53.3, 62.8, 69.9],
        [78.2, 91.1, 97.6, 92.5, 87.4, 78.2, 45.0, 92.3, 72.7, 96.2, 86.3],
    ),
}


@pytest.mark.parametrize(("published", "columns"), ZSCL_PER_DATA_SET.items())
def test_zscls_published_triples_come_out_of_matrices_with_its_published_columns(published, columns):
    n, rows = 11, [[0.0] * 11 for _ in range(11)]
    for j, (before, mean, final) in enumerate(zip(*columns, strict=True)):
        for i in range(j):
            rows[i][j] = before
        rows[n - 1][j] = final
        between = range(j, n - 1)  # after task j until the last but one: whatever gives the published mean of the column
        for i in between:
            rows[i][j] = (n * mean - j * (before or 0) - final) / len(between)
    assert transfer(rows) == pytest.approx(published[0], abs=0.1)
    assert average(rows) == pytest.approx(published[1], abs=0.1)
    assert last(rows) == pytest.approx(published[2], abs=0.1)


@pytest.mark.parametrize("metric", [transfer, average, last, forgetting, continual_metrics])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([[]], "at least one row"),
        ([[1, 2], [3]], r"equal length, got lengths \[1, 2\]"),
        ([[1, 2], [3, 4], [5, 6]], "got 3 rows and 2 columns"),
        ([[1, math.nan]], "finite number at row 0, column 1, got nan"),
        ([[1, 2], [math.inf, 4]], "finite number at row 1, column 0, got inf"),
        ([[1, None]], "finite number at row 0, column 1, got None"),
    ],
)
def test_a_matrix_that_is_none_is_refused_with_what_came(metric, rows, message):
    with pytest.raises(ValueError, match=message):
        metric(rows)


def test_hand_worked_values_of_another_order():
    rows, order = [[20, 30, 90], [80, 20, 70], [70, 60, 50]], (2, 0, 1)
    assert transfer(rows, order) == (20 + (30 + 20) / 2) / 2  # 22.5; read as 0, 1, 2 it would be (30 + (90 + 70) / 2) / 2
    assert forgetting(rows, order) == (50 - 90 + 70 - 80) / 2  # -25; read as 0, 1, 2 it would be (70 - 20 + 60 - 20) / 2
    assert average(rows, order) == pytest.approx(490 / 9) and last(rows, order) == 60


def test_an_experience_may_come_twice_or_never():
    rows, order = [[50, 20, 5], [40, 90, 15], [80, 60, 40]], (0, 1, 0)
    assert continual_metrics(rows, order) == {
        "transfer": (20 + (5 + 15 + 40) / 3) / 2,  # column 1 before its training, and column 2, which has none, throughout
        "average": pytest.approx(400 / 9),
        "last": 60,
        "forgetting": 60 - 90,  # of experience 1 alone: 0 is the one trained latest
    }
    assert continual_metrics([[50], [60]], (0, 0)) == {"transfer": None, "average": 55, "last": 60, "forgetting": None}


@pytest.mark.parametrize("n", [2, 3, 7])
def test_the_order_and_the_columns_may_be_renamed_together(n):
    rng = np.random.default_rng(n)
    rows, order = rng.uniform(0, 100, (n, n)), rng.permutation(n).tolist()
    renamed = np.empty_like(rows)
    renamed[:, order] = rows
    assert continual_metrics(renamed.tolist(), order) == pytest.approx(continual_metrics(rows.tolist()))


@pytest.mark.parametrize("metric", [transfer, average, last, forgetting, continual_metrics])
@pytest.mark.parametrize("order", [(0,), (0, 1, 0), (0, 2), (-1, 0)])
def test_an_order_that_does_not_fit_the_matrix_is_refused(metric, order):
    with pytest.raises(ValueError, match=r"order of 2 experiences from 0 to 1, one per row, got \["):
        metric([[1, 2], [3, 4]], order)


def test_of_a_matrix_with_holes_what_needs_a_missing_cell_is_none():
    nothing = dict.fromkeys(("transfer", "average", "last", "forgetting"))
    assert measured_metrics([[None, 20], [60, 70]], [[0], [1]]) == nothing | {"transfer": 20, "last": 65}
    assert measured_metrics([[80, None], [60, 70]], [[0], [1]]) == nothing | {"last": 65, "forgetting": -20}
    assert measured_metrics([[80, 20], [60, None]], [[0], [1]]) == nothing | {"transfer": 20, "forgetting": -20}
    assert measured_metrics([[80, 20], [None, 70]], [[0], [1]]) == nothing | {"transfer": 20}


def test_where_a_training_is_not_known_transfer_and_forgetting_are_not_either():
    assert measured_metrics([[80, 20], [60, 70]], [[0], None]) == {
        "transfer": None, "average": 57.5, "last": 65, "forgetting": None
    }  # fmt: skip


def test_experiences_trained_together_have_no_own_row_before_the_latest_training():
    assert measured_metrics([[80, 20, 30], [60, 70, 50]], [[0, 1], [2]]) == {
        "transfer": 30, "average": pytest.approx(310 / 6), "last": 60, "forgetting": (60 - 80 + 70 - 20) / 2
    }  # fmt: skip
    assert measured_metrics([[80, 20]], [[0, 1]]) == {"transfer": None, "average": 50, "last": 50, "forgetting": None}
