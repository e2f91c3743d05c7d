"""What a long computation is at, told to whoever wants to know."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, float], object]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def tell(phase: str, share: float) -> None:
    """Says which phase begins, and which share of the whole, 0 to 1, is behind."""
    listener = _listener.get()
    if listener is not None:
        listener(phase, share)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Calls ``listener`` with what this thread tells inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def part(start: float, stop: float) -> Iterator[None]:
    """What is told inside the block is a part of the whole, from one share of it to another."""
    outer = _listener.get()
    if outer is None:
        yield
        return
    with heard_by(lambda phase, share: outer(phase, start + (stop - start) * share)):
        yield
