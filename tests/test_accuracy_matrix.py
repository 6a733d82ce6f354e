"""The metric driven by a real Avalanche strategy on random tensors, against accuracies counted beside it."""

import copy
import json

import pytest
import torch
from torch.utils.data import TensorDataset

# Avalanche and what it imports warn about deprecations of their own; none is about the metric.
pytestmark = pytest.mark.filterwarnings("ignore")

KEYS = ["Transfer", "Average", "Last", "Forgetting"]


def key(name, stream="test"):
    return f"{name}/eval_phase/{stream}_stream"


def tensors(seed, size):
    """Points whose label depends on the seed, so that the experiences contradict each other and forgetting shows."""
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(5, 4, generator=generator)
    x = torch.randn(size, 5, generator=generator)
    return x, (x @ teacher).argmax(1)


TEST_TENSORS = [tensors(seed, size) for seed, size in enumerate((30, 41, 53))]


@pytest.fixture(scope="module")
def benchmark():
    from avalanche.benchmarks import benchmark_from_datasets
    from avalanche.benchmarks.utils import as_classification_dataset

    def dataset(x, y):
        source = TensorDataset(x, y)
        source.targets = y.tolist()
        return as_classification_dataset(source)

    datasets = [dataset(*pair) for pair in TEST_TENSORS]
    # The same points in both streams, the train stream in reverse: an evaluation taken for the other one shows.
    return benchmark_from_datasets(train=datasets, test=datasets, other=datasets[::-1])


def naive(metric, *, loggers=(), **kwargs):
    from avalanche.training import Naive
    from avalanche.training.plugins import EvaluationPlugin

    torch.manual_seed(0)
    model = torch.nn.Linear(5, 4)
    return Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.5),
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=10,
        eval_mb_size=7,
        train_epochs=3,
        evaluator=EvaluationPlugin(metric, loggers=list(loggers)),
        **kwargs,
    )


def accuracies(model):
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        return [100 * (model(x).argmax(1) == y).double().mean().item() for x, y in TEST_TENSORS]


def run(strategy, benchmark, **train_kwargs):
    """Evaluate, then train and evaluate each experience; returns the accuracies counted beside the metric."""
    strategy.eval(benchmark.test_stream)
    expected = [accuracies(strategy.model)]
    for experience in benchmark.train_stream:
        strategy.train(experience, **train_kwargs)
        strategy.eval(benchmark.test_stream)
        expected.append(accuracies(strategy.model))
    return expected


@pytest.fixture
def make_metric():
    from avalanche_gift.evaluation import AccuracyMatrix

    return AccuracyMatrix


def test_rows_and_published_values_agree_with_accuracies_counted_beside_them(benchmark, make_metric):
    from avalanche_gift.evaluation import continual_metrics

    metric = make_metric()
    strategy = naive(metric)
    expected = run(strategy, benchmark)
    assert metric.rows() == [pytest.approx(row) for row in expected]
    assert len({tuple(row) for row in expected}) == 4  # the model did change in between

    published = strategy.evaluator.get_all_metrics()
    x, values = published[key("ZeroShot")]
    assert (x, values) == ([0], [pytest.approx(sum(expected[0]) / 3)])
    iterations = [9, 9 + 15, 9 + 15 + 18]  # 3 epochs of 3, 5 and 6 batches
    for name in ("Transfer", "Average", "Last"):
        wanted = [continual_metrics(expected[1 : i + 1])[name.lower()] for i in (1, 2, 3)]
        assert published[key(name)] == (iterations, [pytest.approx(value) for value in wanted])
    wanted = [continual_metrics(expected[1 : i + 1])["forgetting"] for i in (2, 3)]
    assert published[key("Forgetting")] == (iterations[1:], [pytest.approx(value) for value in wanted])
    assert all(type(value) is float for name in KEYS for value in published[key(name)][1])
    assert metric.result() == pytest.approx(continual_metrics(expected[1:]))


@pytest.mark.parametrize("peval", [{}, {"peval_mode": "iteration"}])
def test_evaluations_inside_training_leave_no_trace(benchmark, make_metric, peval):
    metric = make_metric()
    strategy = naive(metric, eval_every=1, **peval)
    expected = [accuracies(strategy.model)]
    strategy.eval(benchmark.test_stream)
    for experience in benchmark.train_stream:
        before = metric.rows()
        strategy.train(experience, eval_streams=[benchmark.test_stream])
        assert metric.rows() == before
        strategy.eval(benchmark.test_stream)
        expected.append(accuracies(strategy.model))
    assert metric.rows() == [pytest.approx(row) for row in expected]
    assert len(strategy.evaluator.get_all_metrics()[key("Last")][0]) == 3


def test_other_streams_are_ignored_and_publish_nothing(benchmark, make_metric):
    metric = make_metric()
    strategy = naive(metric)
    strategy.eval(benchmark.other_stream)
    assert metric.rows() == []
    strategy.eval(benchmark.test_stream)
    rows = metric.rows()
    strategy.eval(benchmark.other_stream)
    strategy.eval(benchmark.train_stream)
    assert metric.rows() == rows
    assert len(strategy.evaluator.get_all_metrics()[key("ZeroShot")][0]) == 1


