"""Finished pieces of work as lines of a file, so that a killed run goes on where it was."""

import json
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Journal(Generic[T]):
    """Records of one kind, a line of JSON each, written when they are finished.

    A line that a kill has cut short is passed over: its work is done again.

    Attributes:
      path: of the file; None keeps the records in memory only.
      done: the records by their keys.
    """

    def __init__(self, path: Path | None, kind: type[T], key: Callable[[T], Hashable]):
        self.path, self.key = path, key
        self.done: dict[Hashable, T] = {}
        text = path.read_text(encoding="utf-8") if path is not None and path.exists() else ""
        for line in text.splitlines():
            try:
                record = msgspec.convert(json.loads(line), kind)
            except (json.JSONDecodeError, msgspec.ValidationError):
                continue
            self.done[key(record)] = record
        if text and not text.endswith("\n"):
            self._append("\n")

    def add(self, record: T) -> T:
        """Writes a finished record."""
        self._append(f"{msgspec.json.encode(record).decode()}\n")
        self.done[self.key(record)] = record
        return record

    def forget(self, unwanted: Callable[[T], bool]) -> None:
        """Removes records, from the file too."""
        self.done = {key: record for key, record in self.done.items() if not unwanted(record)}
        if self.path is not None and self.path.exists():
            new = self.path.with_suffix(".new")
            new.write_bytes(b"".join(msgspec.json.encode(r) + b"\n" for r in self.done.values()))
            new.replace(self.path)

    def _append(self, text: str) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)


def plain(value: Any) -> Any:
    """What JSON keeps of a value: arrays are lists, what is not a finite number is None."""
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=lambda x: x.tolist()))
