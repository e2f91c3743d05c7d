"""Tables and sections, written as Markdown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Cells of text below a head; ``strong`` marks (row, column) to stand out."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    strong: frozenset[tuple[int, int]] = frozenset()

    def markdown(self) -> str:
        """The table with aligned columns."""
        rows = [
            tuple(f"**{c}**" if (i, j) in self.strong else c for j, c in enumerate(row))
            for i, row in enumerate(self.rows)
        ]
        widths = [max(3, *(len(r[j]) for r in [self.head, *rows])) for j in range(len(self.head))]

        def line(row: tuple[str, ...]) -> str:
            return "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"

        rule = "| " + " | ".join("-" * w for w in widths) + " |"
        body = "\n".join([line(self.head), rule, *map(line, rows)])
        return f"{self.caption}\n\n{body}" if self.caption else body


@dataclass(frozen=True)
class Section:
    """What an experiment has to say: a line of introduction, tables, notes below them."""

    title: str
    intro: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The section below a heading of the second level."""
        notes = "\n".join(f"- {note}" for note in self.notes)
        parts = [f"## {self.title}", self.intro, *(t.markdown() for t in self.tables), notes]
        return "\n\n".join(part for part in parts if part)
