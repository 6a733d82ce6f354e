"""The picture and the sentences that end a comparison."""

import pytest
from matplotlib.axes import Axes
from PIL import Image

from avalanche_gift.evaluation import draw_summary, in_words


def result(strategy, seed, accuracy):
    return {
        "strategy": strategy,
        "seed": seed,
        "experiences": ["a", "b"],
        "accuracy": accuracy,
        "metrics": {"transfer": accuracy[1][1], "last": sum(accuracy[2]) / 2},
    }


RESULTS = [
    result("finetune", 0, [[40.0, 50.0], [90.0, 30.0], [50.0, 90.0]]),
    result("finetune", 1, [[42.0, 52.0], [92.0, 32.0], [52.0, 92.0]]),
    result("gift", 0, [[40.0, 50.0], [88.0, 48.0], [86.0, 88.0]]),
]


def test_two_sentences_give_the_means_over_seeds():
    assert in_words(RESULTS) == (
        "Before learning the model gets 46 % of a task's test images right, on average over tasks; plain fine-tuning ends at "
        "71 % and scores 31 % on tasks it has yet to learn. Training on synthetic images beside each task, GIFT ends at 87 % "
        "and scores 48 % on tasks to come."
    )


def test_nothing_is_said_where_one_of_both_is_missing():
    assert in_words(RESULTS[:2]) == ""


def test_nothing_is_said_of_a_single_task_since_none_is_to_come():
    single = [result(name, 0, [[40.0, 50.0], [90.0, 30.0], [50.0, 90.0]]) for name in ("finetune", "gift")]
    single[1]["metrics"]["transfer"] = None
    assert in_words(single) == ""


def test_a_bound_without_transfer_does_not_silence_the_others():
    joint = result("joint", 0, [[40.0, 50.0], [90.0, 90.0], [90.0, 90.0]])
    joint["metrics"]["transfer"] = None
    assert in_words([*RESULTS, joint]) == in_words(RESULTS)


def test_the_lines_follow_the_order_of_training(monkeypatch, tmp_path):
    lines = []
    monkeypatch.setattr(Axes, "plot", lambda axes, x, y, **style: lines.append((list(x), list(y))))
    turned = result("gift", 0, [[40.0, 50.0], [30.0, 90.0], [20.0, 80.0], [70.0, 60.0]]) | {"training_order": [1, 1, 0]}
    with pytest.warns(UserWarning, match="legend"):  # of lines that were not drawn
        draw_summary([turned], tmp_path / "summary.png")
    assert lines == [([1, 2, 3], [90, 80, 65]), ([0, 1, 2], [45, 30, 20])]


@pytest.mark.parametrize("pictures", [0, 5, 24])
def test_the_picture_is_written_with_and_without_a_sheet(tmp_path, pictures):
    sheet = [(Image.new("RGB", (32, 32), "red"), "a photo of a red square.")] * pictures
    draw_summary(RESULTS, tmp_path / "summary.png", sheet)
    with Image.open(tmp_path / "summary.png") as picture:
        assert picture.format == "PNG"
        assert picture.size[0] > 1000
        colours = {colour for _, colour in picture.convert("RGB").getcolors(picture.size[0] * picture.size[1])}
    assert ((255, 0, 0) in colours) == bool(pictures), "the sheet is drawn, and only where there is one"
    assert [path.name for path in tmp_path.iterdir()] == ["summary.png"]
