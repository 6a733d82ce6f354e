"""Memory does not rise with the number of experiences in a process."""

import gc

import pytest
import soak
from matplotlib.figure import Figure

from avalanche_gift import run_loop
from avalanche_gift.config import RunConfig
from avalanche_gift.run import run


def test_the_figures_of_one_evaluation_are_gone_before_those_of_many_are_there(tmp_path, monkeypatch):
    """They refer to themselves: without collecting there are two more after each experience."""
    figures = []
    real = run_loop.Garbage.collect

    def counted(garbage):
        garbage._next = 0.0  # however long the last time took
        real(garbage)
        figures.append(sum(type(each) is Figure for each in gc.get_objects()))

    monkeypatch.setattr(run_loop.Garbage, "collect", counted)
    config = RunConfig("finetune", "mini", "mini", tasks=("shapes", "letters", "icons"), train_iterations=1, train_mb_size=4)
    run(config, tmp_path, report=lambda _: None)
    assert len(figures) == 3 and figures[-1] <= figures[0]


def test_collecting_takes_at_most_a_twentieth_of_the_time(monkeypatch):
    now, calls = [100.0], []

    def collect():
        calls.append(now[0])
        now[0] += 1.0

    monkeypatch.setattr(run_loop.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(run_loop.gc, "collect", collect)
    garbage = run_loop.Garbage()
    for _ in range(100):
        garbage.collect()
        now[0] += 1.0
    assert calls == [100.0, 121.0, 142.0, 163.0, 184.0]


@pytest.mark.slow
def test_memory_is_flat_over_two_hundred_short_experiences(tmp_path):
    found = soak.soak(200, tmp_path)
    assert max(found) - max(found[:12]) < 100
