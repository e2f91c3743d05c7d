"""Linear algebra on one thread.

Matrices here have some hundreds of rows. The threads of BLAS wait for each other, and for those of
XLA, longer than such products take: with two on two cores a fit took two to six times as long.
Who asks for a fit asks for this too, not the workers that it is done by: ``threadpoolctl`` lets the
thread that came first set the number, and ignores others.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

_lock = Lock()
_users = 0
_limit: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block BLAS has one thread, in all of this process: it has no other setting."""
    global _users, _limit
    with _lock:
        if not _users:
            _limit = _libraries().limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _limit.restore_original_limits()


@cache
def _libraries() -> Any:
    import scipy.linalg  # noqa: F401 (has a BLAS of its own, which must be there to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
