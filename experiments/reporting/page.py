"""Sections with their pictures as one page, in Markdown and in HTML."""

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jinja2

from spexjax.experiments.reporting.tables import Section


class Part(NamedTuple):
    """One section of the page.

    Attributes:
      name: of its picture's file, without the ending.
      section: its tables.
      png: its picture.
      how: settings and versions, in a line.
    """

    name: str
    section: Section
    png: bytes
    how: str

    @property
    def base64(self) -> str:
        """The picture in letters."""
        return base64.b64encode(self.png).decode()


def write(folder: Path, parts: Sequence[Part]) -> tuple[Path, Path]:
    """Writes ``report.md`` with its pictures and ``report.html``, which stands alone."""
    lines = ["# Experiments"]
    for part in parts:
        (folder / f"{part.name}.png").write_bytes(part.png)
        picture = f"![{part.section.title}]({part.name}.png)"
        lines += [part.section.markdown(), picture, part.how]
    markdown, page = folder / "report.md", folder / "report.html"
    markdown.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    source = resources.files("spexjax.experiments.reporting") / "page.html"
    template = jinja2.Environment(autoescape=True).from_string(source.read_text(encoding="utf-8"))
    page.write_text(template.render(parts=parts), encoding="utf-8")
    return markdown, page
