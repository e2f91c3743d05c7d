"""Several processes that share the masks: the values of one, each mask asked once, losses named."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from spexjax.explain import explain
from spexjax.models.distributed import hosts
from spexjax.models.distributed.hosts import HostsError, initialize, shared
from spexjax.store.store import Store, StoreError
from spexjax.values.calling import PartialValues, ValueFunctionError, on_device

N, BUDGET, CHUNK = 16, 400, 50


class Circle:
    """As much of a run as a shared function needs, among threads of this process."""

    def __init__(self, count):
        self.count, self.parts, self.left = count, {}, set()
        self.changed = threading.Condition()

    def run(self, work):
        """What ``work(member)`` returns or raises, per member."""
        found = [None] * self.count

        def one(number):
            member = Member(self, number)
            try:
                found[number] = work(member)
            except BaseException as error:
                found[number] = error
            member.on_close.close()
            with self.changed:
                self.left.add(number)
                self.changed.notify_all()

        threads = [threading.Thread(target=one, args=(i,)) for i in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


class Member:
    def __init__(self, circle, number):
        self.circle, self.process_id, self.num_processes = circle, number, circle.count
        self.rounds, self.on_close = 0, hosts.ExitStack()

    def check(self):
        pass

    def gather(self, mine):
        def known(key):
            return key in circle.parts or key[1] in circle.left

        circle, self.rounds = self.circle, self.rounds + 1
        here = [(self.rounds, other) for other in range(circle.count)]
        with circle.changed:
            circle.parts[here[self.process_id]] = mine
            circle.changed.notify_all()
            for key in here:
                circle.changed.wait_for(lambda key=key: known(key))
                if key not in circle.parts:
                    raise HostsError(f"Process {key[1]} has ended")
            return [circle.parts[key] for key in here]


class Planted:
    """A function that notes which masks it was asked for, by whom."""

    store_key = "planted"
    n = N

    def __init__(self, outputs=None):
        self.asked, self.outputs, self.lock = [], outputs, threading.Lock()

    def __call__(self, masks):
        with self.lock:
            self.asked.append(np.packbits(masks, axis=1))
        signs = 1.0 - 2.0 * masks
        values = signs @ np.arange(N) + 3.0 * signs[:, 1] * signs[:, 5]
        return values if self.outputs is None else np.outer(values, 1.0 + np.arange(self.outputs))

    @property
    def masks(self):
        return np.concatenate(self.asked) if self.asked else np.zeros((0, 2), np.uint8)


def some_masks(rows, seed=0):
    return np.random.default_rng(seed).random((rows, N)) < 0.5


@pytest.mark.parametrize("outputs", [None, 3])
def test_each_process_has_all_values_and_each_mask_is_asked_once(outputs):
    masks = np.concatenate([some_masks(101), some_masks(20)])
    f = Planted(outputs)
    want = f(masks)
    f.asked.clear()
    for found in Circle(3).run(lambda run: shared(f, run, chunk_size=13)(masks)):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, want.astype(np.float32))
    assert len(f.masks) == len(np.unique(f.masks, axis=0)) == 101
    assert max(len(a) for a in f.asked) == 13
    # Fewer masks than processes: some have nothing to do.
    for found in Circle(3).run(lambda run: shared(f, run)(masks[:1])):
        np.testing.assert_array_equal(found, want[:1].astype(np.float32))


def test_a_function_on_the_device():
    f = on_device(lambda masks: masks.astype("float32").sum(axis=1))
    masks = some_masks(11)
    for found in Circle(2).run(lambda run: shared(f, run)(masks)):
        np.testing.assert_array_equal(found, masks.sum(axis=1))


def test_what_a_journal_has_is_not_asked_again(tmp_path):
    f, masks = Planted(), some_masks(90)
    first = Circle(3).run(lambda run: shared(f, run, tmp_path)(masks[:60]))
    assert len(f.masks) == 60
    assert sorted(p.name for p in tmp_path.glob("*.sqlite")) == [
        f"process-{i}.sqlite" for i in range(3)
    ]
    f.asked.clear()
    again = Circle(3).run(lambda run: shared(f, run, tmp_path)(masks))
    assert len(f.masks) == 30
    np.testing.assert_array_equal(again[1][:60], first[2])
    for count in (2, 1):  # the files of processes that are no more are read too
        found = Circle(count).run(lambda run: shared(f, run, tmp_path)(masks))
        np.testing.assert_array_equal(found[0], again[0])
    assert len(f.masks) == 30


def test_a_failing_process_is_named_on_all_and_what_came_is_kept(tmp_path):
    f, masks = Planted(), some_masks(60)

    def work(run):
        def fails(m):
            if run.process_id == 1 and len(m) < 20:
                raise OSError("the cable is loose")
            return f(m)

        g = shared(fails, run, tmp_path, "planted", chunk_size=20)
        return g(masks)

    for error in Circle(2).run(work):
        assert isinstance(error, PartialValues)
        assert isinstance(error.cause, HostsError)
        assert "Process 1 failed" in str(error) and "the cable is loose" in str(error)
        assert np.isfinite(error.values).sum() == 50  # 30 of process 0, 20 of process 1
    kept = []
    for i in range(2):
        with Store(tmp_path / f"process-{i}.sqlite", read_only=True) as store:
            kept.append(store.functions()[0].values)
    assert kept == [30, 20]


def test_explain_says_who_failed():
    def work(run):
        def f(m):
            if run.process_id == 0:
                raise OSError("no more money")
            return m.sum(axis=1)

        return explain(shared(f, run), 6, budget=64)

    for error in Circle(2).run(work):
        assert isinstance(error, ValueFunctionError)
        assert "Process 0 failed" in str(error) and "no more money" in str(error)


def test_a_lost_process_leaves_this_ones_values(tmp_path):
    f, masks = Planted(), some_masks(40)

    def work(run):
        def stops(m):
            if run.process_id == 1:
                raise KeyboardInterrupt
            return f(m)

        return shared(stops, run, tmp_path, "planted")(masks)

    left, stopped = Circle(2).run(work)
    assert "Process 1 has ended; what this process evaluated is in" in str(left)
    assert np.isfinite(left.values).sum() == 20
    assert isinstance(stopped.cause, KeyboardInterrupt) and np.isnan(stopped.values).all()


def test_processes_that_ask_for_other_masks_or_functions():
    for error in Circle(2).run(lambda run: shared(Planted(), run)(some_masks(5, run.process_id))):
        assert isinstance(error.cause, HostsError) and "Process 1 does not ask" in str(error)

    def work(run):
        f = Planted()
        f.store_key = f"question {run.process_id}"
        return shared(f, run)(some_masks(5))

    assert all(isinstance(error.cause, HostsError) for error in Circle(2).run(work))


def test_values_of_different_shapes():
    def work(run):
        return shared(Planted(None if run.process_id else 2), run)(some_masks(5))

    for error in Circle(2).run(work):
        assert "Process 1 failed: its values have shape () per mask" in str(error)


def test_wrong_arguments(tmp_path):
    for given in ("nowhere", 2, 0), ("a:1", 2, 2), ("a:1", 2, None), (None, 2, 0):
        with pytest.raises(ValueError, match=r"must be|or none of them"):
            initialize(*given)
    with pytest.raises(ValueError, match="patience"):
        initialize("a:1", 2, 0, patience=1)
    member = Member(Circle(1), 0)
    with pytest.raises(ValueError, match="chunk_size"):
        shared(Planted(), member, chunk_size=0)
    with pytest.raises(StoreError, match="store_key"):
        shared(np.sum, member, tmp_path)


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(HostsError, match="Another program answers at"):
            initialize(f"127.0.0.1:{taken.getsockname()[1]}", 2, 0)


# Real processes.

SCRIPT = """
import sys, time
import numpy as np
from spexjax.explain import explain
from spexjax.models.distributed import hosts

