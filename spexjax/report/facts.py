"""What is said of an explanation, in words: shared by the page, the notebook and ``print``."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from spexjax.indices.interaction_values import Interactions
from spexjax.inference.flags import flags
from spexjax.plot import terms
from spexjax.typing import Explained

FDR = 0.1  # the false discovery rate at which sets stand, if no other is asked for
_UNEXPLAINED = 0.5  # R² below which more of f is left out than is explained
_FIGURES = 15  # that a float64 holds for certain
_WORD = 40  # characters beyond which a feature is not called a word


class Output(NamedTuple):
    """One output of a vector-valued function, in words."""

    number: int
    faithfulness: str
    full: str
    empty: str
    strongest: str
    """The strongest set with its value; empty if no set has one."""


def number(value: Any) -> str:
    """A number with its sign, to three or four figures."""
    return terms.signed(float(value), terms.decimals([float(value)]))


def places(e: Explained) -> int | None:
    """Decimals for values of f: enough for the larger of f(1…1) and f(0…0), and for what they
    differ by, however large both are; None where an exponent is needed."""
    full, empty = float(e.full), float(e.empty)
    whole, change = terms.decimals([full, empty]), terms.decimals([full - empty])
    if full == empty or change is None:
        return whole
    if whole is None:
        largest = max(abs(full), abs(empty))
        fits = largest >= 1 and math.log10(largest) + change < _FIGURES
        return change if fits else None
    return max(whole, change)


def ends(e: Explained) -> tuple[str, str]:
    """f(1…1) and f(0…0)."""
    digits = places(e)
    return terms.signed(float(e.full), digits), terms.signed(float(e.empty), digits)


def surrogate_ends(e: Explained) -> tuple[float, float]:
    """The surrogate at 1…1 and at 0…0."""
    full, empty = e.predict(np.array([[True], [False]]).repeat(e.n, axis=1))
    return float(full), float(empty)


def value(
    e: Explained, whole: str = "with all kept", none: str = "with all masked", f: str = "{}"
) -> str:
    """f at both ends, set in ``f``, and its surrogate where that is another."""
    shown, digits = [f.format(end) for end in ends(e)], places(e)
    if e.method != "exact":
        guess = (terms.signed(g, digits) for g in surrogate_ends(e))
        shown = [f"{end} (surrogate {g})" for end, g in zip(shown, guess, strict=True)]
    return f"{shown[0]} {whole}, {shown[1]} {none}"


def notes(e: Explained, index: str = "FBII", max_order: int | None = None) -> list[str]:
    """What to know before believing it, the gravest first, a sentence each."""
    return [flag.text for flag in flags(e, index, max_order)]


def standing(e: Explained, ix: Interactions, fdr: float = FDR, mark: str = "") -> str:
    """How many of the listed sets stand; empty where nothing was tested, or nothing is in doubt."""
    marks = None if e.method == "exact" else ix.stands(fdr)
    if marks is None:
        return ""
    if not len(ix):
        return "nothing stands, no set has a value"
    at, count = f"at a false discovery rate of {terms.rate(fdr)}", int(marks.sum())
    many = "1 set" if len(ix) == 1 else f"{len(ix):,} sets"
    if not count:
        return f"nothing stands: none of {many}, {at}"
    return f"{count:,} of {many} {'stands' if count == 1 else 'stand'}{mark} {at}"


def faithfulness(e: Explained) -> str:
    """R² of one output with its interval, and what it was measured on."""
    score, low, high = float(e.faithfulness), *(float(end) for end in e.faithfulness_interval)
    if e.method == "exact":
        return f"R² = {score:.4g}, exact: every mask was tried"
    if math.isnan(score):
        return "not measured: the budget left no masks for it"
    return f"R² = {score:.3f} on masks that its fit had not seen (95 %: {low:.3f} to {high:.3f})"


def caution(e: Explained) -> str:
    """What not to believe of an explanation of one output that explains little; else empty."""
    score = float(e.faithfulness)
    if e.method == "exact" or score >= _UNEXPLAINED:
        return ""
    if math.isnan(score):
        return (
            f"believe none of this: of {e.calls:,} calls none were left to measure how faithful it "
            "is; ask for more"
        )
    if score <= 0:
        return (
            f"believe none of this: on masks unseen by its fit, R² = {score:.3g} is no better than "
            "a constant; ask for more calls, or mask fewer features"
        )
    return (
        f"do not believe sizes or ranks: R² = {score:.2f}, so that most of what moves the answer "
        "is not in these sets; more calls, or fewer features, may find it"
    )


def r2(e: Explained) -> str:
    """R² in a few letters; of several outputs its range."""
    found = np.ravel(np.asarray(e.faithfulness, np.float64))
    found = found[~np.isnan(found)]
    if not found.size:
        return "R² not measured"
    low, high = f"{found.min():.3f}", f"{found.max():.3f}"
    return f"R² = {low}" if low == high else f"R² = {low} to {high}"


def method(e: Explained) -> str:
    """The method, and the largest sets that it fits."""
    return e.method if e.method == "exact" else f"{e.method}, sets of at most {e.max_order}"


def seed(e: Explained) -> str:
    """The seed; a key's words apart."""
    return str(e.seed) if isinstance(e.seed, int) else " ".join(map(str, e.seed))


