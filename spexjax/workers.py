"""Parts of a fit that do not wait for each other, each on a thread of its own.

What one thread asks of XLA is done in that order, on one core for the most part: other cores are
idle unless other threads ask.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import jax

T = TypeVar("T")
_NAME = "spexjax-worker"
# Set for one thread alone they hold in no other.
_SETTINGS = (
    "jax_enable_x64", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion",
    "jax_default_matmul_precision", "jax_default_device", "jax_debug_nans", "jax_disable_jit",
    "jax_transfer_guard_host_to_device", "jax_transfer_guard_device_to_host",
    "jax_transfer_guard_device_to_device",
)  # fmt: skip

_begun: ContextVar[list[Future[Any]] | None] = ContextVar("begun", default=None)


def settings() -> tuple[Any, ...]:
    """What of JAX's configuration holds in this thread."""
    return tuple(getattr(jax.config, name) for name in _SETTINGS)


def begin(function: Callable[..., T], *columns: Iterable[Any]) -> list[Future[T]]:
    """Calls ``function`` with each row of arguments; as many calls run at once as there are cores.

    The calls are made before this returns, on the caller's thread, where that has settings of JAX
    of its own, and where it is a worker itself.
    """
    rows = list(zip(*columns, strict=True))
    if threading.current_thread().name.startswith(_NAME) or not _as_here():
        return [_called(function, row) for row in rows]
    calls = [_pool().submit(function, *row) for row in rows]
    begun = _begun.get()
    if begun is not None:
        begun.extend(calls)
    return calls


def finish(calls: Sequence[Future[T]]) -> list[T]:
    """What the calls return, once all have; what the first that fails raises."""
    return [call.result() for call in calls]


@contextmanager
def awaited() -> Iterator[None]:
    """Calls begun inside the block that still wait for a thread when it is left are not made.

    Whatever ended it, nobody wants them any more.
    """
    begun: list[Future[Any]] = []
    token = _begun.set(begun)
    try:
        yield
    finally:
        _begun.reset(token)
        for call in begun:
            call.cancel()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), _NAME)


def _as_here() -> bool:
    """Whether a worker has the settings of this thread."""
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(settings).result() == settings()


def _called(function: Callable[..., T], row: tuple[Any, ...]) -> Future[T]:
    call: Future[T] = Future()
    try:
        call.set_result(function(*row))
    except Exception as error:
        call.set_exception(error)
    return call
