"""Metrics of any order and number of trainings, worked by hand: what is undefined is absent, never stale."""

import copy
import json

import pytest
from avalanche.benchmarks import (
    CLStream,
    benchmark_from_datasets,
    benchmark_with_validation_stream,
    nc_benchmark,
    split_online_stream,
)
from avalanche.benchmarks.scenarios.dataset_scenario import DatasetExperience
from avalanche.benchmarks.scenarios.online import split_continuous_linear_decay_stream
from scripted import benchmark, dataset, evaluate, run, scripted
from world import Pictures, augment, made_stream, plain, quiet, tiny_model

from avalanche_gift.benchmarks import Task, clip_benchmark
from avalanche_gift.evaluation import AccuracyMatrix, ClassIncrementalAccuracy
from avalanche_gift.training import FineTune

# Avalanche and what it imports warn about deprecations of their own; none is about the metric.
pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = [[10, 20, 30], [20, 30, 90], [80, 20, 70], [70, 60, 50]]


def key(name):
    return f"{name}/eval_phase/test_stream"


def published(found):
    """The last value of each metric by its short name, without the figure."""
    return {name.partition("/")[0]: value for name, value in found.items() if name.endswith("test_stream")}


def matrix(**arguments):
    return AccuracyMatrix(figure=False, **arguments)


def test_transfer_and_forgetting_go_by_which_experience_was_trained_when():
    metric = matrix()
    found = run(scripted(metric), benchmark(), (2, 0, 1), ROWS)
    assert published(found) == pytest.approx(
        {
            "Transfer": (20 + (30 + 20) / 2)
            / 2,  # 22.5: column 0 before its training, which is the second; column 1, the third
            "Average": (140 + 170 + 180) / 9,
            "Last": 60,
            "Forgetting": (50 - 90 + 70 - 80) / 2,  # -25: column 2 since the first training, column 0 since the second
        }
    )
    assert metric.rows() == ROWS
    assert metric.training_order == [2, 0, 1]


def test_after_each_training_the_numbers_are_those_of_the_trainings_so_far():
    strategy = scripted(matrix())
    run(strategy, benchmark(), (2, 0, 1), ROWS)
    history = {name.partition("/")[0]: values for name, (_, values) in strategy.evaluator.get_all_metrics().items()}
    assert history["ZeroShot"] == [20]
    assert history["Transfer"] == pytest.approx([(20 + 30) / 2, 22.5, 22.5])
    assert history["Average"] == pytest.approx([140 / 3, 310 / 6, 490 / 9])
    assert history["Last"] == pytest.approx([140 / 3, 170 / 3, 60])
    assert history["Forgetting"] == pytest.approx([70 - 90, -25])


def test_an_experience_that_is_trained_twice_is_compared_with_its_later_training():
    found = run(scripted(matrix()), benchmark(2, 2), (0, 0, 1), [[0, 10], [50, 20], [80, 40], [70, 90]])
    assert published(found) == pytest.approx(
        {"Transfer": (20 + 40) / 2, "Average": (70 + 120 + 160) / 6, "Last": 80, "Forgetting": 70 - 80}
    )


def test_an_experience_that_comes_back_is_not_forgotten_before_the_last_row():
    found = run(scripted(matrix()), benchmark(2, 2), (0, 1, 0), [[0, 10], [50, 20], [40, 90], [80, 60]])
    assert published(found) == pytest.approx(
        {"Transfer": 20, "Average": (70 + 130 + 140) / 6, "Last": 70, "Forgetting": 60 - 90}
    )


def test_the_same_experience_over_and_over_has_nothing_to_forget_but_all_others_to_transfer_to():
    found = run(scripted(matrix()), benchmark(2, 2), (1, 1), [[0, 10], [50, 20], [40, 90]])
    assert published(found) == pytest.approx({"Transfer": 45, "Average": 50, "Last": 65})


def test_average_moves_with_last_on_one_common_test_set_whose_transfer_and_forgetting_are_not_defined():
    found = run(scripted(matrix()), benchmark(3, 1), (0, 1, 2), [[0], [30], [60], [90]])
    assert published(found) == pytest.approx({"Average": 60, "Last": 90})


def test_with_fewer_test_than_training_experiences_which_belong_together_is_not_known():
    metric = matrix()
    found = run(scripted(metric), benchmark(3, 2), (0, 1, 2), [[0, 10], [30, 20], [60, 70], [50, 60]])
    assert published(found) == pytest.approx({"Average": (50 + 130 + 110) / 6, "Last": 55})
    assert metric.training_order is None


