"""Taking turns among processes that pay for the same thing, by locks that die with their holder."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: no turns, so two processes at once may both pay for a chunk
    fcntl = None  # type: ignore[assignment]

_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 10.0


class Turns:
    """Locks on the bytes of an empty file beside a store, one byte per value function.

    The system releases a lock when its process ends, however it ends. Locks hold between
    processes, not between threads of one.
    """

    def __init__(self, path: Path):
        self._path = path.with_name(path.name + "-turns")
        self._file: IO[bytes] | None = None

    @contextmanager
    def take(self, number: int) -> Iterator[None]:
        """Waits until no other process holds ``number``, and holds it."""
        if fcntl is None:
            yield
            return
        if self._file is None:
            self._file = self._path.open("ab")
        held = self._wait(self._file, number)
        try:
            yield
        finally:
            if held:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def _wait(self, file: IO[bytes], number: int) -> bool:
        start, told = time.monotonic(), False
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                return True
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
            except OSError:  # a file system without locks
                return False

    def close(self) -> None:
        """Gives back everything held."""
        if self._file is not None:
            self._file.close()
            self._file = None
