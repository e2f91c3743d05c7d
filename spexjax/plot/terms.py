"""What the pictures say: which sets, under which names, with how many digits. No matplotlib."""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from spexjax.indices.interaction_values import Interactions
from spexjax.typing import Explained

ELLIPSIS, MINUS, UNPRINTABLE = "…", "\u2212", "\ufffd"
_REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class Row(NamedTuple):
    """A set with its value, the ends of its 95 % interval (NaN: unknown), and whether it stands."""

    members: tuple[int, ...]
    value: float
    low: float
    high: float
    stands: bool


def of_one_output(
    e: Explained | Interactions, index: str = "FBII", max_order: int | None = None
) -> Interactions:
    """The interactions to draw.

    Args:
      e: an explanation of one output; or interactions, which are drawn as they are.
      index: the interaction index of an explanation.
      max_order: its order; that of the explanation if None.

    Raises:
      ValueError: if the function has several outputs.
    """
    if isinstance(e, Interactions):
        return e
    if e.num_outputs is not None:
        raise ValueError(
            f"a picture shows one output and this explanation has {e.num_outputs}: "
            "pass e[i] instead of e."
        )
    return e.interactions(index, max_order)


def several(values: Interactions, top: int | None = None) -> Interactions:
    """The ``top`` strongest sets of two features or more; all if None."""
    return values[values.sizes() > 1][:top]


def rows(values: Interactions, fdr: float) -> list[Row]:
    """The sets as pictures show them."""
    (low, high), marks = interval(values), standing(values, fdr)
    return [
        Row(members, value, float(a), float(b), bool(mark))
        for (members, value), a, b, mark in zip(values, low, high, marks, strict=True)
    ]


def interval(values: Interactions) -> tuple[np.ndarray, np.ndarray]:
    """The ends of 95 % intervals, float64 (sets,), NaN where nothing is known of them."""
    if values.errors is None or not len(values):
        return (np.full(len(values), np.nan),) * 2
    return values.interval()


def reach(values: Interactions) -> np.ndarray:
    """From each value to the farther end of its 95 % interval, float64 (sets,): value ± reach
    holds the interval, which lies around another estimate, one without bias."""
    low, high = interval(values)
    return np.maximum(np.abs(values.values - low), np.abs(high - values.values))


def standing(values: Interactions, fdr: float) -> np.ndarray:
    """Which sets stand, bool (sets,); all where nothing could be tested."""
    marks = values.stands(fdr)
    return np.ones(len(values), bool) if marks is None else marks


def alone(values: Interactions, fdr: float) -> np.ndarray:
    """The value of each feature alone, float64 (n,), 0 for those that do not stand."""
    return values[standing(values, fdr)].to_array()


def shown(character: str) -> str:
    """The character; where it is a control, a lone surrogate or would reorder others, a stand-in.

    Joiners and the like stay: emoji and some scripts need them.
    """
    if character.isprintable() or character.isspace():
        return character
    harmless = unicodedata.category(character) == "Cf" and character not in _REORDERING
    return character if harmless else UNPRINTABLE


def printable(text: str) -> str:
    """The text in one line, without what cannot be shown."""
    return "".join(map(shown, " ".join(text.split())))


def cut(text: str, limit: int) -> str:
    """The text, or its first ``limit`` characters with an ellipsis for the last."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + ELLIPSIS


def labels(features: Sequence[str], limit: int = 24) -> list[str]:
    """A name for each feature: long ones cut, equal ones told apart by their position, word@i."""
    names = [cut(printable(feature), limit) for feature in features]
    seen = Counter(names)
    return [f"{name}@{i}" if seen[name] > 1 else name for i, name in enumerate(names)]


def joined(members: Iterable[int], names: Sequence[str], limit: int = 64) -> str:
    """The name of a set."""
    return cut(" + ".join(names[i] for i in members), limit)


def decimals(values: Iterable[float]) -> int | None:
    """Digits after the point that show the largest magnitude to three or four figures.

    None where an exponent is needed: magnitudes below 10⁻⁴ or from 10⁷.
    """
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    exponent = math.floor(math.log10(largest)) if largest > 0 else 0
    if not -4 <= exponent < 7:
        return None
    return 2 - exponent if exponent < 0 else max(3 - exponent, 0)


def unsigned(value: float, digits: int | None) -> str:
    """A number that has no sign, as :func:`signed` shows others; empty if there is none."""
    return "" if math.isnan(value) else signed(value, digits)[1:]


def rate(fdr: float) -> str:
    """A false discovery rate."""
    return f"{100 * fdr:.3g} %"


def signed(value: float, digits: int | None) -> str:
    """A number with its sign, with as many decimals as :func:`decimals` says."""
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else ("+∞" if value > 0 else MINUS + "∞")
    text = f"{value:+.2e}" if digits is None else f"{value:+.{digits}f}"
    return text.replace("-", MINUS)