def test_another_stream_can_be_watched_by_its_name(benchmark, make_metric):
    metric = make_metric(stream="other", figure=False)
    strategy = naive(metric)
    assert list(strategy.eval(benchmark.other_stream)) == [key("ZeroShot", "other")]
    assert metric.rows() == [pytest.approx(accuracies(strategy.model)[::-1])]


def test_values_come_once_the_row_covers_the_whole_stream(benchmark, make_metric):
    metric = make_metric()
    strategy = naive(metric)
    assert strategy.eval(benchmark.test_stream[:2]) == {}
    assert metric.rows() == [[*(pytest.approx(value) for value in accuracies(strategy.model)[:2]), None]]
    assert metric.result() == {}
    assert set(strategy.eval(benchmark.test_stream[2])) == {key("ZeroShot"), key("AccuracyMatrix")}


def test_a_slice_of_an_old_style_stream_is_not_taken_for_the_whole(make_metric):
    from avalanche.benchmarks import nc_benchmark

    x, y = TEST_TENSORS[0]
    data = TensorDataset(x, y)
    data.targets = y.tolist()
    stream = nc_benchmark(data, data, n_experiences=2, task_labels=False, seed=0).test_stream
    metric = make_metric()
    strategy = naive(metric)
    assert strategy.eval(stream[:1]) == {}
    assert metric.rows()[0][1] is None
    assert key("ZeroShot") in strategy.eval(stream)


def test_a_row_that_was_skipped_leaves_only_last(benchmark, make_metric):
    metric = make_metric(figure=False)
    strategy = naive(metric)
    strategy.train(benchmark.train_stream[0])
    strategy.train(benchmark.train_stream[1])
    last_row = strategy.eval(benchmark.test_stream)
    assert last_row == {key("Last"): pytest.approx(sum(accuracies(strategy.model)) / 3)}
    assert metric.rows()[:2] == [[None] * 3] * 2


def test_there_is_no_result_between_a_training_and_its_evaluation(benchmark, make_metric):
    metric = make_metric()
    strategy = naive(metric)
    assert metric.result() == {}
    strategy.eval(benchmark.test_stream)
    assert set(metric.result()) == {"zero_shot"}
    strategy.train(benchmark.train_stream[0])
    assert metric.result() == {}


def test_evaluating_a_row_again_overwrites_it(benchmark, make_metric):
    metric = make_metric()
    strategy = naive(metric)
    strategy.eval(benchmark.test_stream)
    torch.nn.init.zeros_(strategy.model.weight)
    strategy.eval(benchmark.test_stream)
    assert metric.rows() == [pytest.approx(accuracies(strategy.model))]


def test_an_evaluation_broken_off_does_not_count_in_the_next(benchmark, make_metric, monkeypatch):
    metric = make_metric()
    strategy = naive(metric)
    broken = iter([torch.tensor(0.0)] * 2)
    with monkeypatch.context() as patch, pytest.raises(StopIteration):
        patch.setattr(strategy, "criterion", lambda: next(broken))
        strategy.eval(benchmark.test_stream)
    strategy.eval(benchmark.test_stream)
    assert metric.rows() == [pytest.approx(accuracies(strategy.model))]


def test_reset_keeps_the_rows(benchmark, make_metric):
    metric = make_metric()
    strategy = naive(metric)
    strategy.eval(benchmark.test_stream)
    rows = metric.rows()
    metric.reset()
    assert metric.rows() == rows != []


def test_a_resumed_run_ends_with_the_rows_of_an_uninterrupted_one(benchmark, make_metric):
    first = make_metric()
    strategy = naive(first)
    strategy.eval(benchmark.test_stream)
    strategy.train(benchmark.train_stream[0])
    strategy.eval(benchmark.test_stream)
    state = json.loads(json.dumps(first.state_dict()))

    second = make_metric()
    second.load_state_dict(state)
    assert second.rows() == first.rows()
    resumed = naive(second)
    resumed.model.load_state_dict(strategy.model.state_dict())
    resumed.train(benchmark.train_stream[1])
    resumed.eval(benchmark.test_stream)
    assert second.rows() == [*first.rows(), pytest.approx(accuracies(resumed.model))]


def test_tensorboard_gets_scalars_and_a_picture(benchmark, make_metric, tmp_path):
    from avalanche.logging import TensorboardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metric, logger = make_metric(), TensorboardLogger(tmp_path)
    run(naive(metric, loggers=[logger]), benchmark)
    logger.writer.flush()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {key(name) for name in ["ZeroShot", *KEYS]}
    assert events.Tags()["images"] == [key("AccuracyMatrix")]
    assert events.Scalars(key("Last"))[-1].value == pytest.approx(metric.result()["last"])
    assert events.Scalars(key("Last"))[-1].step == 42


def test_the_picture_shows_every_measured_number_and_can_be_left_out(benchmark, make_metric):
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    metric = make_metric()
    strategy = naive(metric)
    strategy.eval(benchmark.test_stream)
    strategy.train(benchmark.train_stream[0])
    strategy.train(benchmark.train_stream[1])
    figure = strategy.eval(benchmark.test_stream)[key("AccuracyMatrix")]
    assert isinstance(figure, Figure)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown == [f"{value:.1f}" for row in (metric.rows()[0], metric.rows()[2]) for value in row]
    assert pyplot.get_fignums() == []
    assert key("AccuracyMatrix") not in naive(make_metric(figure=False)).eval(benchmark.test_stream)
