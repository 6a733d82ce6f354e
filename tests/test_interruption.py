"""A signal ends the work, whoever handles errors on the way."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import signal_test

from avalanche_gift import interruption as interruption_module
from avalanche_gift.benchmarks.pictures import Pictures
from avalanche_gift.benchmarks.references import FolderPictures
from avalanche_gift.interruption import Interrupted, Interruption, interruptible


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # a handler runs between two instructions


def test_no_handler_of_errors_takes_an_interrupt_for_one():
    assert not issubclass(Interrupted, Exception)


class Interrupting:
    """A data set whose image can't be read before a signal comes."""

    def __getitem__(self, index):
        send()


def test_a_signal_while_an_image_is_read_does_not_blame_the_image(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"")
    monkeypatch.setattr("avalanche_gift.benchmarks.references.open_rgb", lambda path, **kwargs: send())
    with interruptible():
        for read in (Pictures(Interrupting(), [0], name="x"), FolderPictures(tmp_path)):
            with pytest.raises(Interrupted, match="SIGTERM"):
                read[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_that_a_destructor_swallowed_is_raised_again(number, monkeypatch):
    monkeypatch.setattr(interruption_module, "AGAIN", 0.05)
    with interruptible():
        with contextlib.suppress(BaseException):  # as a bare except in a package that is imported
            send(number)
        with pytest.raises(Interrupted) as end:
            time.sleep(5)
    assert end.value.exit_code == 128 + number
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_signal_noted_in_training_is_raised_where_it_is_deferred_no_more():
    with interruptible() as interruption:
        interruption.deferred = True
        send()
        with pytest.raises(Interrupted):
            interruption.deferred = False


def test_a_second_signal_is_not_deferred():
    with interruptible() as interruption:
        interruption.deferred = True
        send()
        with pytest.raises(Interrupted):
            send()


def test_a_block_within_another_is_the_others_and_handlers_are_restored():
    before = [signal.getsignal(number) for number in (*interruption_module.SIGNALS, signal.SIGALRM)]
    with interruptible() as outer, interruptible() as inner:
        assert inner is outer
    assert [signal.getsignal(number) for number in (*interruption_module.SIGNALS, signal.SIGALRM)] == before
    with interruptible() as next_one:
        assert next_one is not outer


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_forked_worker_leaves_ctrl_c_to_its_parent(number, code):
    script = f"""
import os, time
from avalanche_gift.interruption import interruptible
with interruptible():
    if not (child := os.fork()):
        os.kill(os.getpid(), {int(number)})
        time.sleep(0.1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (found.stdout.strip(), found.stderr) == (str(int(code)), "")


def test_an_interrupt_survives_the_way_from_another_process():
    assert pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM))).exit_code == 143


def test_an_error_that_a_signal_caused_ends_the_run_by_the_signal(tmp_path, monkeypatch):
    """A signal to the whole process group ends the workers too, which is an error in the run."""
    from avalanche_gift.cli import main

    def fail(*arguments, interruption, **options):
        interruption.deferred = True
        send()
        raise RuntimeError("DataLoader worker is killed by signal: Terminated")

    monkeypatch.setattr("avalanche_gift.run.run", fail)
    assert main(["run", "--strategies", "l2", "--out", str(tmp_path)]) == 143


def test_an_import_that_swallows_everything_ends_all_the_same(monkeypatch, capsys):
    from avalanche_gift import cli_report
    from avalanche_gift.cli import main

    monkeypatch.setattr(interruption_module, "AGAIN", 0.05)

    def importing(arguments):
        with contextlib.suppress(BaseException):
            send(signal.SIGINT)
        time.sleep(5)

    monkeypatch.setattr(cli_report, "report", importing)
    assert main(["report", "nowhere"]) == 130
    assert "stopped by SIGINT" in capsys.readouterr().err


def test_a_signal_that_python_turns_into_an_error_ends_by_the_signal(monkeypatch):
    """Before Python 3.12 whatever is raised in __set_name__, as at many imports, becomes a RuntimeError."""
    from avalanche_gift import cli_report
    from avalanche_gift.cli import main

    class Field:
        def __set_name__(self, owner, name):
            send()

    def importing(arguments):
        type("Imported", (), {"field": Field()})

    monkeypatch.setattr(cli_report, "report", importing)
    assert main(["report", "nowhere"]) == 143


@pytest.mark.slow
def test_signals_at_random_moments_end_the_main_job_within_seconds():
    with tempfile.TemporaryDirectory() as folder:
        ends = signal_test.signal_repeatedly(30, Path(folder), seed=1)
    assert [end for end in ends if end["code"] != 128 + end["signal"]] == []


def test_interruption_without_handlers_raises_at_once():
    with pytest.raises(Interrupted):
        Interruption().notice(signal.SIGTERM)