def test_a_test_experience_that_is_never_trained_counts_for_transfer_to_the_end():
    found = run(scripted(matrix()), benchmark(2, 3), (1, 0), [[0, 0, 0], [10, 90, 30], [80, 60, 50]])
    assert published(found) == pytest.approx(
        {"Transfer": (10 + (30 + 50) / 2) / 2, "Average": 320 / 6, "Last": 190 / 3, "Forgetting": 60 - 90}
    )


def test_of_rows_that_cover_what_was_trained_only_forgetting_and_last_can_be_told():
    """As in class-incremental learning, where classes to come cannot be scored."""
    stream, strategy = benchmark(), scripted(matrix())
    for step, row in enumerate([[80, 0, 0], [60, 70, 0], [50, 40, 90]]):
        strategy.train(stream.train_stream[step])
        found = evaluate(strategy, stream.test_stream[: step + 1], row)
        assert published(found) == pytest.approx([{}, {"Forgetting": -20}, {"Forgetting": -30, "Last": 60}][step])


def test_a_cell_that_is_missing_takes_with_it_what_needs_it():
    stream, strategy = benchmark(), scripted(matrix())
    strategy.train(stream.train_stream[0])
    evaluate(strategy, stream.test_stream[1:], [80, 30, 20])  # not on what was just trained
    strategy.train(stream.train_stream[1])
    found = evaluate(strategy, stream.test_stream, [60, 70, 10])
    assert published(found) == pytest.approx({"Transfer": (30 + (20 + 10) / 2) / 2, "Last": 140 / 3})


def test_two_experiences_in_one_call_have_no_row_between_them():
    stream, strategy = benchmark(), scripted(matrix())
    strategy.train(stream.train_stream[:2])
    assert published(evaluate(strategy, stream.test_stream, [60, 70, 10])) == pytest.approx({"Last": 140 / 3})


def test_no_value_outlives_the_training_or_evaluation_that_follows():
    stream, metric = benchmark(other=2), AccuracyMatrix()
    strategy = scripted(metric)
    found = run(strategy, stream, (0, 1), ROWS[:3])
    assert set(published(found)) == {"Transfer", "Average", "Last", "Forgetting", "AccuracyMatrix"}, "nor ZeroShot"
    assert not published(strategy.eval(stream.other_stream))
    assert not published(strategy.train(stream.train_stream[2]))
    found = evaluate(strategy, stream.test_stream[:1], ROWS[3])
    assert set(published(found)) == {"Transfer", "AccuracyMatrix"}, "of the last row only a part is measured"


def test_another_benchmarks_test_stream_stays_out_of_the_matrix():
    stream, held_out, metric = benchmark(), benchmark(), matrix()
    strategy = scripted(metric)
    run(strategy, stream, (0, 1), ROWS[:3])
    assert not published(evaluate(strategy, held_out.test_stream, [0, 0, 0]))
    assert metric.rows() == ROWS[:3]


@pytest.mark.parametrize("name", ["other", "train of another benchmark"])
def test_what_a_training_on_other_data_covered_is_not_known(name):
    stream, metric = benchmark(other=3), matrix()
    strategy = scripted(metric)
    run(strategy, stream, (0,), ROWS[:2])
    strategy.train((stream.other_stream if name == "other" else benchmark().train_stream)[1])
    found = evaluate(strategy, stream.test_stream, ROWS[2])
    assert published(found) == pytest.approx({"Average": 310 / 6, "Last": 170 / 3})
    assert metric.trained == [[0], None]


def test_a_first_training_on_a_stream_of_another_name_is_of_no_test_experience():
    stream, metric = benchmark(other=3), matrix()
    strategy = scripted(metric)
    strategy.train(stream.other_stream[0])
    assert published(evaluate(strategy, stream.test_stream, ROWS[1])) == pytest.approx({"Average": 140 / 3, "Last": 140 / 3})
    strategy.train(stream.train_stream[2])
    assert metric.trained == [None, [2]]


@pytest.mark.parametrize(
    ("at_once", "trained", "metrics"),
    [
        (3, [0, 1, 2], {"Average": 50, "Last": 50}),
        (2, None, {"Average": 50, "Last": 50}),  # which two is not known
    ],
)
def test_experiences_trained_together_are_one_training(at_once, trained, metrics):
    stream, metric = benchmark(), matrix()
    strategy = scripted(metric)
    strategy.experiences_at_once = at_once
    strategy.train(stream.train_stream[2])
    assert published(evaluate(strategy, stream.test_stream, [20, 50, 80])) == pytest.approx(metrics)
    assert metric.trained == [trained]


def test_a_test_set_without_images_has_no_accuracy():
    stream = benchmark_from_datasets(train=[dataset(0)], test=[dataset(0), dataset(1, size=0)])
    metric = matrix()
    assert published(evaluate(scripted(metric), stream.test_stream, [50, 0])) == {}
    assert metric.rows() == [[50, None]]


