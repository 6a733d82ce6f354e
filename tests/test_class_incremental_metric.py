"""`ClassIncrementalAccuracy` where accuracies are told beforehand: experience k has labels 2k and 2k + 1."""

import json

import pytest
from avalanche.benchmarks import benchmark_from_datasets, split_online_stream
from scripted import dataset, scripted

from avalanche_gift.evaluation import ClassIncrementalAccuracy


def steps(sizes=(10, 10, 10), common=False):
    """Test sets of these sizes, or one with images of all classes."""
    train = [dataset(k, labels=(2 * k, 2 * k + 1)) for k in range(3)]
    test = [dataset(0, 30, labels=range(6))] if common else [dataset(k, n, (2 * k, 2 * k + 1)) for k, n in enumerate(sizes)]
    return benchmark_from_datasets(train=train, test=test)


def told(metric, width=6):
    """A strategy that classifies among `width` classes and knows the right label of every image of `steps()`."""
    strategy = scripted(metric, classes=width)
    strategy.model.answers = {(k, i): 2 * k + i % 2 for k in range(3) for i in range(40)}
    return strategy


def cil(found):
    return {name.partition("/")[0]: value for name, value in found.items() if name.startswith("CIL")}


def test_steps_in_another_order_pool_what_was_trained_by_then():
    stream, strategy = steps((10, 30, 20)), told(ClassIncrementalAccuracy())
    for experience, right, expected in (
        (2, {2: 10}, {"CILAccuracy": 50, "CILAverage": 50, "CILLast": 50}),
        (0, {2: 6, 0: 9}, {"CILAccuracy": 50, "CILAverage": 50, "CILLast": 50}),
        (2, {2: 20, 0: 1}, {"CILAccuracy": 70, "CILAverage": 170 / 3, "CILLast": 70}),  # the same once more is a step, too
        (1, {2: 2, 0: 1, 1: 3}, {"CILAccuracy": 10, "CILAverage": 45, "CILLast": 10}),
    ):
        strategy.train(stream.train_stream[experience])
        strategy.model.right = right
        assert cil(strategy.eval(stream.test_stream)) == pytest.approx(expected)


def test_the_trained_experiences_alone_are_enough_in_any_order():
    stream, strategy = steps((10, 30, 20)), told(ClassIncrementalAccuracy())
    strategy.train(stream.train_stream[2])
    strategy.model.right = {2: 10}
    assert not cil(strategy.eval(stream.test_stream[:2])), "without the one that was trained"
    assert cil(strategy.eval(stream.test_stream[2]))["CILAccuracy"] == 50


def test_of_one_common_test_set_the_classes_seen_so_far_count():
    metric, stream = ClassIncrementalAccuracy(), steps(common=True)
    strategy = told(metric)
    strategy.model.answers = {(0, i): i % 6 for i in range(30)}
    strategy.eval(stream.test_stream)
    accuracies = []
    for experience, right, accuracy in (
        (1, 15, 50),  # images 2, 3, 8, 9, 14 | 15, 20, 21, 26, 27: five of ten are among the first 15
        (0, 24, 80),  # of 0 to 3, 6 to 9, ... 24 to 27: sixteen of twenty are among the first 24
        (2, 6, 20),
    ):
        strategy.train(stream.train_stream[experience])
        strategy.model.right = {0: right}
        accuracies.append(accuracy)
        found = strategy.eval(stream.test_stream)
        assert cil(found) == pytest.approx(
            {"CILAccuracy": accuracy, "CILAverage": sum(accuracies) / len(accuracies), "CILLast": accuracy}
        )
    again = ClassIncrementalAccuracy()
    again.load_state_dict(json.loads(json.dumps(metric.state_dict())))
    assert again.result() == metric.result() == pytest.approx({"accuracy": 20, "last": 20, "average": 50})
    resumed = told(again)
    resumed.model.answers, resumed.model.right = strategy.model.answers, {0: 30}
    assert cil(resumed.eval(stream.test_stream))["CILAccuracy"] == 100, "the classes of earlier steps are known after a resume"


