"""JSON and CSV files of data sets, read strictly: what is wrong is named by file and place."""

import csv
import io
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn, TypeVar

import msgspec

T = TypeVar("T")
Filled = Annotated[str, msgspec.Meta(pattern=r"\S")]
"""Text that is not blank."""
Count = Annotated[int, msgspec.Meta(ge=0)]
"""An integer from 0."""


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


def read_json(path: str | Path, kind: type[T]) -> T:
    """The value that a JSON file holds, of a type that msgspec knows.

    Raises:
      DataError: if it is not JSON in UTF-8, or something in it is of another type; it is named.
      OSError: if the file cannot be read.
    """
    return _decoded(str(path), read_text(path), kind)


def read_named(path: str | Path, kind: type[T]) -> dict[str, T]:
    """As :func:`read_json` for an object of many records, whose names errors say, too."""
    found = read_json(path, dict[str, msgspec.Raw])
    return {name: _decoded(f"{path}: {name!r}", raw, kind) for name, raw in found.items()}


def _decoded(where: str, text: str | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError as error:
        raise DataError(f"{where}: nested too deeply.") from error
    except msgspec.DecodeError as error:  # validation's among them
        raise DataError(f"{where}: {error}.") from error


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
