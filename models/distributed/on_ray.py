"""Masks over the workers of a Ray cluster."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

import numpy as np

from spexjax.models.distributed.remote import RemoteValue
from spexjax.models.distributed.scheduling import WorkerError
from spexjax.models.distributed.worker import About, MakeFunction, Reply, Worker


def ray_value(
    make_f: MakeFunction,
    workers: int = 8,
    *,
    num_gpus: float = 1,
    num_cpus: float = 1,
    max_restarts: int = 16,
    start_limit: float = 300.0,
    options: Mapping[str, Any] | None = None,
) -> RemoteValue:
    """A value function that Ray actors evaluate together.

    Every actor holds a copy of the model and asks for the next chunk when it is done with one, so
    a slow one holds nobody up. One that dies is started again by Ray, and its chunk goes to the
    next that is idle: a lost process or node costs time and nothing else. The actors end with the
    returned object. ``pip install ray``; without ``ray.init(…)`` before, Ray is started
    on this host, or found by ``RAY_ADDRESS``.

    Args:
      make_f: makes the value function, in an actor; any function that can be pickled by Ray.
      workers: actors. Those that come late join later; one is enough to begin.
      num_gpus, num_cpus: of each actor; 0 GPUs for models on CPUs.
      max_restarts: times that each actor may come back; -1 for ever.
      start_limit: seconds within which the first actor must have made its function.
      options: further ones of the actors, such as ``resources`` or ``runtime_env``.

    Raises:
      ValueError: if ``workers`` is below 1.
      ImportError: if Ray is not installed.
      WorkerError: if no actor is ready in time, or the function cannot be made.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}.")
    import ray
    from ray import exceptions

    actor = ray.remote(Worker).options(
        num_gpus=num_gpus, num_cpus=num_cpus, max_restarts=max_restarts,
        max_task_retries=0,  # a chunk is asked for again elsewhere, not where it was lost
        **(options or {}),
    )  # fmt: skip
    slots = [_Actor(actor.remote(make_f)) for _ in range(workers)]
    about = _first([slot.ready() for slot in slots], start_limit, ray.cluster_resources)
    lost = (exceptions.RayActorError, exceptions.ObjectLostError)
    return RemoteValue(tuple(slots), workers, about, lost)


class _Actor:
    """One actor, which is asked for one chunk at a time."""

    def __init__(self, handle: Any):
        self.handle = handle

    def ask(self, packed: np.ndarray, n: int) -> "Future[Reply]":
        return _running(self.handle.ask.remote(packed, n))

    def ready(self) -> "Future[About]":
        # Tried again until the actor is back, or gone for good.
        return _running(self.handle.about.options(max_task_retries=-1).remote())


def _running(reference: Any) -> Future:
    """The future of an object of Ray that cannot be cancelled: an actor may be at work on it."""
    future: Future = Future()
    future.set_running_or_notify_cancel()

    def copy(told: Future) -> None:
        error = told.exception()
        if error is None:
            future.set_result(told.result())
        else:
            future.set_exception(error)

    reference.future().add_done_callback(copy)
    return future


def _first(ready: list[Future], limit: float, there: Callable[[], Mapping[str, Any]]) -> About:
    """What the first actor that is ready says.

    Raises:
      WorkerError: if all fail, or none is ready in time.
    """
    waiting, deadline = set(ready), time.monotonic() + limit
    error: BaseException | None = None
    while waiting:
        done, waiting = wait(waiting, max(deadline - time.monotonic(), 0.0), FIRST_COMPLETED)
        if not done:
            raise WorkerError(f"No actor was ready within {limit:.0f} s; Ray has {there()}.")
        for future in done:
            error = future.exception()
            if error is None:
                return future.result()
    raise WorkerError(f"The value function could not be made: {error}") from error
