"""What a worker of any engine does: it makes the value function once, and is asked many times."""

import os
import socket
import threading
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt32

from spexjax import values
from spexjax.values.calling import OnDevice, ValueFunctionError

MakeFunction = Callable[[], Any]
"""Makes the value function, within a worker: it loads the model there."""


class About(NamedTuple):
    """What a driver wants to know of a value function that only its workers hold."""

    n: int | None
    words: tuple[str, ...] | None
    description: str | None
    store_key: str | None
    chunk_size: int | None
    batch_size: int
    """Masks that one run of the model's program takes, whether there are so many or not."""


class Reply(NamedTuple):
    """What came of one chunk."""

    places: Int[np.ndarray, "rows"]
    """Of the masks asked for, those that have a value."""
    values: Float[np.ndarray, "rows *K"]
    store_key: str | None
    failure: tuple[str, str] | None
    """Why not all have: in a line, and the traceback."""


class Worker:
    """A value function in the process that evaluates it.

    Args:
      make_f: makes it.
    """

    def __init__(self, make_f: MakeFunction):
        self.f = make_f()
        inner = self.f.function if isinstance(self.f, OnDevice) else self.f
        words = getattr(inner, "words", None)
        self._about = About(
            n=getattr(inner, "n", None),
            words=None if words is None else tuple(words),
            description=getattr(inner, "description", None),
            store_key=getattr(inner, "store_key", None),
            chunk_size=getattr(inner, "chunk_size", None),
            batch_size=getattr(inner, "batch_size", 1),
        )

    def about(self) -> About:
        """What the function is."""
        return self._about

    def ask(self, packed: UInt32[np.ndarray, "rows W"], n: int) -> Reply:
        """The values of one chunk of masks. An error of the function is part of the reply."""
        key = self._about.store_key
        try:
            found = np.asarray(values.evaluate(self.f, packed, n, len(packed)))
            return Reply(np.arange(len(packed)), found, key, None)
        except ValueFunctionError as error:
            came = np.zeros(0, np.float32) if error.values is None else error.values
            return Reply(_places(error.masks, packed), came, key, _told(error))


_HELD: dict[str, Worker] = {}
_LOCK = threading.Lock()


def held(name: str, make_f: MakeFunction) -> Worker:
    """This process's worker of that name, made if need be; the one before it is let go."""
    with _LOCK:  # a worker process may have threads
        if name not in _HELD:
            _HELD.clear()
            _HELD[name] = Worker(make_f)
        return _HELD[name]


def _places(some: np.ndarray, packed: np.ndarray) -> Int[np.ndarray, "rows"]:
    """Where the rows ``some``, in their order, are among the rows ``packed``."""
    place, found = -1, []
    for row in some:
        place += 1
        while not np.array_equal(packed[place], row):
            place += 1
        found.append(place)
    return np.array(found, np.int64)


def _told(error: ValueFunctionError) -> tuple[str, str]:
    cause = error.__cause__
    what = str(error) if cause is None else repr(cause)
    trace = "".join(traceback.format_exception(error if cause is None else cause))
    return f"{what} on {socket.gethostname()}, pid {os.getpid()}", trace
