"""JSON and CSV files of data sets, read strictly: what is wrong is named by file, place and field.

A :class:`Node` is a value of a JSON file together with where it stands, so that a reader asks for
what it needs (``node.field("answer").text()``) and every refusal can say which file, which record
and which field, and what was there instead.
"""

import csv
import io
import json
import reprlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn


class DataError(ValueError):
    """A file is not what its format says; the message begins with the file."""


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
      DataError: if it is not UTF-8.
      OSError: if it cannot be read.
    """
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text at byte {error.start}.") from error


class _Repeated(dict):
    """A JSON object in which a field stands twice."""

    def __init__(self, pairs: list[tuple[str, Any]], name: str):
        super().__init__(pairs)
        self.name = name


def _object(pairs: list[tuple[str, Any]]) -> dict:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            return _Repeated(pairs, name)
        found[name] = value
    return found


def read_json(path: str | Path) -> "Node":
    """The value that a JSON file holds.

    Raises:
      DataError: if it is not JSON in UTF-8.
      OSError: if it cannot be read.
    """
    text = read_text(path)
    try:
        return Node(json.loads(text, object_pairs_hook=_object), Path(path))
    except RecursionError as error:
        raise DataError(f"{path}: nested too deeply.") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}.") from error


class Node(NamedTuple):
    """A value of a JSON file and where it stands."""

    value: Any
    file: Path
    place: str = "$"
    """Its path from the root ``$``, such as ``$[3].context[0]``."""

    def fail(self, wanted: str) -> NoReturn:
        """Refuses the value.

        Raises:
          DataError: always.
        """
        found = reprlib.repr(self.value)
        raise DataError(f"{self.file}: {self.place} must be {wanted}, got {found}.")

    def fields(self) -> Iterator[tuple[str, "Node"]]:
        """The fields of an object, by name."""
        for name in self._names():
            yield _text(name, self), self._child(name)

    def field(self, name: str) -> "Node":
        """One field of an object, which must be there."""
        if name not in self._names():
            self.fail(f"an object with a field {name!r}")
        return self._child(name)

    def optional(self, name: str) -> "Node | None":
        """One field of an object, None if it is not there."""
        return self._child(name) if name in self._names() else None

    def items(self) -> list["Node"]:
        """The items of a list."""
        if not isinstance(self.value, list):
            self.fail("a list")
        return [Node(v, self.file, f"{self.place}[{i}]") for i, v in enumerate(self.value)]

    def pair(self) -> tuple["Node", "Node"]:
        """The items of a list of two."""
        items = self.items()
        if len(items) != 2:
            self.fail("a list of two")
        return items[0], items[1]

    def text(self) -> str:
        """A string, as it stands."""
        return _text(self.value, self)

    def filled(self) -> str:
        """A string that is not blank."""
        if not self.text().strip():
            self.fail("text that is not blank")
        return self.value

    def name(self) -> str:
        """A name that is not blank; a number will do."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return str(self.number())
        return self.filled()

    def number(self) -> int:
        """An integer from 0."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or self.value < 0:
            self.fail("an integer from 0")
        return self.value

    def one_of(self, options: Iterable[str]) -> str:
        """One of a few strings."""
        if self.text() not in tuple(options):
            self.fail(f"one of {', '.join(options)}")
        return self.value

    def _names(self) -> Iterable[str]:
        if not isinstance(self.value, dict):
            self.fail("an object")
        if isinstance(self.value, _Repeated):
            raise DataError(
                f"{self.file}: the field {self.value.name!r} of {self.place} stands there twice."
            )
        return self.value

    def _child(self, name: str) -> "Node":
        step = f".{name}" if name.isidentifier() else f"[{reprlib.repr(name)}]"
        return Node(self.value[name], self.file, f"{self.place}{step}")


def _text(value: Any, node: Node) -> str:
    if not isinstance(value, str):
        node.fail("text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        node.fail("text without halves of surrogate pairs")
    return value


class Row(NamedTuple):
    """A row of a CSV file and where it ends."""

    cells: list[str]
    file: Path
    number: int
    """Counts records from 1, a header among them."""
    line: int
    """The line of the file that it ends on."""

    def fail(self, problem: str) -> NoReturn:
        """Refuses the row.

        Raises:
          DataError: always.
        """
        raise DataError(f"{self.file}: record {self.number} (to line {self.line}): {problem}.")

    def filled(self, column: int, name: str) -> str:
        """A cell that is not blank."""
        if not self.cells[column].strip():
            self.fail(f"{name} must not be blank")
        return self.cells[column]


def read_csv(path: str | Path, columns: int) -> list[Row]:
    """The rows of a comma-separated UTF-8 file, blank lines left out.

    Args:
      path: the file.
      columns: cells that each row must have.

    Raises:
      DataError: if it is not UTF-8, a quote is not closed, or a row has more cells or fewer.
      OSError: if it cannot be read.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    rows: list[Row] = []
    try:
        for cells in reader:
            if cells:
                rows.append(Row(cells, Path(path), len(rows) + 1, reader.line_num))
                if len(cells) != columns:
                    rows[-1].fail(f"there must be {columns} cells, got {len(cells)}")
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}.") from error
    return rows
