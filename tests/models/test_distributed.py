"""Masks over workers: each asked once, in any order, whoever is slow, fails or is lost."""

import multiprocessing
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from remote_functions import (
    Broken,
    N,
    NotFinite,
    Planted,
    calls,
    ends,
    nothing,
    some_masks,
    values_of,
    vector,
)

from spexjax import values
from spexjax.codes import gf2
from spexjax.explain import explain
from spexjax.models.distributed import executor_value
from spexjax.models.distributed.remote import RemoteValue
from spexjax.models.distributed.scheduling import size_of_chunks
from spexjax.models.distributed.worker import Worker
from spexjax.store.store import Store, StoreError, opened
from spexjax.values.calling import Interrupted, ValueFunctionError, on_device


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture
def threads():
    with ThreadPoolExecutor(3) as executor:
        yield executor


def packed(masks):
    return gf2.pack_numpy(masks, gf2.num_words(masks.shape[1]))


def test_processes_give_the_values_of_one(pool, tmp_path):
    f = executor_value(partial(Planted, str(tmp_path), 0.002), pool, workers=2)
    assert (f.n, f.words, f.description) == (N, Planted.words, Planted.description)
    masks, path = some_masks(300), tmp_path / "calls.sqlite"
    for _ in range(2):  # the second time all is in the store
        with opened(path, f, N) as journal:
            found = values.evaluate(f, packed(masks), N, journal=journal)
        np.testing.assert_array_equal(found, values_of(masks))
        asked = np.concatenate(list(calls(tmp_path).values()))
        assert len(asked) == len(np.unique(asked, axis=0)) == 300


def test_a_worker_that_ends_leaves_what_had_come(tmp_path):
    masks, path = some_masks(60), tmp_path / "calls.sqlite"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        f = executor_value(partial(Planted, str(tmp_path)), executor, workers=1)
        with opened(path, f, N) as journal:
            values.evaluate(f, packed(masks[:20]), N, journal=journal)
        gone = executor_value(ends, executor, workers=1)
        with pytest.raises(ValueFunctionError, match="BrokenProcessPool"):
            gone(masks)
        with opened(path, f, N) as journal, pytest.raises(ValueFunctionError, match="no more"):
            values.evaluate(f, packed(masks), N, journal=journal)
    with Store(path, read_only=True) as store:
        assert store.functions()[0].values == 20


@pytest.mark.parametrize("chunk_size", [None, 1, 7, 1000])
def test_each_mask_is_asked_for_once(threads, tmp_path, chunk_size):
    f = executor_value(partial(Planted, str(tmp_path)), threads, workers=3)
    masks = some_masks(101)
    found = values.evaluate(f, packed(masks), N, chunk_size)
    np.testing.assert_array_equal(found, values_of(masks))
    (asked,) = calls(tmp_path).values()
    assert len(np.unique(asked, axis=0)) == len(asked) == 101
    np.testing.assert_array_equal(f(masks), found)  # as it is called by itself
    assert f(masks[:1]).shape == (1,)


def test_vectors_and_functions_on_the_device(threads):
    masks = some_masks(50)
    found = executor_value(vector, threads, workers=2)(masks)
    np.testing.assert_array_equal(found, vector()(masks))
    f = executor_value(lambda: on_device(lambda m: m.astype("float32").sum(axis=1)), threads)
    np.testing.assert_array_equal(f(masks), masks.sum(axis=1))


def test_a_failure_is_told_with_its_place_and_what_came_is_kept(threads, tmp_path):
    masks = some_masks(80)
    bad = masks[:, :3].all(axis=1)
    assert 3 < bad.sum() < 20
    for make, what in ((Broken, r"OSError\('the cable is loose'\) on .*, pid "),
                       (NotFinite, "returned NaN or infinity for 1 masks")):  # fmt: skip
        path = tmp_path / f"{make.__name__}.sqlite"
        f = executor_value(make, threads, workers=2)
        masks_ = masks[np.argsort(bad, kind="stable")]  # those that fail come last
        with (
            pytest.raises(ValueFunctionError, match=what) as caught,
            opened(path, f, N) as journal,
        ):
            values.evaluate(f, packed(masks_), N, 1, journal=journal)
        assert len(caught.value.values) >= (~bad).sum()
        assert "Traceback" in "".join(caught.value.__cause__.__notes__)
        with Store(path, read_only=True) as store:
            assert store.functions()[0].values == (~bad).sum()


def test_of_a_chunk_that_fails_in_part_the_rest_is_kept(threads):
    masks = some_masks(40)
    bad = masks[:, :3].all(axis=1)
    with pytest.raises(ValueFunctionError) as caught:
        values.evaluate(executor_value(NotFinite, threads), packed(masks), N, 40)
    np.testing.assert_array_equal(caught.value.masks, packed(masks[~bad]))
    np.testing.assert_array_equal(caught.value.values, values_of(masks[~bad]))


