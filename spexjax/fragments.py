"""Fragments of HTML for notebooks: a table that sorts itself, and a list of facts.

Colours are those of the notebook around it, light or dark. Where scripts do not run, as on a page
that only shows notebooks, the table is a table; without styles it is a plain one.
"""

import html
from collections.abc import Sequence
from typing import NamedTuple

_RULE = "1px solid rgb(128 128 128 / .35)"
_CELL = f"border:0;border-bottom:{_RULE};padding:.15em .8em .15em 0;background:none;color:inherit"
_NUMBER = "text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"
_QUIET = "margin:0 0 .4em;opacity:.75"
_SIGNS = {True: "#3b8fd0", False: "#d97a2b"}  # seen on white and on black
# Rows by the key of a column; a second click turns them round.
_SORT = (
    "const t=this.closest('table'),b=t.tBodies[0],c=this.parentNode.cellIndex,"
    "d=t.dataset.by===String(c)?-(t.dataset.way||1):1;"
    "t.dataset.by=c;t.dataset.way=d;"
    "const k=r=>r.cells[c].dataset.key,n=(x,y)=>isNaN(x)||isNaN(y)?x.localeCompare(y):y-x;"
    "b.append(...[...b.rows].sort((x,y)=>d*n(k(x),k(y))))"
)


class Column(NamedTuple):
    """A column of a table."""

    name: str
    cells: Sequence[str]
    """What is shown, as text."""
    keys: Sequence[float] | None = None
    """What is sorted by, the largest first; the text itself if None, and then it is no number."""
    bars: Sequence[float] | None = None
    """Values between −1 and 1 to be drawn beside the cells."""


def table(title: str, columns: Sequence[Column], note: str = "") -> str:
    """A table whose rows are sorted by a click on a column's name."""
    heads = "".join(
        f'<th scope="col" style="{_CELL};{_NUMBER if c.keys is not None else "text-align:left"}">'
        f'<button type="button" title="sort" onclick="{html.escape(_SORT)}" '
        f'style="all:unset;cursor:pointer;font-weight:600">{_text(c.name)}</button></th>'
        for c in columns
    )
    rows = "".join(
        f'<tr style="background:none">{"".join(_cell(c, row) for c in columns)}</tr>'
        for row in range(len(columns[0].cells))
    )
    after = f'<p style="{_QUIET}">{_text(note)}</p>' if note else ""
    return (
        f'<div style="max-width:60rem"><p style="margin:0 0 .3em">{_text(title)}</p>'
        '<div style="max-height:26em;overflow:auto"><table style="border-collapse:collapse;'
        f'margin:0 0 .4em;border:0"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        f"</div>{after}</div>"
    )


def facts(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Names with what they are, one below the other."""
    inside = "".join(
        f'<tr style="background:none"><th scope="row" style="{_CELL};text-align:left;'
        f'font-weight:400;opacity:.75">{_text(name)}</th>'
        f'<td style="{_CELL};text-align:left">{_text(value)}</td></tr>'
        for name, value in rows
    )
    return (
        f'<div style="max-width:60rem"><p style="margin:0 0 .3em"><b>{_text(title)}</b></p>'
        f'<table style="border-collapse:collapse;margin:0;border:0">{inside}</table></div>'
    )


def _cell(column: Column, row: int) -> str:
    shown = _text(column.cells[row])
    if column.keys is None:
        key, look = shown, "text-align:left"
    else:
        key, look = f"{column.keys[row]:.12g}", _NUMBER
    bar = "" if column.bars is None else _bar(column.bars[row])
    return f'<td data-key="{key}" style="{_CELL};{look}">{bar}<bdi>{shown}</bdi></td>'


def _bar(share: float) -> str:
    width = min(abs(share), 1.0) * 4
    return (
        '<span style="float:left;width:4em;text-align:left;margin-right:.6em">'
        f'<span style="display:inline-block;height:.55em;width:{width:.2f}em;border-radius:.2em;'
        f'background:{_SIGNS[share >= 0]}"></span></span>'
    )


def _text(text: str) -> str:
    return html.escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))
