"""Locks between processes; a holder that dies releases its lock."""

import signal
import subprocess
import sys

import pytest

from spexjax.store import StoreWarning, locks

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

    start, mine = locks.time.monotonic(), locks.FileLocks(path)
    with (
        pytest.warns(RuntimeWarning, match="Another process is asking the same"),
        mine.exclusive(3),
    ):
        assert holder.poll() == -signal.SIGKILL and waits[0] is None
    mine.close()


def test_other_numbers_are_free(path, holder):
    mine = locks.FileLocks(path)
    for _ in range(2):
        with mine.exclusive(2), mine.exclusive(4):
            assert holder.poll() is None
    mine.close()


def test_a_lock_that_is_refused_is_given_up_with_one_warning(path, holder, monkeypatch):
    def unsupported(*_):
        raise OSError(45, "not supported")

    monkeypatch.setattr(locks.fcntl, "lockf", unsupported)
    mine = locks.FileLocks(path)
    with pytest.warns(StoreWarning, match="not supported.*both may pay"), mine.exclusive(3):
        assert holder.poll() is None
    with mine.exclusive(3):  # warned of once
        assert holder.poll() is None
    mine.close()


def test_a_lock_file_that_cannot_be_made_is_given_up_with_a_warning(tmp_path):
    mine = locks.FileLocks(tmp_path / "no folder" / "calls.sqlite")
    with pytest.warns(StoreWarning, match="could not be locked"), mine.exclusive(3):
        pass
    mine.close()


def test_systems_without_locks_wait_for_nobody(path, holder, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    mine = locks.FileLocks(path)
    with mine.exclusive(3):
        assert holder.poll() is None
    mine.close()
