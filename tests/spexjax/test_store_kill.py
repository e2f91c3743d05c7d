"""A run that is killed at random moments, and processes that share one store."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from spexjax import values
from spexjax.store import Store, opened

N, BUDGET, CHUNK = 40, 5000, 50

FUNCTION = """
import os, time
import numpy as np

from spexjax.codes import gf2

N, CHUNK, PATH = {n}, {chunk}, {path!r}


def f(bits):
    with open(PATH + ".calls", "ab", 0) as log:  # paid for when asked, whatever comes after
        log.write(np.packbits(bits, axis=1).tobytes())
    time.sleep({seconds})
    signs = 1.0 - 2.0 * bits
    return 0.3 + signs @ np.arange(N) / N + 2.0 * signs[:, 3] * signs[:, 7]


def asked(seed, budget):
    bits = np.random.default_rng(seed).random((budget, N)) < 0.5
    bits[:2] = [[True], [False]]
    return gf2.pack_numpy(bits, gf2.num_words(N))
"""
EVALUATE = """
from spexjax import values
from spexjax.store import opened

with opened(PATH, f, N, "planted") as journal:
    values.evaluate(f, asked({seed}, {budget}), N, CHUNK, journal=journal)
"""


def script(path, seconds, seed=0, budget=BUDGET):
    return (FUNCTION + EVALUATE).format(
        n=N, chunk=CHUNK, path=str(path), seconds=seconds, seed=seed, budget=budget
    )


def paid(path):
    """The masks that f was asked for, by all processes."""
    content = np.fromfile(f"{path}.calls", np.uint8) if os.path.exists(f"{path}.calls") else []
    return np.reshape(content, (-1, N // 8)).astype(np.uint8)


def run(path):
    """What the script does, in this process and without sleeping; the values."""
    namespace = {}
    exec(FUNCTION.format(n=N, chunk=CHUNK, path=str(path), seconds=0), namespace)
    f, masks = namespace["f"], namespace["asked"](0, BUDGET)
    with opened(path, f, N, "planted") as journal:
        return values.evaluate(f, masks, N, CHUNK, journal=journal)


def start(text):
    return subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE)


def kill_at_random(path, chance):
    """Starts a child, waits for its first call, and kills it some chunks later."""
    before = len(paid(path))
    child = start(script(path, 0.01))
    while len(paid(path)) == before and child.poll() is None:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.05))
    child.send_signal(signal.SIGKILL)
    child.stderr.close()
    return child.wait() == -signal.SIGKILL


def killed_and_resumed(path, kills):
    chance = random.Random(3)
    hit = sum(kill_at_random(path, chance) for _ in range(kills))
    assert hit == kills
    lost = len(paid(path))
    with Store(path) as store:
        assert store.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = store.functions()[0].values
    assert 0 < lost - kept <= CHUNK * kills
    resumed = run(path)
    assert kept < BUDGET  # the last kills were before the end
    assert len(paid(path)) == lost + BUDGET - kept <= BUDGET + CHUNK * kills
    assert len(np.unique(paid(path), axis=0)) == BUDGET
    whole = run(path.with_name("other"))
    assert whole.dtype == resumed.dtype == np.float64
    np.testing.assert_array_equal(resumed, whole)


def test_nothing_is_lost_to_a_few_kills(tmp_path):
    killed_and_resumed(tmp_path / "calls.sqlite", 4)


@pytest.mark.slow
def test_nothing_is_lost_to_twenty_kills(tmp_path):
    killed_and_resumed(tmp_path / "calls.sqlite", 20)


def test_processes_at_once_pay_once(tmp_path):
    path = tmp_path / "calls.sqlite"
    children = [
        start(script(path, 0.02, seed, budget)) for seed, budget in ((0, 1000), (0, 1500), (1, 500))
    ]
    for child in children:
        error = child.communicate(timeout=100)[1]
        assert child.returncode == 0, error.decode()
    # Both seeds start with 1…1 and 0…0; the rest of their masks does not meet.
    assert len(paid(path)) == len(np.unique(paid(path), axis=0)) == 1500 + 500 - 2
    with Store(path) as store:
        assert store.functions()[0].values == 1998
        assert store.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_one_process_may_read_while_another_writes(tmp_path):
    path = tmp_path / "calls.sqlite"
    child = start(script(path, 0.02, budget=1000))
    while not len(paid(path)):
        time.sleep(0.002)
        assert child.poll() is None
    seen = []
    with Store(path, read_only=True) as store:
        journal = store.journal("planted", N)
        while child.poll() is None:
            journal.refresh()
            seen.append(len(journal))
        journal.refresh()
    child.stderr.close()
    assert child.returncode == 0 and len(journal) == 1000
    assert seen == sorted(seen) and len(set(seen)) > 3