def calls(e: Explained) -> str:
    """How often the model was asked."""
    allowed = f" of a budget of {e.budget:,}" if e.budget else ""
    return f"{e.calls:,}{allowed}"


def unit(features: Sequence[str], running: bool) -> str:
    """What features are called: "words" of a running text if all are, else "pieces of text"."""
    if not running:
        return "features"
    one = all(len(f.split()) < 2 and len(f) < _WORD for f in features)
    return "words" if one else "pieces of text"


def values(ix: Interactions) -> str:
    """The name of interactions."""
    return f"{ix.index} up to order {ix.max_order}"


class Strong(NamedTuple):
    """A set in words."""

    row: terms.Row
    value: str
    error: str
    """How far its 95 % interval reaches from the value; empty if that is unknown, or nowhere."""
    name: str


def strongest(ix: Interactions, count: int, fdr: float = FDR) -> list[Strong]:
    """The ``count`` strongest sets."""
    top, names = ix[:count], terms.labels(ix.shown)
    digits, far = terms.decimals(top.values), terms.reach(top)
    return [
        Strong(
            row, terms.signed(row.value, digits),
            terms.unsigned(error, digits) if far.any() else "",
            terms.joined(row.members, names),
        )
        for row, error in zip(terms.rows(top, fdr), far.tolist(), strict=True)
    ]  # fmt: skip


def heading(e: Explained, ix: Interactions, count: int, mark: str = "") -> str:
    """What a list of the ``count`` strongest sets is a list of, and how many stand."""
    found = standing(e, ix, mark=mark)
    if not len(ix):
        return f"{values(ix)}: {found or 'no set has a value'}"
    if found:
        shown = "all sets" if len(ix) <= count else f"the {count} strongest"
        return f"{values(ix)}, {shown}; {found}"
    if len(ix) <= count:
        return f"{values(ix)}, all sets with a value"
    return f"{values(ix)}, the {count} strongest of {len(ix):,} sets"


def outputs(e: Explained, count: int) -> list[Output]:
    """The first ``count`` outputs of a vector-valued function."""
    rows = []
    for i in range(min(count, e.num_outputs or 0)):
        one = e[i]
        best = strongest(one.interactions(), 1)
        named = f"{best[0].value} {best[0].name}" if best else ""
        rows.append(Output(i, r2(one).removeprefix("R² = "), *ends(one), named))
    return rows


def most_telling(ix: Interactions, most: int, sets: int = 5_000) -> list[int]:
    """The features to list, in order: all, or of very many the ``most`` with the strongest values.

    A feature's strength is the largest magnitude among its own value and those of the strongest
    ``sets`` sets that it is in.
    """
    if ix.n <= most:
        return list(range(ix.n))
    strength = np.abs(ix.to_array())
    for members, value in ix[:sets]:
        strength[list(members)] = np.maximum(strength[list(members)], abs(value))
    return np.sort(np.argsort(-strength, kind="stable")[:most]).tolist()
