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
from spexjax.report import facts
from spexjax.typing import Explained

Span = tuple[int, int]
Sets = Iterable[tuple[tuple[int, ...], float]]

MOST_TERMS, MOST_SETS, MOST_NAMES = 20_000, 5_000, 2_000
_BEYOND_PARTS = ("FBII", "FSII", "STII", "SII", "BII", "k-SII", "Moebius")


def render(
    e: Explained,
    text: str | None = None,
    spans: Sequence[Span] | None = None,
    model: str | None = None,
    *,
    index: str = "FBII",
    max_order: int | None = None,
) -> str:
    """The page of an explanation.

    Args:
      e: an explanation of one output.
      text: the text that was explained; its features' names are listed if None.
      spans: the characters [start, end) of each feature in it, in order, not overlapping.
      model: what was explained, such as "my classifier, logit of POSITIVE".
      index: the interaction index.
      max_order: its order; that of the explanation if None.

    Raises:
      ValueError: if the function has several outputs, or text and spans do not fit together or
        the features.
    """
    values = terms.of_one_output(e, index, max_order)
    if (text is None) != (spans is None):
        raise ValueError("text and spans go together: give both or neither.")
    alone, names = values.to_array(), terms.labels(values.features, 48)
    if text is None or spans is None:
        words, left_out = _listed(values, alone, names)
    else:
        words, left_out = _running(text, _checked(spans, text, e.n), alone), ""
    unit = facts.unit(values.features, text is not None)
    data, notes = _data(e, values, alone, names)
    script = _piece("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    title = terms.printable(model) if model else f"{e.n:,} {unit}"
    parts = {
        "digest": digest,
        "title": html.escape(title),
        "style": _piece("page.css"),
        "summary": _summary(e, unit),
        "shape": "names" if text is None else "running",
        "words": words,
        "heading": "The text" if text is not None else "The features",
        "one": unit.removesuffix("s") if unit != "pieces of text" else "piece",
        "index": html.escape(values.index),
        "meaning": _meaning(values),
        "scale": terms.signed(float(np.abs(alone).max()), terms.decimals(alone)),
        "low": terms.signed(-float(np.abs(alone).max()), terms.decimals(alone)),
        "notes": "".join(f"<p class=note>{note}</p>" for note in (left_out, *notes) if note),
        "pictures": svg.figures(values),
        "facts": _facts(e, values, model, unit),
        "data": _embedded(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _piece("page.html"))


def _piece(name: str) -> str:
    return resources.files("spexjax.report").joinpath(name).read_text(encoding="utf-8")


def _checked(spans: Sequence[Span], text: str, n: int) -> list[Span]:
    spans = [(int(start), int(end)) for start, end in spans]
    if len(spans) != n:
        raise ValueError(
            f"spans must hold one pair for each of the {n} features, got {len(spans)}."
        )
    before = 0
    for start, end in spans:
        if not before <= start < end <= len(text):
            raise ValueError(
                f"spans must be in order, apart and within the text's {len(text)} characters; "
                f"{(start, end)} is not."
            )
        before = end
    return spans


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


def _running(text: str, spans: list[Span], alone: np.ndarray) -> str:
    """The text with its punctuation, each feature in an element of its own."""
    text, largest = _visible(text), float(np.abs(alone).max())
    out, at = [], 0
    for i, (start, end) in enumerate(spans):
        out += [html.escape(text[at:start]), _word(i, text[start:end], alone[i], largest)]
        at = end
    return "".join([*out, html.escape(text[at:])])


def _listed(values: Interactions, alone: np.ndarray, names: list[str]) -> tuple[str, str]:
    """The features' names; of very many, those with the strongest values, and a note."""
    note, shown = "", facts.most_telling(values, MOST_NAMES, MOST_SETS)
    if values.n > MOST_NAMES:
        note = f"Of {values.n:,} features, the {MOST_NAMES:,} with the strongest values are listed."
    largest = float(np.abs(alone).max())
    return " ".join(_word(i, names[i], alone[i], largest) for i in shown), note


def _data(
    e: Explained, values: Interactions, alone: np.ndarray, names: list[str]
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
    sets = list(values.top(MOST_SETS))
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
        "alone": [_short(v) for v in alone],
        "sets": _flat(sets),
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


def _summary(e: Explained, unit: str) -> str:
    whole = "the text" if unit != "features" else "all features kept"
    full, empty = facts.ends(e)
    return (
        f"<b>{full}</b> for {whole}, <b>{empty}</b> with all {e.n:,} {unit} "
        f"masked. What follows is a surrogate of the model: {facts.faithfulness(e)}."
    )


def _facts(e: Explained, values: Interactions, model: str | None, unit: str) -> str:
    count = len(e.spectrum.to_dict())
    full, empty = facts.ends(e)
    rows = [
        ("model", terms.printable(model) if model else None),
        ("value", f"{full} with all {unit} kept, {empty} with all masked"),
        ("faithfulness", facts.faithfulness(e)),
        ("method", facts.method(e)),
        ("budget", f"{e.calls:,} calls of the model made, {e.budget:,} allowed"),
        ("seed", facts.seed(e)),
        ("surrogate", f"{count:,} coefficients of a Walsh–Hadamard spectrum"),
        ("values", facts.values(values)),
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
