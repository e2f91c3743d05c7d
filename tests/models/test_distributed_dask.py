"""Dask: its executor is one like others, and a worker that ends costs time only."""

import os
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest
from remote_functions import N, Planted, calls, some_masks, values_of

from spexjax import values
from spexjax.codes import gf2
from spexjax.models.distributed import executor_value

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


def test_a_worker_of_dask_is_killed(tmp_path):
    masks, killed = some_masks(300), []

    def kill():
        while sum(map(len, calls(tmp_path).values())) < 60:
            time.sleep(0.01)
        killed.append(next(iter(calls(tmp_path))))
        os.kill(killed[0], signal.SIGKILL)

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        make = partial(Planted, str(tmp_path), 0.02)
        f = executor_value(make, client.get_executor(), workers=2)
        threading.Thread(target=kill).start()
        found = values.evaluate(f, gf2.pack_numpy(masks, 1), N, 5)
    np.testing.assert_array_equal(found, values_of(masks))
    asked = np.concatenate(list(calls(tmp_path).values()))
    assert killed and len(calls(tmp_path)) >= 2
    assert 300 <= len(asked) <= 300 + 2 * 5 * 2  # Dask may ask again for what the worker held
    assert len(np.unique(asked, axis=0)) == 300
