"""Parts of a fit at once: their order, what they raise, and the caller's settings."""

import threading
import time

import jax
import jax.numpy as jnp
import pytest

from spexjax import workers
from spexjax.workers import awaited, begin, finish

# Strict promotion is a setting of one thread, whose calls are then made there.
pytestmark = pytest.mark.loose_promotion


def test_calls_return_in_order_and_run_at_once():
    both = threading.Barrier(2, timeout=60)  # passes only if two threads wait there

    def wait(i, j):
        return both.wait() >= 0 and (i, j)

    if workers._pool()._max_workers < 2:
        pytest.skip("one core")
    assert finish(begin(wait, range(4), "abcd")) == list(zip(range(4), "abcd", strict=True))


def test_what_a_call_raises_is_raised():
    def fail(i):
        raise ValueError(f"no {i}")

    with pytest.raises(ValueError, match="no 0"):
        finish(begin(fail, range(3)))
    with pytest.raises(ValueError, match="shorter"):
        begin(fail, range(3), range(2))


def test_what_nobody_waits_for_any_more_is_not_begun():
    cores, made, held = workers._pool()._max_workers, [], threading.Event()

    def call(i):
        made.append(i)
        held.wait(60)

    with pytest.raises(KeyboardInterrupt), awaited():
        calls = begin(call, range(cores + 3))
        while len(made) < cores:
            time.sleep(0.01)
        raise KeyboardInterrupt
    held.set()
    finish(calls[:cores])
    assert sorted(made) == list(range(cores))
    assert all(call.cancelled() for call in calls[cores:])


def test_settings_of_the_callers_thread_hold():
    def made():
        return threading.current_thread().name, jnp.asarray(1.0).dtype

    (elsewhere,) = finish(begin(lambda _: made(), [0]))
    assert elsewhere[0].startswith("spexjax-worker")
    other = not jax.config.jax_enable_x64
    with jax.enable_x64(other):
        ((name, dtype),) = finish(begin(lambda _: made(), [0]))
    assert name == threading.current_thread().name
    assert (dtype == jnp.float64) == other


def test_a_worker_calls_on_its_own_thread():
    """A worker that waited for workers could wait for ever."""

    def outer(_):
        return threading.current_thread().name, finish(begin(inner, [0]))[0]

    def inner(_):
        return threading.current_thread().name

    for mine, theirs in finish(begin(outer, range(2 * workers._pool()._max_workers))):
        assert mine == theirs
