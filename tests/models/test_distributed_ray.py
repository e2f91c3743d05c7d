"""Ray: an actor, a node and the driver are killed; the first two cost time, the third a chunk."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from remote_functions import N, calls, some_masks, values_of

from spexjax import values
from spexjax.codes import gf2
from spexjax.models.distributed import WorkerError, ray_value
from spexjax.store.store import Store, opened

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

MASKS, CHUNK, SECONDS = 240, 6, 0.02

SCRIPT = """
import sys
from functools import partial
import ray
from remote_functions import N, Planted, some_masks
from spexjax import values
from spexjax.codes import gf2
from spexjax.models.distributed import ray_value
from spexjax.store.store import opened

address, folder, masks, chunk, seconds = sys.argv[1:]
ray.init(address, log_to_driver=False)
f = ray_value(partial(Planted, folder, float(seconds)), workers=2, num_gpus=0)
packed = gf2.pack_numpy(some_masks(int(masks)), 1)
with opened(folder + "/calls.sqlite", f, N) as journal:
    values.evaluate(f, packed, N, int(chunk), journal=journal)
"""


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    here = os.path.dirname(__file__)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1)
    ray.init(made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def packed(masks):
    return gf2.pack_numpy(masks, gf2.num_words(N))


def planted(folder, seconds=SECONDS, workers=2):
    def make():
        from remote_functions import Planted

        return Planted(folder, seconds)

    return ray_value(make, workers, num_gpus=0, start_limit=60)


def asked(folder):
    return np.concatenate([np.zeros((0, N // 8), np.uint8), *calls(folder).values()])


def evaluated(folder, while_at_it, f=None):
    """Values of all masks, with something done after a quarter of them."""
    f, masks = f or planted(str(folder)), some_masks(MASKS)
    done = threading.Event()

    def watch():
        while len(asked(folder)) < MASKS // 4:
            time.sleep(0.01)
        while_at_it()
        done.set()

    threading.Thread(target=watch).start()
    with opened(folder / "calls.sqlite", f, N) as journal:
        found = values.evaluate(f, packed(masks), N, CHUNK, journal=journal)
    assert done.wait(60)
    np.testing.assert_array_equal(found, values_of(masks))
    return f


def test_two_workers_have_nine_tenths_of_twice_the_rate(cluster, tmp_path):
    f, masks = planted(str(tmp_path)), some_masks(400)
    while len(calls(tmp_path)) < 2:  # both are there
        f(masks[:20])
    rates = []
    for _ in range(3):  # the machine may be busy
        start = time.perf_counter()
        np.testing.assert_array_equal(values.evaluate(f, packed(masks), N), values_of(masks))
        rates.append(len(masks) / (time.perf_counter() - start))
    assert max(rates) > 0.9 * 2 / SECONDS


def test_a_killed_process_costs_time_only(cluster, tmp_path):
    killed = []

    def kill():
        killed.append(next(iter(calls(tmp_path))))
        os.kill(killed[0], signal.SIGKILL)

    evaluated(tmp_path, kill)
    assert MASKS <= len(asked(tmp_path)) <= MASKS + CHUNK
    assert len(np.unique(asked(tmp_path), axis=0)) == MASKS
    assert len(calls(tmp_path)) >= 2 and len(calls(tmp_path)[killed[0]]) < MASKS


def test_a_lost_node_costs_time_only(cluster, tmp_path):
    node = cluster.worker_nodes.copy().pop()
    f = evaluated(tmp_path, lambda: cluster.remove_node(node, allow_graceful=False))
    assert MASKS <= len(asked(tmp_path)) <= MASKS + CHUNK
    cluster.add_node(num_cpus=1)  # and its worker comes back
    before = set(calls(tmp_path))
    deadline = time.monotonic() + 60
    while set(calls(tmp_path)) == before and time.monotonic() < deadline:
        f(some_masks(40, seed=int(time.monotonic())))
    assert set(calls(tmp_path)) > before


def test_after_a_killed_driver_nothing_is_paid_for_twice(cluster, tmp_path):
    given = map(str, (cluster.address, tmp_path, MASKS, CHUNK, SECONDS))
    driver = subprocess.Popen([sys.executable, "-c", SCRIPT, *given], stderr=subprocess.PIPE)
    while len(asked(tmp_path)) < MASKS // 3:
        assert driver.poll() is None, driver.stderr.read().decode()
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    driver.stderr.close()
    time.sleep(3)  # its actors end with it
    paid = len(asked(tmp_path))
    with Store(tmp_path / "calls.sqlite", read_only=True) as store:
        kept = store.functions()[0].values
    assert MASKS // 4 < kept <= paid <= kept + 2 * CHUNK
    f = planted(str(tmp_path))
    with opened(tmp_path / "calls.sqlite", f, N) as journal:
        found = values.evaluate(f, packed(some_masks(MASKS)), N, CHUNK, journal=journal)
    np.testing.assert_array_equal(found, values_of(some_masks(MASKS)))
    assert len(asked(tmp_path)) == paid + MASKS - kept


def test_what_cannot_start(cluster):
    def broken():
        raise ImportError("no such model")

    with pytest.raises(WorkerError, match="no such model"):
        ray_value(broken, 1, num_gpus=0)
    with pytest.raises(WorkerError, match=r"No actor was ready within 2 s; .*'CPU': 2"):
        ray_value(broken, 1, num_gpus=1, start_limit=2)
    with pytest.raises(ValueError, match="workers must be at least 1"):
        ray_value(broken, 0)
