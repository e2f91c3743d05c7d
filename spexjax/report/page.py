"""An explanation as one HTML file that needs nothing else: no network, no other files.

Words can be pointed at and masked; the page then evaluates the surrogate itself, so that the
prediction it shows is that of ``Explanation.predict``. Everything that came from a text is
escaped, and the page's policy lets no script run but its own.
"""

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import numpy as np

from spexjax.indices.interaction_values import Interactions
from spexjax.plot import svg, terms
from spexjax.report import facts, in_words, passage
from spexjax.report.passage import Passage, Span
from spexjax.report.picture import Picture, checked, drawn
from spexjax.typing import Explained

Sets = Iterable[tuple[tuple[int, ...], float]]

MOST_TERMS, MOST_SETS, MOST_NAMES = 20_000, 5_000, 2_000
_ONE = {"pieces of text": "piece", "cells and words": "cell or word"}
_HEADINGS = {"picture": "The image", "running": "The text", "names": "The features"}
_BEYOND_PARTS = ("FBII", "FSII", "STII", "SII", "BII", "k-SII", "Moebius")

_INTERVALS = (
    "each holds by itself, not all of them together, nor for having been picked as the largest. "
    "They lie around estimates without bias, which are not the surrogate’s values"
)
_STANDS = (
    "a set stands if it does something of its own to the answer, on average over what becomes of "
    "all others (its Banzhaf interaction is not 0), and not by the chance of the masks. The rate "
    "is the share of false ones to expect among all sets of the surrogate that stand"
)


