"""One process at a time in a folder, however the one before it ended."""

import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import time

import pytest

from avalanche_gift.files import NotAFile
from avalanche_gift.lock import LOCK, LockedError, locked

CONTEXT = multiprocessing.get_context("fork")


def leave(folder, **changes):
    """The lock of a process that was killed."""
    holder = {"host": socket.gethostname(), "pid": 2**22 + 1, "since": time.time() - 300, **changes}
    (folder / LOCK).write_text(json.dumps(holder))


def enter_repeatedly(folder, rounds, gate, inside, most, entered):
    for number in range(rounds):
        if gate.wait() == 0:  # one of them
            leave(folder)
        gate.wait()
        try:
            with locked(folder):
                with inside.get_lock():
                    inside.value += 1
                    most.value = max(most.value, inside.value)
                    entered[number] += 1
                time.sleep(0.002)
                with inside.get_lock():
                    inside.value -= 1
        except LockedError:
            pass
        gate.wait()


def test_of_four_starters_at_the_lock_of_a_dead_process_one_at_a_time_is_inside(tmp_path):
    rounds = 100
    gate, inside, most = CONTEXT.Barrier(4), CONTEXT.Value("i", 0), CONTEXT.Value("i", 0)
    entered = CONTEXT.Array("i", rounds)
    arguments = (tmp_path, rounds, gate, inside, most, entered)
    processes = [CONTEXT.Process(target=enter_repeatedly, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert most.value == 1
    assert min(entered) >= 1, "the lock of a dead process keeps no one out"


def hold(folder, *, then="input()"):
    """Another process that holds the folder until its input ends."""
    script = f"""
import sys
from pathlib import Path
from avalanche_gift.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    {then}
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdin=-1, stdout=-1, stderr=-3, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def end(process):
    process.kill()
    process.communicate()


def test_a_folder_is_held_by_one_process_and_freed_after_it(tmp_path):
    with locked(tmp_path):
        holder = json.loads((tmp_path / LOCK).read_text())
        assert (holder["host"], holder["pid"]) == (socket.gethostname(), os.getpid())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("take_over", [False, True])
def test_a_living_holder_is_named_with_host_number_and_age(tmp_path, take_over):
    process = hold(tmp_path)
    pattern = rf"process {process.pid} on {re.escape(socket.gethostname())} has it since 0 minutes; wait for it"
    with pytest.raises(LockedError, match=pattern), locked(tmp_path, take_over=take_over):
        pass
    assert (tmp_path / LOCK).exists()
    end(process)
    with locked(tmp_path):
        pass


def test_a_worker_that_outlives_a_killed_holder_keeps_nothing(tmp_path):
    process = hold(tmp_path, then="import os, time; os.fork() or time.sleep(20); input()")
    time.sleep(0.2)
    end_of = process.pid
    os.kill(end_of, 9)
    process.wait()
    with locked(tmp_path):
        pass
    process.stdin.close()
    process.stdout.close()


@pytest.mark.parametrize("pid", [2**22 + 1, os.getppid(), 1, os.getpid()], ids=["no one", "parent", "init", "own"])
def test_the_number_of_a_living_process_that_has_nothing_to_do_with_it_keeps_no_one_out(tmp_path, pid):
    leave(tmp_path, pid=pid)
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_another_hosts_holder_is_followed_only_when_asked_to(tmp_path):
    leave(tmp_path, host="elsewhere")
    before = (tmp_path / LOCK).read_text()
    with pytest.raises(LockedError, match="--take-over"), locked(tmp_path):
        pass
    assert (tmp_path / LOCK).read_text() == before
    with locked(tmp_path, take_over=True):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
        with pytest.raises(LockedError), locked(tmp_path, take_over=True):
            pass
    assert not list(tmp_path.iterdir())


def test_a_clock_that_was_set_back_shows_no_negative_age(tmp_path):
    leave(tmp_path, host="elsewhere", since=time.time() + 86_400)
    with pytest.raises(LockedError, match="since 0 minutes"), locked(tmp_path):
        pass


def test_a_host_with_an_escape_sequence_is_shown_escaped(tmp_path):
    leave(tmp_path, host="\x1b[2Jevil\nhost")
    with pytest.raises(LockedError) as error, locked(tmp_path):
        pass
    assert r"on \x1b[2Jevil\nhost has it" in str(error.value)


NO_LOCKS = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[1]",
    "no field": "{}",
    "nested": "[" * 100_000,
    "infinite pid": '{"host": "elsewhere", "pid": 1e999, "since": 0}',
    "huge pid": '{"host": "elsewhere", "pid": 1' + "0" * 400 + ', "since": 0}',
    "endless pid": '{"host": "elsewhere", "pid": 1' + "0" * 4400 + ', "since": 0}',
    "huge time": '{"host": "elsewhere", "pid": 1, "since": 1e300}',
    "no time": '{"host": "elsewhere", "pid": 1, "since": NaN}',
    "negative pid": '{"host": "elsewhere", "pid": -1, "since": 0}',
    "long host": json.dumps({"host": "e" * 1000, "pid": 1, "since": 0}),
}


@pytest.mark.parametrize("kind", NO_LOCKS)
def test_what_is_no_lock_of_ours_keeps_no_one_out(tmp_path, kind):
    (tmp_path / LOCK).write_text(NO_LOCKS[kind])
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_what_is_no_file_is_refused_by_name_and_left_alone(tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    makers = {
        "a named pipe": os.mkfifo,
        "a folder": os.mkdir,
        "a symbolic link": lambda path: os.symlink(target, path),
    }
    for kind, make in makers.items():
        folder = tmp_path / kind
        folder.mkdir()
        make(folder / LOCK)
        with pytest.raises(NotAFile, match=f"{kind}, not a file: '.*lock.json'"), locked(folder):
            pass
    assert target.read_text() == "precious"


def test_a_holder_whose_lock_was_taken_over_leaves_that_of_the_other_alone(tmp_path):
    with locked(tmp_path):
        (tmp_path / LOCK).unlink()
        leave(tmp_path, host="elsewhere")
    assert (tmp_path / LOCK).exists()


def test_a_file_system_without_locks_goes_by_the_number_of_the_process(tmp_path, monkeypatch):
    import fcntl

    def unsupported(handle, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    leave(tmp_path, pid=os.getppid())
    with pytest.raises(LockedError, match="--take-over"), locked(tmp_path):
        pass
    with locked(tmp_path, take_over=True):
        pass
    leave(tmp_path)
    with locked(tmp_path):
        pass
