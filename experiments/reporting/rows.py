"""What a benchmark gives: rows, printed one by one as they are found."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


def _nothing(rows: list[tuple]) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Rows:
    """A table that grows while it is computed.

    Attributes:
      title: what was measured, on what.
      columns: the head of each column → the format of its cells, such as ``">8.3f"``. None is
        shown as a dash, text as it is.
      rows: as many cells as there are columns, or fewer; computed when asked for.
      notes: lines below the table, once it is complete.
    """

    title: str
    columns: Mapping[str, str]
    rows: Iterable[tuple[Any, ...]]
    notes: Callable[[list[tuple[Any, ...]]], Iterable[str]] = _nothing

    def show(self) -> list[tuple[Any, ...]]:
        """Prints the table, each row when it is there, and returns the rows."""
        print(self.title)
        heads = (_cell(head, fmt) for head, fmt in self.columns.items())
        print("  ".join(heads).rstrip())
        done = []
        for row in self.rows:
            cells = (_cell(x, fmt) for x, fmt in zip(row, self.columns.values(), strict=False))
            print("  ".join(cells).rstrip(), flush=True)
            done.append(row)
        for note in self.notes(done):
            print(note)
        return done


def _cell(value: Any, fmt: str) -> str:
    if value is None or isinstance(value, str):
        return format("–" if value is None else value, _plain(fmt))
    return format(value, fmt)


def _plain(fmt: str) -> str:
    """Alignment and width of a format."""
    width = fmt[1:].split(".")[0].strip("+%defgs,")
    return fmt[0] + width if fmt else ""
