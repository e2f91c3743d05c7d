"""How features stand in the page: in their text, in their image, in their layers, or listed."""

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spexjax.indices.interaction_values import Interactions
from spexjax.plot import terms
from spexjax.plot.components import places
from spexjax.report import facts, passage
from spexjax.report.passage import Passage
from spexjax.report.picture import Picture, checked, drawn

MOST_SETS, MOST_NAMES = 5_000, 2_000
_LABELS = 12
"""Columns of a grid that are named: as many names as a phone has room for."""

_FEW = 8
"""Layers up to which there is room for larger squares."""


class Shown(NamedTuple):
    """What can be pointed at.

    Attributes:
      words: HTML, an element of class ``w`` for each feature.
      shape: how the page lays them out and draws their sets, classes of the element around.
      heading: of the section.
      unit: what the features are called, in the plural.
      style: files of style sheets beside the page's own.
      note: what was left out; empty if nothing was.
    """

    words: str
    shape: str
    heading: str
    unit: str
    style: tuple[str, ...] = ()
    note: str = ""


def shown(
    values: Interactions,
    alone: Float[np.ndarray, "n"],
    names: Sequence[str],
    whole: Passage | None,
    picture: Picture | None,
) -> Shown:
    """The features, each tinted by its value alone.

    Args:
      values: the interactions; features that are all called like components of a transformer
        (:func:`spexjax.plot.components`) stand in their layers.
      alone: the value of each feature alone, 0 where it has no colour.
      names: of the features.
      whole: the text, if there is one.
      picture: the image, if there is one.

    Raises:
      ValueError: if there is both, or text or picture do not fit the features.
    """
    if picture is not None:
        if whole is not None:
            raise ValueError("a page shows a text or a picture, not both.")
        return _pictured(checked(picture, len(names)), alone, names)
    if whole is not None:
        text = _running(passage.checked(whole, len(names)), alone)
        return Shown(text, "running", "The text", facts.unit(values.features, True))
    grid = _layered(values.features, alone, names)
    return _listed(values, alone, names) if grid is None else grid


def _visible(text: str) -> str:
    """The text with what a page should not hold replaced, one character for one."""
    return "".join(" " if c.isspace() and c not in "\n\t" else terms.shown(c) for c in text)


def _word(i: int, text: str, value: float, largest: float, more: str = "") -> str:
    strength = round(abs(value) / largest, 3) if largest > 0 else 0.0
    sign = "p" if value >= 0 else "m"
    return (
        f'<span class="w {sign}" data-i={i} style="--a:{strength:g}{more}" role=button tabindex=-1 '
        f"aria-pressed=false>{html.escape(text)}</span>"
    )


def _running(whole: Passage, alone: np.ndarray) -> str:
    """The text with its punctuation, each feature in an element of its own."""
    text, largest = _visible(whole.text), float(np.abs(alone).max())
    out, at = [], 0
    for i, (start, end) in enumerate(whole.spans):
        out += [html.escape(text[at:start]), _word(i, text[start:end], alone[i], largest)]
        at = end
    return "".join([*out, html.escape(text[at:])])


def _pictured(picture: Picture, alone: np.ndarray, names: Sequence[str]) -> Shown:
    """The image with its cells, below it the features that are no cells."""
    cells = int(picture.cells.max()) + 1
    image, largest = drawn(picture, alone, names), float(np.abs(alone).max())
    rest = [_word(i, names[i], alone[i], largest) for i in range(cells, len(names))]
    unit = "cells and words" if rest else "cells"
    words = f"{image}<p>{' '.join(rest)}</p>" if rest else image
    return Shown(words, "picture", "The image", unit, ("picture.css",))


def _layered(features: Sequence[str], alone: np.ndarray, names: Sequence[str]) -> Shown | None:
    """Components in the rows of their layers, the last layer on top; None if they are others."""
    if len(features) > MOST_NAMES:
        return None
    try:
        spots, columns = places(features)
    except ValueError:
        return None
    largest = float(np.abs(alone).max())
    layers = sorted({layer for _, layer in spots}, reverse=True)
    row = {layer: k + 1 for k, layer in enumerate(layers)}
    out = [f'<span class=layer style="grid-row:{row[k]}">L{k}</span>' for k in layers]
    # In the order of reading, which is that of the arrow keys.
    for i in sorted(range(len(spots)), key=lambda i: (row[spots[i][1]], spots[i][0])):
        column, layer = spots[i]
        place = f";grid-area:{row[layer]}/{column + 2}"
        out.append(_word(i, names[i], alone[i], largest, place))
    every = -(-len(columns) // _LABELS)
    for k, name in enumerate(columns):
        if name and (k % every == 0 or not name[1:].isdecimal()):
            place = f"grid-area:{len(layers) + 1}/{k + 2}"
            out.append(f'<span class=column style="{place}">{html.escape(name)}</span>')
    kind = "layers" if len(layers) > _FEW else "layers few"
    grid = f'<div class="{kind}" style="--columns:{len(columns)}">{"".join(out)}</div>'
    return Shown(grid, "picture grid", "The components", "components", ("components.css",))


def _listed(values: Interactions, alone: np.ndarray, names: Sequence[str]) -> Shown:
    """The features' names; of very many, those with the strongest values, and a note."""
    note, some = "", facts.most_telling(values, MOST_NAMES, MOST_SETS)
    if values.n > MOST_NAMES:
        note = f"Of {values.n:,} features, the {MOST_NAMES:,} with the strongest values are listed."
    largest = float(np.abs(alone).max())
    words = " ".join(_word(i, names[i], alone[i], largest) for i in some)
    return Shown(words, "names", "The features", facts.unit(values.features, False), (), note)