def test_the_train_stream_beside_a_validation_stream_is_the_same_stream():
    stream = benchmark_with_validation_stream(benchmark(), 0.2)
    found = run(scripted(matrix()), stream, (2, 0, 1), ROWS)
    assert published(found)["Transfer"] == pytest.approx(22.5)


@pytest.mark.parametrize("boundaries", [True, False])
def test_pieces_of_an_experience_are_one_training_whose_last_row_counts(boundaries):
    stream, metric = benchmark(), matrix()
    strategy = scripted(metric)
    evaluate(strategy, stream.test_stream, ROWS[0])
    order = [stream.train_stream[k] for k in (2, 0, 1)]
    pieces = split_online_stream(order, experience_size=5, access_task_boundaries=boundaries)
    for number, piece in enumerate(pieces):
        strategy.train(piece)
        assert metric.result() == {}, "the row before this piece is out of date"
        row = ROWS[1 + number // 2]
        found = evaluate(strategy, stream.test_stream, row if number % 2 else [0, 0, 0])
    assert number == 5
    assert metric.rows() == ROWS and metric.trained == [[2], [0], [1]]
    assert published(found) == pytest.approx({"Transfer": 22.5, "Average": 490 / 9, "Last": 60, "Forgetting": -25})


def test_pieces_that_come_in_turns_are_trainings_of_their_own():
    stream, metric = benchmark(2, 2), matrix()
    strategy = scripted(metric)
    pieces = list(split_online_stream(stream.train_stream, experience_size=5))
    for number, row in zip((0, 2, 1), [[50, 20], [40, 90], [80, 60]], strict=True):
        strategy.train(pieces[number])
        found = evaluate(strategy, stream.test_stream, row)
    assert metric.trained == [[0], [1], [0]]
    assert published(found) == pytest.approx({"Transfer": 20, "Average": 340 / 6, "Last": 70, "Forgetting": -30})


def test_pieces_of_blurred_experiences_have_no_origin():
    stream, metric = benchmark(), matrix()
    strategy = scripted(metric)
    pieces = split_continuous_linear_decay_stream(stream.train_stream, 5, iters_per_virtual_epoch=2, beta=4, shuffle=False)
    strategy.train(next(iter(pieces)))
    assert published(evaluate(strategy, stream.test_stream, ROWS[1])) == pytest.approx({"Average": 140 / 3, "Last": 140 / 3})


def test_one_evaluation_stands_for_all_rows_of_a_model_that_never_changes():
    metric = AccuracyMatrix(unchanging_at=[7, 14, 21])
    strategy = scripted(metric)
    for _ in range(2):  # again: the same once more, not more rows
        evaluate(strategy, benchmark_of_three.test_stream, [10, 40, 60])
        assert metric.rows() == [[10, 40, 60]] * 4
    history = {name.partition("/")[0]: values for name, values in strategy.evaluator.get_all_metrics().items()}
    assert history["Transfer"] == ([7, 14, 21] * 2, [50] * 6)
    assert history["Average"] == history["Last"] == ([7, 14, 21] * 2, [pytest.approx(110 / 3)] * 6)
    assert history["Forgetting"] == ([14, 21] * 2, [0] * 4)
    assert history["ZeroShot"] == ([0, 0], [pytest.approx(110 / 3)] * 2)
    assert history["AccuracyMatrix"][0] == [0, 0]


benchmark_of_three = benchmark()


def test_old_style_streams_and_their_slices_are_one_stream():
    source = dataset(0, 40, labels=range(4))
    stream, metric = nc_benchmark(source, source, n_experiences=2, task_labels=False, fixed_class_order=range(4)), matrix()
    strategy = scripted(metric, classes=4)
    strategy.model.answers = {(0, i): i % 4 for i in range(40)}
    strategy.train(stream.train_stream[1:])
    for part in (stream.test_stream[:1], stream.test_stream[1:]):
        strategy.model.right = {0: 20}
        strategy.eval(part)
    strategy.train(stream.train_stream[0])
    strategy.model.right = {0: 10}
    found = strategy.eval(stream.test_stream)
    assert metric.rows() == [[None, None], [50, 50], [30, 20]]  # of the first ten images six have labels 0 and 1
    assert published(found) == pytest.approx({"Transfer": 50, "Average": 37.5, "Last": 25, "Forgetting": 20 - 50})


def test_a_stream_that_is_generated_has_its_length_once_it_was_walked():
    made = (experience for experience in benchmark().test_stream)
    stream, metric = CLStream("test", made), matrix()
    strategy = scripted(metric)
    assert published(evaluate(strategy, [next(iter(stream))], ROWS[0])) == {}
    assert published(evaluate(strategy, stream, ROWS[0])) == {"ZeroShot": 20}


def test_experiences_of_no_stream_are_trained_and_evaluated_without_a_trace_but_for_a_row():
    stream, metric = benchmark(), matrix()
    strategy, alone = scripted(metric), DatasetExperience(dataset=dataset(0), current_experience=0)
    assert published(strategy.eval([alone])) == {}
    strategy.train(alone, eval_streams=[])
    assert published(evaluate(strategy, stream.test_stream, ROWS[1])) == pytest.approx({"Average": 140 / 3, "Last": 140 / 3})


def test_a_copy_goes_on_with_the_streams_it_is_given():
    stream, metric = benchmark(), matrix()
    run(scripted(metric), stream, (2, 0), ROWS[:3])
    again = copy.deepcopy(metric)
    strategy = scripted(again)
    strategy.train(stream.train_stream[1])
    found = evaluate(strategy, stream.test_stream, ROWS[3])
    assert published(found) == pytest.approx({"Transfer": 22.5, "Average": 490 / 9, "Last": 60, "Forgetting": -25})
    assert len(metric.rows()) == 3


def test_a_state_goes_through_json_and_goes_on_in_its_order():
    first = matrix()
    run(scripted(first), benchmark(), (2, 0), ROWS[:3])
    second = matrix()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.rows() == first.rows() and second.trained == [[2], [0]]
    strategy, stream = scripted(second), benchmark()
    strategy.train(stream.train_stream[1])
    found = evaluate(strategy, stream.test_stream, ROWS[3])
    assert published(found) == pytest.approx({"Transfer": 22.5, "Average": 490 / 9, "Last": 60, "Forgetting": -25})


def test_a_state_from_before_there_was_an_order_is_one_of_trainings_in_order():
    metric = matrix()
    metric.load_state_dict({"trained": 2, "rows": [[10, 20, 30], [80, 40, 20], [70, 90, 30]]})
    assert metric.trained == [[0], [1]]
    assert metric.result() == pytest.approx({"transfer": (40 + 25) / 2, "average": 55, "last": 190 / 3, "forgetting": -10})


def test_a_state_keeps_that_the_train_stream_is_longer():
    first, second = matrix(), matrix()
    run(scripted(first), benchmark(3, 2), (0, 1), [[0, 10], [30, 20], [60, 70]])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.result() == first.result() and set(second.result()) == {"average", "last"}


# ---- a second benchmark


def held_out():
    task = Task("flowers", Pictures(3, 3, 90), Pictures(3, 3, 91), ("rose", "tulip", "lily"))
    return clip_benchmark([task], train_transform=augment(), eval_transform=plain())


@pytest.mark.parametrize("class_incremental", [False, True], ids=["task-incremental", "class-incremental"])
@pytest.mark.parametrize("held_out_first", [False, True])
def test_evaluating_another_benchmark_leaves_the_numbers_of_the_one_that_is_trained(class_incremental, held_out_first):
    def numbers(other):
        benchmark = made_stream(class_incremental=class_incremental)
        matrix, pooled = AccuracyMatrix(figure=False), ClassIncrementalAccuracy()
        strategy = FineTune(tiny_model(), train_iterations=2, train_mb_size=6, lr=1e-3, evaluator=quiet(matrix, pooled))
        for streams in ([other, benchmark] if held_out_first else [benchmark, other]) if other else [benchmark]:
            strategy.eval(streams.test_stream)
        for experience in benchmark.train_stream:
            strategy.train(experience)
            strategy.eval(benchmark.test_stream)
            if other:
                strategy.eval(other.test_stream)
        return matrix.rows(), matrix.result(), pooled.result()

    rows, result, among_all = numbers(held_out())
    alone = numbers(None)
    assert result == alone[1] and among_all == alone[2] and rows[1:] == alone[0][1:]
    assert bool(among_all) == class_incremental


def test_a_strategy_without_an_evaluator_of_its_own_shows_the_protocol_in_its_results(capsys):
    for class_incremental in (False, True):
        benchmark = made_stream(class_incremental=class_incremental)
        strategy = FineTune(tiny_model(), train_iterations=1, train_mb_size=6)
        for experience in benchmark.train_stream:
            strategy.train(experience, eval_streams=[])
            results = strategy.eval(benchmark.test_stream)
        assert {"Average/eval_phase/test_stream", "Last/eval_phase/test_stream"} <= results.keys()
        assert ("CILAverage/eval_phase/test_stream" in results) == class_incremental
    assert "CILLast" in capsys.readouterr().out
