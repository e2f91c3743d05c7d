"""Processes take turns; a holder that dies gives its turn back."""

import signal
import subprocess
import sys

import pytest

from spexjax.store import locks

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "ab")
fcntl.lockf(file, fcntl.LOCK_EX, 1, 3)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.sqlite"


@pytest.fixture
def holder(path):
    """Another process that holds number 3."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, f"{path}-turns"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_waiting_is_announced_and_ends_with_the_holder(path, holder, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(locks.time, "sleep", lambda _: after_some_time())
    waits = []

    def after_some_time():
        waits.append(holder.poll())
        if len(waits) > 1 and locks.time.monotonic() > start + 0.2:
            holder.send_signal(signal.SIGKILL)
            holder.wait()

    start, mine = locks.time.monotonic(), locks.Turns(path)
    with pytest.warns(RuntimeWarning, match="Another process is asking the same"), mine.take(3):
        assert holder.poll() == -signal.SIGKILL and waits[0] is None
    mine.close()


def test_other_numbers_are_free(path, holder):
    mine = locks.Turns(path)
    for _ in range(2):
        with mine.take(2), mine.take(4):
            assert holder.poll() is None
    mine.close()


def test_without_locks_there_are_no_turns(path, holder, monkeypatch):
    def unsupported(*_):
        raise OSError(45, "not supported")

    monkeypatch.setattr(locks.fcntl, "lockf", unsupported)
    mine = locks.Turns(path)
    with mine.take(3):
        assert holder.poll() is None
    monkeypatch.setattr(locks, "fcntl", None)
    with mine.take(3):
        assert holder.poll() is None
    mine.close()
