"""Tables and sections, written as Markdown or HTML."""

import html
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

    def html(self) -> str:
        """The table as HTML."""
        head = "".join(f"<th>{html.escape(c)}</th>" for c in self.head)
        body = ""
        for i, row in enumerate(self.rows):
            cells = "".join(
                f"<td{' class=strong' if (i, j) in self.strong else ''}>{html.escape(c)}</td>"
                for j, c in enumerate(row)
            )
            body += f"<tr>{cells}</tr>"
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


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
