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
from spexjax.report import facts, in_words
from spexjax.report.features import MOST_SETS, shown
from spexjax.report.passage import Passage, Span
from spexjax.report.picture import Picture
from spexjax.typing import Explained

Sets = Iterable[tuple[tuple[int, ...], float]]

MOST_TERMS = 20_000
_WHOLES = {
    "features": "for all features kept", "components": "for the whole model",
    "cells": "for the image", "cells and words": "for image and caption",
}  # fmt: skip
_ONE = {"pieces of text": "piece", "cells and words": "cell or word"}
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
      text: the text that was explained; if None, its features' names are listed, or stand in their
        layers where they are components of a transformer.
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
    whole = None if text is None or spans is None else Passage(text, tuple(spans))
    words = shown(values, alone, names, whole, picture)
    unit = words.unit
    data, notes = _data(e, values, names, fdr)
    standing = facts.standing(e, values, fdr)
    script = _piece("page.js") + (_piece("cell.js") if in_cell else "")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    title = terms.printable(model) if model else f"{e.n:,} {unit}"
    parts = {
        "digest": digest,
        "title": html.escape(title),
        "style": "".join(map(_piece, ("page.css", *words.style, *["cell.css"] * in_cell))),
        "images": " img-src data:;" if picture is not None else "",
        "eyebrow": "Nothing stands" if standing.startswith("nothing") else "What moved the answer",
        "summary": _summary(e, unit, in_words.moving(e, values, fdr)),
        "doubts": _doubts(e, values, standing),
        "shape": words.shape,
        "words": words.words,
        "heading": words.heading,
        "one": _one(unit),
        "index": html.escape(values.index),
        "meaning": _meaning(values),
        "scale": _scale(values, alone, unit, fdr),
        "notes": "".join(f"<p class=note>{note}</p>" for note in (words.note, *notes) if note),
        "pictures": "" if in_cell else svg.figures(values, fdr),
        "toggle": _toggle(values, fdr) if standing else "",
        "facts": _facts(e, values, model, unit, fdr),
        "data": _embedded(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _piece("page.html"))


def _piece(name: str) -> str:
    return resources.files("spexjax.report").joinpath(name).read_text(encoding="utf-8")


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
    whole = _WHOLES.get(unit, "for the text")
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
