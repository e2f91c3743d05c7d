"""The durable journal of model calls: what was paid for once is never paid for again.

A store is one SQLite file in WAL mode. It keeps, for each value function, chunks of packed masks
with their values, float32 where that loses nothing and float64 elsewhere, each committed in a
transaction of its own before the next chunk is asked for.
A process that is killed therefore loses the chunk in flight and nothing else; a power cut may
lose the last few commits, but never harms the file. Every chunk carries a checksum over its
function, masks and values, so that a damaged file is reported instead of believed.

A function is known by its ``store_key``: a text that must differ whenever the values would
(another model, text, or scoring). The adapters of this library build theirs with
:func:`fingerprint`; for a function of your own you choose it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spexjax.store.database import Database, StoreError, StoreWarning
from spexjax.store.fingerprint import fingerprint
from spexjax.store.journal import FunctionInfo, Journal, short
from spexjax.store.locks import FileLocks

__all__ = [
    "FunctionInfo",
    "Journal",
    "Store",
    "StoreError",
    "StoreWarning",
    "fingerprint",
    "key_of",
    "opened",
]

VERSION = 2  # in version 1 all values were float32
_APPLICATION = 0x73706578  # "spex"
_LONGEST_KEY = 100_000
_ROWS_PER_CHUNK = 4096
_SCHEMA = {
    "functions": (
        "CREATE TABLE functions (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, "
        "n INTEGER NOT NULL, outputs INTEGER)"
    ),
    "chunks": (
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY AUTOINCREMENT, function INTEGER NOT NULL, "
        "size INTEGER NOT NULL, masks BLOB NOT NULL, answers BLOB NOT NULL, "
        "checksum INTEGER NOT NULL)"
    ),
    "chunks_of_function": "CREATE INDEX chunks_of_function ON chunks (function, id)",
}


class Store:
    """A journal file; a context manager.

    Args:
      path: the file; made if there is none (its folder must exist).
      read_only: never write, not even to make the file.

    Raises:
      StoreError: if the file is no store, damaged, of a newer version, or cannot be written.
    """

    def __init__(self, path: str | Path, read_only: bool = False):
        self.path = Path(path)
        self.database = Database(self.path, _APPLICATION, VERSION, _SCHEMA, read_only)
        self.locks = FileLocks(self.path)

    def close(self) -> None:
        """Closes the file; the last process to do so folds the write-ahead log into it."""
        self.locks.close()
        self.database.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def functions(self) -> list[FunctionInfo]:
        """What is stored, one entry per value function."""
        with self.database.clear("read"):
            rows = self.database.execute(
                "SELECT f.id, f.key, f.n, f.outputs, COALESCE(SUM(c.size), 0) FROM functions f "
                "LEFT JOIN chunks c ON c.function = f.id GROUP BY f.id ORDER BY f.id"
            ).fetchall()
        return [self._function(row) for row in rows]

    def journal(self, key: str, n: int) -> "Journal":
        """The stored values of one function, to be asked and added to.

        Args:
          key: the function's ``store_key``, not empty.
          n: its number of features.

        Raises:
          StoreError: if the key is stored for another number of features.
        """
        if not isinstance(key, str) or not key.strip() or len(key) > _LONGEST_KEY:
            raise StoreError("store_key must be a text, neither empty nor very long.")
        with self.database.clear("read"):
            query = "SELECT id, key, n, outputs, 0 FROM functions WHERE key = ?"
            row = self.database.execute(query, (key,)).fetchone()
            if row is None and not self.database.read_only:
                with self.database.transaction():
                    self.database.execute(
                        "INSERT OR IGNORE INTO functions (key, n) VALUES (?, ?)", (key, n)
                    )
                row = self.database.execute(query, (key,)).fetchone()
        if row is None:
            raise StoreError(f"{self.path} holds nothing under store_key {short(key)}.")
        function = self._function(row)
        if function.n != n:
            raise StoreError(
                f"store_key {short(key)} is stored in {self.path} for a function of "
                f"{function.n} features, not {n}: another function needs another store_key."
            )
        return Journal(self.database, self.locks, function)

    def merge(self, other: "Store") -> int:
        """Adds what another store holds and this one does not; returns the number of values."""
        added = 0
        for function in other.functions():
            masks, values = other.journal(function.key, function.n).everything()
            mine = self.journal(function.key, function.n)
            fresh = ~mine.known(masks)
            for start in range(0, int(fresh.sum()), _ROWS_PER_CHUNK):
                rows = np.flatnonzero(fresh)[start : start + _ROWS_PER_CHUNK]
                mine.add(masks[rows], values[rows])
            if mine.unsaved:
                raise StoreError(f"{self.path} could not be written; {added} values were merged.")
            added += int(fresh.sum())
        return added

    def vacuum(self) -> None:
        """Rewrites every function in large chunks without repeated masks, and frees the space."""
        for function in self.functions():
            with self.database.clear("rewritten"), self.database.transaction():
                journal = Journal(self.database, self.locks, function)
                masks, values = journal.everything()
                self.database.execute("DELETE FROM chunks WHERE function = ?", (function.id,))
                for start in range(0, len(masks), _ROWS_PER_CHUNK):
                    stop = start + _ROWS_PER_CHUNK
                    journal.write(masks[start:stop], values[start:stop])
        with self.database.clear("rewritten"):
            self.database.execute("VACUUM")
            self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _function(self, row: tuple) -> FunctionInfo:
        _, key, n, outputs, _ = row
        sound = isinstance(key, str) and type(n) is int and 1 <= n <= 10**7
        if not sound or not (outputs is None or (type(outputs) is int and 0 <= outputs < 2**31)):
            raise StoreError(f"{self.path} is damaged: a function's entry makes no sense.")
        return FunctionInfo(*row)


@contextmanager
def opened(
    store: "str | Path | Store | None", f: Any, n: int, store_key: str | None = None
) -> Iterator[Journal | None]:
    """The journal of a value function in a store, for the length of a run; None without a store.

    Args:
      store: a file, which is closed at the end, or a :class:`Store`, which is left open.
      f: the value function; its ``store_key`` is used if none is given.
      n: its number of features.
      store_key: names f.

    Raises:
      StoreError: if there is no key: the store would have to guess whose values it holds.
    """
    if store is None:
        yield None
        return
    key = key_of(f, store_key)
    given = isinstance(store, Store)
    file = store if isinstance(store, Store) else Store(store)
    try:
        journal = file.journal(key, n)
        try:
            yield journal
        finally:
            journal.flush()
    finally:
        if not given:
            file.close()


def key_of(f: Any, store_key: str | None) -> str:
    """The key given, or else the function's own.

    Raises:
      StoreError: if there is neither.
    """
    key = getattr(f, "store_key", None) if store_key is None else store_key
    if key is None:
        raise StoreError(
            "store needs a store_key: a text that names the value function and differs whenever "
            "its values would, such as 'my-model-v1, question 7'."
        )
    return key
