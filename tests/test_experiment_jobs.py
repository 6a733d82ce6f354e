"""The processes in which experiments make their runs."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[1]
WAIT = 120


def wait_for(condition, what):
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {WAIT} seconds"
        time.sleep(0.1)


def has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to end a run by")
def test_runs_of_a_killed_command_end_soon_and_the_next_does_not_begin(tmp_path):
    command = [sys.executable, "-m", "experiments.figure5", "--jobs", "1", "--iterations", "100000", "--out", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: any(tmp_path.glob("mini/*/checkpoints/*")), "a run has begun")
            workers = psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
    assert workers
    wait_for(lambda: all(map(has_ended, workers)), "the command's workers have ended")
    assert len(list(tmp_path.glob("mini/*"))) == 1, "figure 5 has two runs"
