"""Locks between processes that ask the same value function; they die with their holder."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from spexjax.store.database import StoreWarning

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 10.0
_SUFFIX = "-turns"  # as in version 0.1, whose processes may share the store


class FileLocks:
    """Locks on the bytes of an empty file beside a store, one byte per value function.

    The system releases a lock when its process ends, however it ends. Locks hold between
    processes, not between threads of one. On Windows there are none: two processes at once may
    both pay for a chunk, and the first value stored stays.
    """

    def __init__(self, path: Path):
        self._path = path.with_name(path.name + _SUFFIX)
        self._file: IO[bytes] | None = None
        self._warned = False

    @contextmanager
    def exclusive(self, number: int) -> Iterator[None]:
        """Waits until no other process holds ``number``, and holds it.

        Warns:
          RuntimeWarning: if another process has held it for long; it goes on waiting.
          StoreWarning: once, if the system refuses the lock; it goes on without.
        """
        if fcntl is None:
            yield
            return
        try:
            file = self._acquire(number)
        except OSError as error:  # no room for the file, or a file system without locks
            file = None
            self._warn(error)
        try:
            yield
        finally:
            if file is not None:
                fcntl.lockf(file, fcntl.LOCK_UN, 1, number)

    def _acquire(self, number: int) -> IO[bytes]:
        if self._file is None:
            self._file = self._path.open("ab")
        start, told = time.monotonic(), False
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                return self._file
            except (BlockingIOError, PermissionError):
                if not told and time.monotonic() - start > _PATIENCE_SECONDS:
                    told = True
                    warnings.warn(
                        f"Another process is asking the same value function ({self._path}); "
                        "waiting for its chunk instead of paying for it twice.",
                        RuntimeWarning,
                        stacklevel=2,
                    )
                time.sleep(_POLL_SECONDS)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._path} could not be locked ({error}): while another process asks the same "
                "value function, both may pay for the same chunk.",
                StoreWarning,
                stacklevel=2,
            )

    def close(self) -> None:
        """Releases everything held."""
        if self._file is not None:
            self._file.close()
            self._file = None
