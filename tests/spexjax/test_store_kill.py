"""A run that is killed at random moments, and processes that share one store."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from spexjax import masks
from spexjax.explain import explain
from spexjax.store.store import Store

N, BUDGET, CHUNK = 40, 5000, 50
pytestmark = pytest.mark.loose_promotion

FUNCTION = """
import os, time
import numpy as np

N, CHUNK, PATH = {n}, {chunk}, {path!r}


def f(bits):
    with open(PATH + ".calls", "ab", 0) as log:  # paid for when asked, whatever comes after
        log.write(np.packbits(bits, axis=1).tobytes())
    time.sleep({seconds})
    signs = 1.0 - 2.0 * bits
    return 0.3 + signs @ np.arange(N) / N + 2.0 * signs[:, 3] * signs[:, 7]
"""
# What `explain` asks for, without the seconds of fitting that follow.
BUY = """
import jax
from spexjax import masks, purchase
from spexjax.store import opened

with opened(PATH, f, N, "planted") as journal:
    call = purchase.Caller(f, N, CHUNK, journal=journal)
    key = jax.random.key({seed}, impl="threefry2x32")
    purchase.buy(call, masks.plan_budget(N, {budget}, coded=False), key)
"""


def script(path, seconds, seed=0, budget=BUDGET):
    return (FUNCTION + BUY).format(
        n=N, chunk=CHUNK, path=str(path), seconds=seconds, seed=seed, budget=budget
    )


def paid(path):
    """The masks that f was asked for, by all processes."""
    content = np.fromfile(f"{path}.calls", np.uint8) if os.path.exists(f"{path}.calls") else []
    return np.reshape(content, (-1, N // 8)).astype(np.uint8)


def function(path):
    namespace = {}
    exec(FUNCTION.format(n=N, chunk=CHUNK, path=str(path), seconds=0), namespace)
    return namespace["f"]


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
    f = function(path)
    options = {"budget": BUDGET, "method": "linear", "chunk_size": CHUNK}
    resumed = explain(f, N, store=path, store_key="planted", **options)
    assert kept < BUDGET  # the last kills were before the end
    assert len(paid(path)) == lost + BUDGET - kept <= BUDGET + CHUNK * kills
    assert len(np.unique(paid(path), axis=0)) == BUDGET
    whole = explain(function(path.with_name("other")), N, **options)
    assert resumed.spectrum.to_dict() == whole.spectrum.to_dict()
    for name in ("calls", "full", "empty", "faithfulness", "faithfulness_interval"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))


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
    # Both seeds start with 1…1 and 0…0; the rest of two random streams does not meet.
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
    assert masks.plan_budget(N, 1000, coded=False).total == 1000