def render(
    e: Explained,
    text: str | None = None,
    spans: Sequence[Span] | None = None,
    model: str | None = None,
    *,
    index: str = "FBII",
    max_order: int | None = None,
    fdr: float = facts.FDR,
    picture: Picture | None = None,
    in_cell: bool = False,
) -> str:
    """The page of an explanation.

    Args:
      e: an explanation of one output.
      text: the text that was explained; its features' names are listed if None.
      spans: the characters [start, end) of each feature in it, in order, not overlapping.
      model: what was explained, such as "my classifier, logit of POSITIVE".
      index: the interaction index.
      max_order: its order; that of the explanation if None.
      fdr: the false discovery rate at which sets stand; what does not stand has no colour.
      picture: the image that was explained, instead of a text.
      in_cell: for a frame in a notebook's cell: less of it, in the notebook's colours.

    Raises:
      ValueError: if the function has several outputs, or text and spans, or the picture, do not
        fit together or the features.
    """
    values = terms.of_one_output(e, index, max_order)
    if (text is None) != (spans is None):
        raise ValueError("text and spans go together: give both or neither.")
    alone, names = terms.alone(values, fdr), terms.labels(values.shown, 48)
    left_out, unit = "", facts.unit(values.features, text is not None)
    if picture is not None:
        if text is not None:
            raise ValueError("a page shows a text or a picture, not both.")
        words, unit = _pictured(checked(picture, e.n), alone, names)
    elif text is None or spans is None:
        words, left_out = _listed(values, alone, names)
    else:
        words = _running(passage.checked(Passage(text, tuple(spans)), e.n), alone)
    shape = "picture" if picture is not None else "names" if text is None else "running"
    data, notes = _data(e, values, names, fdr)
    standing = facts.standing(e, values, fdr)
    script = _piece("page.js") + (_piece("cell.js") if in_cell else "")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    title = terms.printable(model) if model else f"{e.n:,} {unit}"
    parts = {
        "digest": digest,
        "title": html.escape(title),
        "style": _piece("page.css")
        + (_piece("picture.css") if picture is not None else "")
        + (_piece("cell.css") if in_cell else ""),
        "images": " img-src data:;" if picture is not None else "",
        "eyebrow": "Nothing stands" if standing.startswith("nothing") else "What moved the answer",
        "summary": _summary(e, unit, in_words.moving(e, values, fdr)),
        "doubts": _doubts(e, values, standing),
        "shape": shape,
        "words": words,
        "heading": _HEADINGS[shape],
        "one": _one(unit),
        "index": html.escape(values.index),
        "meaning": _meaning(values),
        "scale": _scale(values, alone, unit, fdr),
        "notes": "".join(f"<p class=note>{note}</p>" for note in (left_out, *notes) if note),
        "pictures": "" if in_cell else svg.figures(values, fdr),
        "toggle": _toggle(values, fdr) if standing else "",
        "facts": _facts(e, values, model, unit, fdr),
        "data": _embedded(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _piece("page.html"))


def _piece(name: str) -> str:
    return resources.files("spexjax.report").joinpath(name).read_text(encoding="utf-8")


def _visible(text: str) -> str:
    """The text with what a page should not hold replaced, one character for one."""
    return "".join(" " if c.isspace() and c not in "\n\t" else terms.shown(c) for c in text)


def _word(i: int, shown: str, value: float, largest: float) -> str:
    strength = round(abs(value) / largest, 3) if largest > 0 else 0.0
    sign = "p" if value >= 0 else "m"
    return (
        f'<span class="w {sign}" data-i={i} style="--a:{strength:g}" role=button tabindex=-1 '
        f"aria-pressed=false>{html.escape(shown)}</span>"
    )


def _running(whole: Passage, alone: np.ndarray) -> str:
    """The text with its punctuation, each feature in an element of its own."""
    text, largest = _visible(whole.text), float(np.abs(alone).max())
    out, at = [], 0
    for i, (start, end) in enumerate(whole.spans):
        out += [html.escape(text[at:start]), _word(i, text[start:end], alone[i], largest)]
        at = end
    return "".join([*out, html.escape(text[at:])])


def _pictured(picture: Picture, alone: np.ndarray, names: list[str]) -> tuple[str, str]:
    """The image with its cells, below it the features that are no cells; and what to call all."""
    cells = int(picture.cells.max()) + 1
    shown, largest = drawn(picture, alone, names), float(np.abs(alone).max())
    rest = [_word(i, names[i], alone[i], largest) for i in range(cells, len(names))]
    unit = "cells and words" if rest else "cells"
    return (f"{shown}<p>{' '.join(rest)}</p>" if rest else shown), unit


def _listed(values: Interactions, alone: np.ndarray, names: list[str]) -> tuple[str, str]:
    """The features' names; of very many, those with the strongest values, and a note."""
    note, shown = "", facts.most_telling(values, MOST_NAMES, MOST_SETS)
    if values.n > MOST_NAMES:
        note = f"Of {values.n:,} features, the {MOST_NAMES:,} with the strongest values are listed."
    largest = float(np.abs(alone).max())
    return " ".join(_word(i, names[i], alone[i], largest) for i in shown), note


def _data(
    e: Explained, values: Interactions, names: list[str], fdr: float
) -> tuple[dict[str, Any], list[str]]:
    """What the script needs, and what to say of what was left out."""
    spectrum, notes = e.spectrum.to_dict(), []
    if () in spectrum:
        spectrum[()] = float(e.level)
    kept = sorted(spectrum.items(), key=lambda term: bool(term[0]))[: MOST_TERMS + 1]
    if len(kept) < len(spectrum):
        inside = {k for k, _ in kept}
        off = math.sqrt(sum(c * c for k, c in spectrum.items() if k not in inside))
        notes.append(
            f"The prediction on this page uses the {len(kept):,} largest of the surrogate's "
            f"{len(spectrum):,} coefficients. Over random masks it is off by "
            f"{off:.2g} (root mean square)."
        )
    best = values.top(MOST_SETS)
    sets = list(best)
    total = len(values)
    if len(sets) < total:
        notes.append(
            f"The {len(sets):,} strongest of {total:,} sets are listed; the weakest of them has "
            f"{terms.signed(sets[-1][1], terms.decimals([sets[-1][1]]))}. "
            "The prediction does not depend on the list."
        )
    data = {
        "n": e.n,
        "names": names,
        "alone": [_short(v) for v in values.to_array()],
        "sets": _flat(sets) | _errors(e, best, fdr),
        "terms": _flat(kept),
        "full": _exact(e.full),
        "empty": _exact(e.empty),
        "digits": terms.decimals(v for _, v in sets),
        "places": facts.places(e),
    }
    return data, notes


def _flat(sets: Sets) -> dict[str, list]:
    members: list[int] = []
    sizes, values = [], []
    for s, value in sets:
        members += s
        sizes.append(len(s))
        values.append(_short(value) if s else _exact(value))
    return {"members": members, "sizes": sizes, "values": values}


def _errors(e: Explained, sets: Interactions, fdr: float) -> dict[str, list | None]:
    """The ends of each set's interval, and whether it stands; null where nothing is in doubt."""
    if e.method == "exact":
        return {"low": None, "high": None, "stands": None}
    low, high = ([_exact(f"{x:.4g}") for x in ends.tolist()] for ends in terms.interval(sets))
    marks = sets.stands(fdr)
    return {
        "low": low,
        "high": high,
        "stands": None if marks is None else marks.astype(int).tolist(),
    }


def _exact(value: Any) -> float | None:
    """A number for the script; what is none is null."""
    value = float(value)
    return value if math.isfinite(value) else None


def _short(value: float) -> float | None:
    """Nine figures: as many as name a float32 exactly."""
    return _exact(f"{value:.9g}")


def _embedded(data: dict[str, Any]) -> str:
    """JSON in which nothing can end the element that it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _summary(e: Explained, unit: str, moving: str) -> str:
    whole = "for all features kept" if unit == "features" else "for the text"
    whole = {"cells": "for the image", "cells and words": "for image and caption"}.get(unit, whole)
    said = facts.value(e, whole, f"with all {e.n:,} {unit} masked", "<b>{}</b>")
    found = f"What follows is a surrogate of the model: {facts.faithfulness(e)}."
    return f"{said}. {html.escape(moving)} {found}"


def _doubts(e: Explained, values: Interactions, standing: str) -> str:
    """What stands, and what to know before believing it."""
    said = [f"<p class=standing>{_sentence(standing)}</p>"] if standing else []
    notes = facts.notes(e, values.index, values.max_order)
    if notes:
        said.append("".join(["<ul>", *(f"<li>{html.escape(note)}" for note in notes), "</ul>"]))
    return "".join(said)


def _sentence(text: str) -> str:
    return html.escape(f"{text[:1].upper()}{text[1:]}.")


def _scale(values: Interactions, alone: np.ndarray, unit: str, fdr: float) -> str:
    """What the colours of words mean."""
    one, index = _one(unit), html.escape(values.index)
    if not alone.any():
        stands = "" if terms.standing(values, fdr).all() else " that stands"
        return f"<span class=what>no {one} alone has a value{stands}</span>"
    digits, largest = terms.decimals(alone), float(np.abs(alone).max())
    grey = "" if terms.standing(values, fdr).all() else "; what does not stand has none"
    return (
        f"<span>{terms.signed(-largest, digits)}</span><i aria-hidden=true></i>"
        f"<span>{terms.signed(largest, digits)}</span><span class=what>{index} of a {one} alone: "
        f"blue raises the value, orange lowers it{grey}</span>"
    )


def _one(unit: str) -> str:
    return _ONE.get(unit, unit.removesuffix("s"))


def _toggle(values: Interactions, fdr: float) -> str:
    """The switch that hides what does not stand."""
    count = int(terms.standing(values, fdr).sum())
    return (
        '<label class=toggle><input type=checkbox id="only"> only what stands '
        f"({count:,} of {len(values):,})</label>"
    )


def _facts(e: Explained, values: Interactions, model: str | None, unit: str, fdr: float) -> str:
    count = len(e.spectrum.to_dict())
    standing = facts.standing(e, values, fdr)
    rows = [
        ("model", terms.printable(model) if model else None),
        ("value", facts.value(e, f"with all {unit} kept")),
        ("faithfulness", facts.faithfulness(e)),
        ("method", facts.method(e)),
        ("budget", f"{e.calls:,} calls of the model made, {e.budget:,} allowed"),
        ("seed", facts.seed(e)),
        ("surrogate", f"{count:,} coefficients of a Walsh–Hadamard spectrum"),
        ("values", facts.values(values)),
        ("intervals", f"95 %, {values.estimand}; {_INTERVALS}" if standing else None),
        ("standing", f"{standing}; {_STANDS}" if standing else None),
    ]
    return "".join(
        f"<dt>{key}<dd>{html.escape(str(fact))}" for key, fact in rows if fact is not None
    )


def _meaning(values: Interactions) -> str:
    """What the numbers of the table are."""
    name = html.escape(facts.values(values))
    if values.index in _BEYOND_PARTS:
        return f"The value of a set, {name}, is what it adds beyond its parts."
    return f"The values are {name}."