def test_what_cannot_be_made(threads):
    with pytest.raises(ImportError, match="no such model"):
        executor_value(nothing, threads)
    with pytest.raises(ValueError, match="workers must be at least 1"):
        executor_value(Planted, threads, workers=0)
    with pytest.raises(StoreError, match="store_key"):
        explain(executor_value(vector, threads), N, budget=50, store="calls.sqlite")


# Slots that do as they are told.


class Lost(Exception):
    pass


class Played:
    """A worker in a thread; ``deaths`` chunks are lost before it answers one."""

    def __init__(self, make=Planted, seconds=0.0, deaths=0, comes_back=True, until=lambda: True):
        self.worker, self.seconds, self.until = Worker(make), seconds, until
        self.deaths, self.comes_back, self.chunks = deaths, comes_back, []

    def ask(self, packed, n):
        future = Future()
        future.set_running_or_notify_cancel()

        def work():
            time.sleep(self.seconds)
            while not self.until():
                time.sleep(0.001)
            if self.deaths:
                self.deaths -= 1
                future.set_exception(Lost("killed"))
            else:
                self.chunks.append(packed)
                future.set_result(self.worker.ask(packed, n))

        threading.Thread(target=work).start()
        return future

    def ready(self):
        future = Future()
        if self.comes_back or not self.chunks:
            future.set_result(None)
        else:
            future.set_exception(Lost("for good"))
        return future


def played(*slots):
    return RemoteValue(slots, len(slots), slots[0].worker.about(), (Lost,))


def test_a_slow_worker_holds_nobody_up():
    quick = Played()
    slow = Played(until=lambda: len(quick.chunks) == 39)  # all that there are besides
    masks = some_masks(200)
    found = values.evaluate(played(slow, quick), packed(masks), N, 5)
    np.testing.assert_array_equal(found, values_of(masks))
    assert len(slow.chunks) == 1 and len(quick.chunks) == 39


def test_the_chunk_of_a_lost_worker_goes_to_another():
    dying, sound = Played(deaths=3), Played(seconds=0.01)
    masks = some_masks(100)
    found = values.evaluate(played(dying, sound), packed(masks), N, 10)
    np.testing.assert_array_equal(found, values_of(masks))
    assert len(dying.chunks) + len(sound.chunks) == 10


def test_a_chunk_that_ends_every_worker_is_given_up():
    with pytest.raises(ValueFunctionError, match="10 masks ended 4 workers; the last: killed"):
        values.evaluate(played(Played(deaths=99)), packed(some_masks(30)), N, 10)


def test_no_worker_is_left():
    last = Played(comes_back=False)
    masks = packed(some_masks(30))
    values.evaluate(f := played(last), masks, N, 30)
    with pytest.raises(ValueFunctionError, match="No worker is left; the last one: for good"):
        values.evaluate(f, masks, N, 10)


def test_workers_of_different_functions():
    other = Played(partial(_named, "another"))
    with pytest.raises(ValueFunctionError, match="'another', that of the others 'planted'"):
        values.evaluate(played(Played(seconds=0.05), other), packed(some_masks(30)), N, 5)


def _named(key):
    f = Planted()
    f.store_key = key
    return f


def test_ctrl_c_waits_for_what_is_under_way(monkeypatch):
    from spexjax.models.distributed import scheduling

    slot, rounds = Played(seconds=0.2), []
    real = scheduling.wait

    def interrupted(*arguments):
        rounds.append(None)
        if len(rounds) == 4:  # the probe, two chunks, and in the middle of the third
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(scheduling, "wait", interrupted)
    with pytest.raises(Interrupted, match="30 values from before are in the exception"):
        values.evaluate(played(slot), packed(some_masks(100)), N, 10)
    assert len(slot.chunks) == 3


def test_a_worker_that_does_not_come_is_told(monkeypatch):
    from spexjax.models.distributed import scheduling

    monkeypatch.setattr(scheduling, "_SILENCE_SECONDS", 0.1)
    late, slot = Future(), Played()
    slot.ready = lambda: late
    threading.Timer(0.5, late.set_result, [None]).start()
    with pytest.warns(RuntimeWarning, match="No worker has been ready") as told:
        values.evaluate(played(slot), packed(some_masks(30)), N, 10)
    assert len(told) == 1


def test_sizes_of_chunks():
    def check(masks, workers, own, batch, want):
        assert size_of_chunks(masks, workers, None, own, batch) == want

    check(2000, 8, None, 1, 32)  # eight chunks for each
    check(2000, 8, 512, 64, 64)  # no batch goes half empty
    check(2000, 8, 16, 1, 16)  # the function takes no more
    check(10**6, 2, None, 1, 512)
    check(1, 8, None, 1, 1)
    check(100, 3, 48, 64, 48)
    assert size_of_chunks(100, 3, 7, 48, 64) == 7