def test_nothing_outlives_the_training_or_evaluation_that_follows():
    stream, strategy = steps(), told(ClassIncrementalAccuracy())
    strategy.train(stream.train_stream[0])
    assert cil(strategy.eval(stream.test_stream))
    assert not cil(strategy.train(stream.train_stream[1]))
    assert not cil(strategy.eval(stream.test_stream[:1])), "experience 1 is not among them"
    assert not cil(strategy.eval(steps().test_stream)), "another benchmark"


@pytest.mark.filterwarnings("ignore")
def test_pieces_of_an_experience_are_one_step():
    metric, stream = ClassIncrementalAccuracy(), steps()
    strategy = told(metric)
    for number, piece in enumerate(split_online_stream(stream.train_stream, experience_size=5)):
        strategy.train(piece)
        assert metric.result() == {}
        strategy.model.right = {0: number, 1: number, 2: number}
        found = strategy.eval(stream.test_stream)
    assert cil(found) == pytest.approx({"CILAccuracy": 50, "CILAverage": 30, "CILLast": 50})


def test_images_classified_among_fewer_classes_than_were_seen_are_refused():
    stream, strategy = steps(), told(ClassIncrementalAccuracy())
    for experience in (0, 1):
        strategy.train(stream.train_stream[experience])
    forward, widths = strategy.model.forward, {0: 3, 1: 4, 2: 6}
    strategy.model.forward = lambda x: forward(x)[:, : widths[int(x[0, 0])]]
    wanted = "among all classes seen, at least 4, got 3; let the data name its classes"
    with pytest.raises(ValueError, match=wanted):
        strategy.eval(stream.test_stream)
    widths[0] = 4
    assert cil(strategy.eval(stream.test_stream)), "four are enough"


def test_how_experiences_to_come_are_classified_is_of_no_concern():
    stream, strategy = steps(), told(ClassIncrementalAccuracy())
    for experience in (2, 1):
        strategy.train(stream.train_stream[experience])
    forward = strategy.model.forward
    strategy.model.forward = lambda x: forward(x)[:, : 2 if int(x[0, 0]) == 0 else 6]
    assert cil(strategy.eval(stream.test_stream))


def test_all_of_a_shorter_test_stream_is_needed():
    train = [dataset(k, labels=(2 * k, 2 * k + 1)) for k in range(3)]
    test = [dataset(0, labels=(0, 1, 2)), dataset(1, labels=(3, 4, 5))]
    stream, strategy = benchmark_from_datasets(train=train, test=test), scripted(ClassIncrementalAccuracy(), classes=6)
    strategy.model.answers = {(k, i): 3 * k + i % 3 for k in range(2) for i in range(10)}
    strategy.train(stream.train_stream[1])
    strategy.model.right = {0: 9, 1: 1}  # of class 2 there are three images, of class 3 four
    assert not cil(strategy.eval(stream.test_stream[0])), "class 3 is in the other part"
    assert cil(strategy.eval(stream.test_stream))["CILAccuracy"] == pytest.approx(100 * (3 + 1) / (3 + 4))


def test_a_state_from_before_there_was_an_order_is_one_of_steps_in_order():
    metric = ClassIncrementalAccuracy()
    metric.load_state_dict({"trained": 2, "accuracies": [[1, 80.0], [2, 60.0]]})
    assert metric.result() == {"accuracy": 60.0, "last": 60.0, "average": 70.0}
    strategy, stream = told(metric), steps()
    strategy.train(stream.train_stream[2])
    strategy.model.right = {0: 1, 1: 2, 2: 3}
    assert cil(strategy.eval(stream.test_stream))["CILAverage"] == pytest.approx((80 + 60 + 20) / 3)
