"""Locks of the dead are dropped, those of the living stay, and jobs end with their run."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from cwolaflow.alive import VARIABLE, others

RUN = """
import sys, time
from pathlib import Path
from cwolaflow.alive import start_run
start_run(Path(sys.argv[1]))
print("started", flush=True)
time.sleep(float(sys.argv[2]))
"""
JOB = """
import sys, time
from cwolaflow.logs import start_log
start_log(sys.argv[1])
print("started", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
from pathlib import Path
from cwolaflow.alive import start_run
start_run(Path(sys.argv[1]))
job = subprocess.Popen([sys.executable, "-c", sys.argv[2], "job.log"], cwd=sys.argv[1])
print(job.pid, flush=True)
time.sleep(60)
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def started(process):
    assert process.stdout.readline() == "started\n"
    return process


@pytest.fixture
def state(tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/0.output.lock").write_text("results/a.csv\n")
    return tmp_path


def test_the_lock_of_a_killed_run_is_dropped(state):
    killed = started(start(RUN, state, 60))
    (state / "locks").mkdir()
    killed.kill()
    killed.wait()
    folder = state / "cwolaflow_runs"
    assert [path.name for path in folder.iterdir()] == [f"{socket.gethostname()}:{killed.pid}"]
    started(start(RUN, state, 0)).wait()
    assert not (state / "locks").exists()
    assert list(folder.iterdir()) == []


def test_the_lock_of_a_living_run_stays(state):
    living = started(start(RUN, state, 60))
    try:
        (state / "locks").mkdir()
        started(start(RUN, state, 0)).wait()
        assert (state / "locks").exists()
        own = state / "cwolaflow_runs" / f"{socket.gethostname()}:{living.pid}"
        assert others(own.parent, state / "me") == [own]
    finally:
        living.kill()
        living.wait()


def test_a_run_of_another_host_counts_as_living(state):
    folder = state / "cwolaflow_runs"
    folder.mkdir()
    (folder / "elsewhere:1").touch()
    started(start(RUN, state, 0)).wait()
    assert (state / "locks").exists()
    assert (folder / "elsewhere:1").exists()


def ended(pid, seconds=10):
    """Whether a process that is not ours ends in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
        ).stdout.strip()
        if not state or state.startswith("Z"):
            return True
        time.sleep(0.05)
    return False


def test_a_job_ends_with_its_run(state):
    parent = start(PARENT, state, JOB)
    pid = int(parent.stdout.readline())
    # The job shares the output of its parent.
    assert parent.stdout.readline() == "started\n"
    assert not ended(pid, 0.3)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ended(pid)


def test_a_job_whose_run_is_gone_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone:1"))
    job = start(JOB, tmp_path / "job.log")
    assert job.wait(30) == 1


def test_a_job_without_a_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    job = started(start(JOB, tmp_path / "job.log"))
    assert job.poll() is None
    assert os.getpid() != job.pid
    job.kill()
    job.wait()
