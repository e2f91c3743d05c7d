"""Chunks of masks to whoever is idle, answers as they come: one loop for every engine."""

import dataclasses
import time
import warnings
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Int, UInt32

from spexjax.models.distributed.worker import Reply

_TRIES = 4
_GRACE_SECONDS = 10.0
_SILENCE_SECONDS = 60.0
_MOST, _ROUNDS = 512, 8


class WorkerError(RuntimeError):
    """The value function failed in a worker, or no worker is left."""


class Slot(Protocol):
    """Room for one chunk: a worker of its own, or a place in an engine's queue."""

    def ask(self, packed: UInt32[np.ndarray, "rows W"], n: int) -> "Future[Reply]":
        """What comes of a chunk."""
        ...

    def ready(self) -> Future:
        """Done once a chunk can be asked for; fails if that will never be."""
        ...


def size_of_chunks(
    masks: int, workers: int, chunk_size: int | None, own: int | None, batch: int
) -> int:
    """Masks per chunk: so few that every worker has several, so many that batches are full.

    Args:
      masks: in all.
      workers: that share them.
      chunk_size: what the user wants, and then gets; None leaves it to us.
      own: the most that the function takes at once, or None.
      batch: masks that one run of its program takes.
    """
    if chunk_size is not None:
        return chunk_size
    share = -(-masks // (_ROUNDS * workers))
    return max(min(-(-share // batch) * batch, own or _MOST), 1)


def answers(
    slots: Sequence[Slot],
    packed: UInt32[np.ndarray, "N W"],
    n: int,
    size: int,
    store_key: str | None = None,
    lost: tuple[type[BaseException], ...] = (),
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    """Places and values of the masks as they come, every place once.

    A chunk whose worker is lost goes to the next that is idle. When the function fails, or at
    ctrl-C, no more is asked for, and what is under way is waited for and given first: at ctrl-C
    for some seconds.

    Args:
      slots: whom to ask.
      packed, n: the masks.
      size: masks per chunk.
      store_key: of the function, which all workers must have.
      lost: the errors that mean that a worker is gone, and not that the function failed.

    Raises:
      WorkerError: if the function fails, a chunk ended several workers, or no worker is left.
      KeyboardInterrupt: at ctrl-C.
    """
    run = _Run(packed, n, store_key, lost)
    run.todo.extend(np.split(np.arange(len(packed)), range(size, len(packed), size)))
    for slot in slots:
        run.under_way[slot.ready()] = _Work(slot)
    try:
        while run.unfinished:
            run.submit()
            for future in run.wait():
                answer = run.settle(future)
                if answer is not None:
                    yield answer
    finally:
        run.withdraw()
    if run.failure is not None:
        raise run.failure


class _Work(NamedTuple):
    slot: Slot
    places: Int[np.ndarray, "rows"] | None = None
    """Of the chunk asked for; None while it is not known whether the slot is ready."""


@dataclasses.dataclass
class _Run:
    """How far :func:`answers` is."""

    packed: UInt32[np.ndarray, "N W"]
    n: int
    store_key: str | None
    lost: tuple[type[BaseException], ...]
    todo: deque[np.ndarray] = dataclasses.field(default_factory=deque)
    idle: list[Slot] = dataclasses.field(default_factory=list)
    under_way: dict[Future, _Work] = dataclasses.field(default_factory=dict)
    tries: Counter[int] = dataclasses.field(default_factory=Counter)
    failure: BaseException | None = None
    deadline: float | None = None
    told: bool = False

    @property
    def unfinished(self) -> bool:
        return bool(self.todo and self.failure is None) or self._asked

    @property
    def _asked(self) -> bool:
        """Whether a chunk is under way."""
        return any(work.places is not None for work in self.under_way.values())

    def submit(self) -> None:
        """Gives chunks to all that are idle."""
        while self.idle and self.todo and self.failure is None:
            work = _Work(self.idle.pop(), self.todo[0])
            try:
                future = work.slot.ask(self.packed[self.todo[0]], self.n)
            except Exception as error:  # an executor that is broken or shut down
                self._fail(f"The engine takes no more chunks: {error!r}", error)
                return
            self.todo.popleft()
            self.under_way[future] = work

    def wait(self) -> set[Future]:
        """The futures that are done, one at least; none if that is not to be waited for."""
        if not self.under_way:
            self._fail("No worker is left.")
            return set()
        limit = _SILENCE_SECONDS if self.deadline is None else self.deadline - time.monotonic()
        try:
            done = wait(self.under_way, max(limit, 0.0), FIRST_COMPLETED).done
        except KeyboardInterrupt as stop:
            if self.deadline is not None:  # the second one
                raise
            self.failure, self.deadline = stop, time.monotonic() + _GRACE_SECONDS
            self.withdraw()
            return set()
        if not done and self.deadline is not None:
            self.under_way.clear()
        elif not done and not self._asked and not self.told:
            self.told = True
            warnings.warn(
                f"No worker has been ready for {_SILENCE_SECONDS:.0f} s; waiting for the engine "
                "to start one. Has it what a worker needs?",
                RuntimeWarning,
                stacklevel=2,
            )
        return done

    def settle(self, future: Future) -> tuple[np.ndarray, np.ndarray] | None:
        """Places and values, if a future has brought some."""
        slot, places = self.under_way.pop(future)
        error = _error_of(future)
        if places is None:
            if error is None:
                self.idle.append(slot)
            elif not self.under_way and not self.idle:
                self._fail(f"No worker is left; the last one: {error}", error)
            return None
        if isinstance(error, self.lost):
            self._again(places, error)
            self.under_way[slot.ready()] = _Work(slot)
            return None
        if error is not None:
            self._fail(f"A worker ended: {error!r}", error)
            return None
        self.idle.append(slot)
        reply: Reply = future.result()
        if reply.store_key != self.store_key:
            self._fail(
                f"A worker has another function: its store_key is {reply.store_key!r}, that of "
                f"the others {self.store_key!r}."
            )
            return None
        if reply.failure is not None:
            self._fail(reply.failure[0])
            if self.failure is not None:
                self.failure.add_note(reply.failure[1])
        return (places[reply.places], reply.values) if len(reply.places) else None

    def withdraw(self) -> None:
        """Takes back what no worker has begun."""
        self.under_way = {f: work for f, work in self.under_way.items() if not f.cancel()}

    def _again(self, places: np.ndarray, error: BaseException | None) -> None:
        self.todo.appendleft(places)
        self.tries[int(places[0])] += 1
        if self.tries[int(places[0])] == _TRIES:
            self._fail(f"{len(places)} masks ended {_TRIES} workers; the last: {error}", error)

    def _fail(self, what: str, cause: BaseException | None = None) -> None:
        if self.failure is None:
            self.failure = WorkerError(what)
            self.failure.__cause__ = cause
            self.withdraw()


def _error_of(future: Future) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:  # by the engine
        return error
