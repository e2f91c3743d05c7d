"""Masks over any ``concurrent.futures.Executor``: processes of this host, Dask, MPI."""

import dataclasses
import os
import uuid
from concurrent.futures import Executor, Future

import numpy as np

from spexjax.models.distributed import worker
from spexjax.models.distributed.remote import RemoteValue
from spexjax.models.distributed.worker import About, MakeFunction, Reply


def executor_value(
    make_f: MakeFunction, executor: Executor, workers: int | None = None
) -> RemoteValue:
    """A value function that the workers of an executor evaluate together.

    Each process of the executor makes the function when it is first asked, and keeps it until it
    is asked for another one. Whether a lost worker costs time or ends the run is the executor's
    affair: Dask starts another, a process pool breaks; with a store a second run goes on.

    Args:
      make_f: makes the value function, in a worker, so it must get there: for a process pool it is
        a function at the top of a module, or ``functools.partial`` of one.
      executor: a process pool, Dask's ``client.get_executor()``, mpi4py's ``MPIPoolExecutor``, ….
        Open until the last value is there; its threads, if it has any, share one function.
      workers: how many work at once; twice as many chunks are given to the executor, so that
        none waits for us. The CPUs of this host if None.

    Raises:
      ValueError: if ``workers`` is below 1.
    """
    workers = (os.cpu_count() or 1) if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}.")
    slot = _InQueue(executor, uuid.uuid4().hex, make_f)
    about = executor.submit(_about, slot.name, make_f).result()
    return RemoteValue((slot,) * (2 * workers), workers, about)


@dataclasses.dataclass(frozen=True)
class _InQueue:
    """A place in an executor's queue."""

    executor: Executor
    name: str
    make_f: MakeFunction

    def ask(self, packed: np.ndarray, n: int) -> "Future[Reply]":
        return self.executor.submit(_ask, self.name, self.make_f, packed, n)

    def ready(self) -> Future:
        now: Future = Future()
        now.set_result(None)
        return now


def _about(name: str, make_f: MakeFunction) -> About:
    return worker.held(name, make_f).about()


def _ask(name: str, make_f: MakeFunction, packed: np.ndarray, n: int) -> Reply:
    return worker.held(name, make_f).ask(packed, n)
