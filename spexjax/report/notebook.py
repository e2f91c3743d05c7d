"""An explanation as a fragment of HTML for notebooks: no scripts, nothing from elsewhere."""

import html

import numpy as np

from spexjax.plot import terms
from spexjax.report import facts
from spexjax.typing import Explained

MOST_NAMES, SETS, OUTPUTS = 400, 8, 10

# The colours of the page; light in any notebook, since a notebook's own theme cannot be asked.
_INK, _MUTED, _RULE = "#1f2328", "#59636e", "#d5dae0"
_SIGNS = {True: ("#1b6ca8", "95 165 222"), False: ("#b84f07", "244 151 82")}
_CARD = (
    f"color:{_INK};background:#fff;border:1px solid {_RULE};border-radius:10px;padding:12px 16px;"
    "max-width:60rem;font:14px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',"
    "sans-serif;overflow-wrap:anywhere"
)
_QUIET = f"color:{_MUTED};font-size:13px;margin:0 0 8px"
_FEATURES = "line-height:2;margin:0 0 6px;max-height:22em;overflow-y:auto"
_CELL = f"color:{_INK};background:#fff;border-bottom:1px solid {_RULE};padding:3px 10px 3px 0"


def panel(e: Explained) -> str:
    """The features coloured by their own values and the strongest sets; a table of several outputs.

    Styles stand at each element, so that nothing else in a notebook changes its looks.
    """
    head = (
        f"<b>{_text(facts.method(e))}</b>: {e.n:,} features, {facts.calls(e)} calls, "
        f"seed {facts.seed(e)}"
    )
    body = _one(e) if e.num_outputs is None else _several(e, e.num_outputs)
    return f'<div style="{_CARD}"><p style="margin:0 0 2px">{head}</p>{body}</div>'


def _one(e: Explained) -> str:
    ix = e.interactions()
    alone, shown = ix.to_array(), terms.alone(ix, facts.FDR)
    positions = facts.most_telling(ix, MOST_NAMES)
    names, largest = terms.labels(ix.shown, 48), float(np.abs(shown).max())
    words = " ".join(_word(names[i], float(alone[i]), float(shown[i]), largest) for i in positions)
    left_out = ""
    if len(positions) < ix.n:
        left_out = f" Of {ix.n:,} features, the {len(positions):,} with the strongest values."
    rows = facts.strongest(ix, SETS)
    strongest = max((abs(row.row.value) for row in rows), default=0.0) or 1.0
    sets = "".join(_set(row, strongest) for row in rows)
    notes = "".join(f'<p style="{_QUIET}">{_text(note)}</p>' for note in facts.notes(e)[:1])
    grey = "; what does not stand is grey" if facts.standing(e, ix) else ""
    return (
        f'<p style="{_QUIET}">{_text(facts.value(e))}. {_text(facts.faithfulness(e))}.</p>{notes}'
        f'<div dir="auto" style="{_FEATURES}">{words}</div>'
        f'<p style="{_QUIET}">{_text(ix.index)} of a feature alone: blue raises the value, orange '
        f"lowers it{grey}.{left_out}</p>"
        f'<p style="margin:0 0 2px;font-weight:600">{_text(facts.heading(e, ix, SETS))}</p>{sets}'
    )


def _word(name: str, value: float, shown: float, largest: float) -> str:
    share = round(abs(shown) / largest, 3) if largest > 0 else 0.0
    return (
        f'<span title="{_text(facts.number(value))}" style="display:inline-block;max-width:100%;'
        f"line-height:1.5;padding:0 5px;margin:1px;border:1px solid {_RULE};border-radius:5px;"
        f'color:{_INK};background:rgb({_SIGNS[value >= 0][1]} / {share:g})">{_text(name)}</span>'
    )


def _set(strong: facts.Strong, strongest: float) -> str:
    value = strong.row.value
    shown = f"{strong.value} ± {strong.error}" if strong.error else strong.value
    ink = _SIGNS[value >= 0][0] if strong.row.stands else _MUTED
    fill = ink if strong.row.stands else _RULE
    width = 100 * abs(value) / strongest
    return (
        '<div style="display:flex;gap:10px;align-items:baseline;margin:1px 0">'
        f'<span style="flex:0 0 {_numbers(strong)}px;text-align:right;white-space:nowrap;'
        f'font-variant-numeric:tabular-nums;color:{ink}">{_text(shown)}'
        "</span>"
        f'<span style="flex:0 1 90px"><span style="display:block;width:{width:.1f}%;min-width:2px;'
        f'height:6px;border-radius:3px;background:{fill}"></span></span>'
        f'<span style="flex:1 1 0">{_text(strong.name)}</span></div>'
    )


def _numbers(strong: facts.Strong) -> int:
    """Pixels for a value, or a value with its error."""
    return 140 if strong.error else 76


def _several(e: Explained, count: int) -> str:
    head = ("output", "R²", "all kept", "all masked", "strongest set")
    rows = [tuple(map(str, row)) for row in facts.outputs(e, OUTPUTS)]
    table = _row("th", head, f"font-weight:600;color:{_MUTED};")
    table += "".join(_row("td", row, "") for row in rows)
    more = f" The first {len(rows)} of {count:,}:" if count > len(rows) else ""
    return (
        f'<p style="{_QUIET}">{_text(facts.r2(e))} over {count:,} outputs. '
        f"<code>e[i]</code> shows output i.{more}</p>"
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:13px;'
        f'margin:0;width:100%">{table}</table></div>'
    )


def _row(tag: str, cells: tuple[str, ...], style: str) -> str:
    numbers = "text-align:right;white-space:nowrap"
    kinds = [numbers] * (len(cells) - 1) + ["text-align:left;width:100%;min-width:11em"]
    inside = (
        f'<{tag} style="{style}{_CELL};{kind}">{_text(cell)}</{tag}>'
        for cell, kind in zip(cells, kinds, strict=True)
    )
    return f'<tr style="background:#fff">{"".join(inside)}</tr>'


def _text(text: str) -> str:
    return html.escape(terms.printable(text))
