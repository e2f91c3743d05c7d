"""An SQLite file of ours: opened with suspicion, errors in plain words, nothing overwritten."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_BUSY_SECONDS = 60.0
_MAGIC, _SMALLEST_PAGE = b"SQLite format 3\0", 512
_REASONS = {
    "SQLITE_NOTADB": "it is not an SQLite file, or damaged; it was left as it is",
    "SQLITE_CORRUPT": "it is damaged and was left as it is; `spexjax store export` saves what can "
    "still be read",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_FULL": "the disk, or its quota, is full",
    "SQLITE_IOERR": "the disk reports an error; it may be full",
    "SQLITE_CANTOPEN": "it cannot be opened; look at the permissions of the file and its folder",
    "SQLITE_BUSY": f"another program has kept it locked for {_BUSY_SECONDS:.0f} s",
}


class StoreError(ValueError):
    """A store cannot be opened, read or trusted; the message says why and the file is untouched."""


class StoreWarning(RuntimeWarning):
    """A store cannot do all it should; values stay in memory and the run goes on."""


class Database:
    """A connection to a file with one fixed schema.

    Args:
      path: the file; made if there is none (its folder must exist).
      application, version: numbers in the file's header, SQLite's ``application_id`` and
        ``user_version``. A file of an earlier version, from 1, becomes one of this version when
        it is opened for writing, so that an older library refuses it instead of misreading it.
      schema: the SQL of each table and index by name; a file with anything else is refused, so
        that no view or trigger of a stranger runs.
      read_only: never write, not even to make the file.

    Raises:
      StoreError: if the file is of another kind, damaged, of a newer version, or cannot be
        written.
    """

    def __init__(
        self,
        path: Path,
        application: int,
        version: int,
        schema: Mapping[str, str],
        read_only: bool = False,
    ):
        self.path, self.read_only = path, read_only
        if read_only and not path.is_file():
            raise StoreError(f"{path} does not exist.")
        if not path.absolute().parent.is_dir():
            raise StoreError(f"{path} cannot be made: its folder does not exist.")
        self._refuse_other_kinds()
        with self.clear("opened"):
            self.connection = self._connect()
            try:
                self._check(application, version, schema)
                if not read_only:
                    self._use_wal()
            except BaseException:
                self.connection.close()
                raise

    def execute(self, sql: str, values: tuple = ()) -> sqlite3.Cursor:
        """Runs one statement."""
        return self.connection.execute(sql, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits at the end, or undoes all."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.execute("ROLLBACK")
            raise

    @contextmanager
    def clear(self, done: str) -> Iterator[None]:
        """Turns SQLite's errors into a :class:`StoreError` that says what could not be done."""
        try:
            yield
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            code = getattr(error, "sqlite_errorname", None) or ""
            why = next((text for name, text in _REASONS.items() if name in code), str(error))
            raise StoreError(f"{self.path} could not be {done}: {why}.") from error

    def close(self) -> None:
        """Closes the file; the last process to do so folds the write-ahead log into it."""
        self.connection.close()

    def _refuse_other_kinds(self) -> None:
        """SQLite takes a file shorter than a page for an empty one, and would overwrite it."""
        try:
            with self.path.open("rb") as file:
                head = file.read(_SMALLEST_PAGE)
        except OSError:
            return  # there is none, or SQLite will say what is wrong
        if head and (len(head) < _SMALLEST_PAGE or not head.startswith(_MAGIC)):
            raise StoreError(
                f"{self.path} is not an SQLite file, or damaged; it was left as it is."
            )

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self.read_only else "rwc"
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        options: dict[str, Any] = {"uri": True, "timeout": _BUSY_SECONDS, "isolation_level": None}
        connection = sqlite3.connect(uri, **options)
        if not self.read_only:
            return connection
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            # A folder that nobody may write to has no room for WAL's index; nor for a writer.
            connection = sqlite3.connect(f"{uri}&immutable=1", **options)
        return connection

    def _check(self, application: int, version: int, schema: Mapping[str, str]) -> None:
        """Refuses what is not ours before anything is written; makes the tables of a new file."""
        self.execute("PRAGMA trusted_schema = OFF")
        self.execute("PRAGMA cell_size_check = ON")
        if self.read_only:
            self._refuse(application, version, schema)
            return
        with self.transaction():
            empty = not self.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            if empty and not self._header("application_id"):
                for sql in schema.values():
                    self.execute(sql)
                self.execute(f"PRAGMA application_id = {application}")
                self.execute(f"PRAGMA user_version = {version}")
            self._refuse(application, version, schema)
            if self._header("user_version") != version:
                self.execute(f"PRAGMA user_version = {version}")

    def _refuse(self, application: int, version: int, schema: Mapping[str, str]) -> None:
        if self._header("application_id") != application:
            raise StoreError(f"{self.path} is an SQLite file, but not a spexjax store.")
        found = self._header("user_version")
        if found > version:
            raise StoreError(
                f"{self.path} was written by a newer spexjax (format {found}; this one reads "
                f"{version}). Upgrade spexjax, or use another file."
            )
        rows = self.execute("SELECT name, sql FROM sqlite_master").fetchall()
        have = {name: sql for name, sql in rows if not str(name).startswith("sqlite_")}
        if found < 1 or have != schema:
            raise StoreError(f"{self.path} is damaged: its tables are not those of a store.")

    def _header(self, name: str) -> int:
        return self.execute(f"PRAGMA {name}").fetchone()[0]

    def _use_wal(self) -> None:
        """Switches to WAL, in which readers and a writer do not wait for each other."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # here SQLite does not wait by itself
                busy = "SQLITE_BUSY" in (error.sqlite_errorname or "")
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        # Safe against a killed process; a power cut may lose the last commits, never the file.
        self.execute("PRAGMA synchronous = NORMAL")