port, me, count, folder, seconds = sys.argv[1:]
run = hosts.initialize("127.0.0.1:" + port, int(count), int(me))


def f(masks):
    with open(folder + "/calls", "ab", 0) as log:  # paid for when asked, whatever comes after
        log.write(np.packbits(masks, axis=1).tobytes())
    time.sleep(float(seconds))
    signs = 1.0 - 2.0 * masks
    return signs @ np.arange(N) + 3.0 * signs[:, 1] * signs[:, 5]


shared = hosts.shared(f, run, store=folder, store_key="planted")
e = explain(shared, N, budget=BUDGET, method="linear", chunk_size=CHUNK)
np.save(f"{folder}/{me}.npy", np.array(sorted(e.spectrum.to_dict().items()), object))
run.close()
"""
SCRIPT = f"N, BUDGET, CHUNK = {N}, {BUDGET}, {CHUNK}" + SCRIPT


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, count, seconds=0.0):
    port = free_port()
    processes = []
    for i in range(count):
        arguments = map(str, (port, i, count, folder, seconds))
        command = [sys.executable, "-c", SCRIPT, *arguments]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    return processes


def asked(folder):
    """The masks that were asked for, by all processes."""
    path = folder / "calls"
    content = np.fromfile(path, np.uint8) if path.exists() else np.zeros(0, np.uint8)
    return content.reshape(-1, N // 8)


def stored(folder):
    count = 0
    for path in folder.glob("process-*.sqlite"):
        with Store(path, read_only=True) as store:
            assert store.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            count += sum(f.values for f in store.functions())
    return count


def killed(folder, victim, count):
    """Kills one of ``count`` processes in mid-run; seconds until all others had ended."""
    before = len(asked(folder))
    processes = start(folder, count, 0.3)
    while len(asked(folder)) < before + 3 * CHUNK:
        assert all(p.poll() is None for p in processes)
        time.sleep(0.01)
    processes[victim].send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    for i, process in enumerate(processes):
        error = process.communicate(timeout=300)[1]
        if i == victim:
            assert process.returncode == -signal.SIGKILL
            continue
        assert process.returncode == 1, error
        last = error.strip().splitlines()[-1]
        assert re.search(rf"ValueFunctionError: .*broke off: Process {victim} \(.*\) ", last), error
        assert f"is in {folder / f'process-{i}.sqlite'}" in last
    return time.monotonic() - killed_at


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_worker_is_named_and_what_was_done_is_kept(tmp_path):
    assert killed(tmp_path, 1, 2) < 60
    kept, paid = stored(tmp_path), len(asked(tmp_path))
    assert CHUNK <= kept < paid <= kept + CHUNK
    f = Planted()
    e = explain(f, N, budget=BUDGET, method="linear", chunk_size=CHUNK)
    f.asked.clear()

    def again(run):
        g = shared(f, run, tmp_path)
        return explain(g, N, budget=BUDGET, method="linear", chunk_size=CHUNK)

    for found in Circle(2).run(again):
        assert found.spectrum.to_dict() == e.spectrum.to_dict()
    assert len(f.masks) == BUDGET - kept


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "count"), [(0, 2), (2, 3), (0, 3)])
def test_any_process_may_be_killed_and_a_second_run_goes_on(tmp_path, victim, count):
    took = killed(tmp_path, victim, count)
    assert took < 60
    kept, paid = stored(tmp_path), len(asked(tmp_path))
    assert CHUNK <= kept < paid <= kept + CHUNK
    processes = start(tmp_path, count)
    for process in processes:
        error = process.communicate(timeout=300)[1]
        assert process.returncode == 0, error
    assert len(asked(tmp_path)) == paid + BUDGET - kept
    assert stored(tmp_path) == BUDGET
    results = [np.load(tmp_path / f"{i}.npy", allow_pickle=True) for i in range(count)]
    e = explain(Planted(), N, budget=BUDGET, method="linear", chunk_size=CHUNK)
    for found in results:
        assert dict(found.tolist()) == e.spectrum.to_dict()


@pytest.mark.slow
def test_a_process_that_does_not_come():
    started = time.monotonic()
    for me in (0, 1):
        with pytest.raises(HostsError, match=f"Process {1 - me} did not come"):
            initialize(f"127.0.0.1:{free_port()}", 2, me, start_limit=5)
    assert time.monotonic() - started < 60
