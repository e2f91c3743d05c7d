"""An explanation in three sentences: how far the answer moved, what moved it, how sure that is.

Made by templates from numbers that the explanation holds. A word or set is named only where its
value is certain: exact, or standing at the false discovery rate with a 95 % interval that lies on
the value's side of 0. Of a sum's direction is spoken only where all its parts' intervals together
leave no other.
"""

import math
from typing import NamedTuple

import numpy as np

from spexjax.indices.index_weights import find
from spexjax.indices.interaction_values import Interactions
from spexjax.plot import terms
from spexjax.report import facts
from spexjax.typing import Explained

_SINGLES = 3
_LEAST = 0.01  # of the strongest: smaller ones are not worth a word
_ENOUGH = 0.5  # R² below which nothing is named
# Values of a set's subsets add up to what the surrogate says of the set alone.
_ADD_UP = ("FBII", "FSII", "STII", "Moebius")


class _Sure(NamedTuple):
    """A set whose sign is certain; ``far`` is how far its value may be off."""

    members: tuple[int, ...]
    value: float
    far: float


def sentences(
    e: Explained, index: str = "FBII", max_order: int | None = None, fdr: float = facts.FDR
) -> tuple[str, str, str]:
    """Three sentences about an explanation of one output.

    Args:
      e: the explanation.
      index, max_order: of the values that are named.
      fdr: the false discovery rate at which sets must stand to be named.

    Raises:
      ValueError: if the function has several outputs.
    """
    values = terms.of_one_output(e, index, max_order)
    unit = facts.unit(e.features, e.passage is not None)
    return _moved(e, unit), moving(e, values, fdr), _sure(e)


def moving(e: Explained, values: Interactions, fdr: float = facts.FDR) -> str:
    """The sentence that names what moved the answer."""
    score = float(e.faithfulness)
    if not (e.method == "exact" or score >= _ENOUGH):
        return "Too little of the answer is explained to say what moved it."
    sure = _certain(e, values, fdr)
    singles = [s for s in sure if len(s.members) == 1][:_SINGLES]
    larger = next((s for s in sure if len(s.members) > 1), None)
    names = terms.labels(values.shown)
    said = []
    if singles:
        said.append(_alone(singles, names))
    if larger is not None:
        said.append(_together(larger, {s.members: s for s in sure}, names, values.index))
    if not said:
        return "Nothing can be said to have moved it by itself or as a set."
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def _moved(e: Explained, unit: str) -> str:
    """What the answer is, and by how much all features together change it."""
    full, empty = float(e.full), float(e.empty)
    if not math.isfinite(full - empty):
        return "The model was not asked about the whole."
    shown = facts.ends(e)
    if full == empty:
        return f"The value is {shown[0]} with all {unit} kept, and the same with all masked."
    verb, digits = ("raise" if full > empty else "lower"), facts.places(e)
    change = terms.unsigned(full - empty, digits)
    return (
        f"The value is {shown[0]} with all {unit} kept and {shown[1]} with all masked: together "
        f"they {verb} it by {change}."
    )


def _sure(e: Explained) -> str:
    """How much of the answer is explained."""
    if e.method == "exact":
        return f"All {e.calls:,} masks were asked for, so these numbers are exact."
    score, low, high = float(e.faithfulness), *(float(end) for end in e.faithfulness_interval)
    if math.isnan(score):
        return (
            f"How much of the answer this explains was not measured: {e.calls:,} calls left no "
            "masks for it."
        )
    if score <= 0:
        return "On masks that its fit had not seen this explains nothing of the answer."
    share = (
        f"this explains {_percent(score)} of how the answer varies (95 %: {_percent(low)} to "
        f"{_percent(high)})"
    )
    doubt = "" if low >= _ENOUGH else "; half of it or more may come from elsewhere"
    return f"On masks that its fit had not seen {share}{doubt}."


def _percent(share: float) -> str:
    """Rounded down where it would be 100 %, and not below 0."""
    return f"{min(max(100 * share, 0.0), 99.9 if share < 1 else 100.0):.3g} %"


def _certain(e: Explained, values: Interactions, fdr: float) -> list[_Sure]:
    """The sets whose sign is certain, strongest first."""
    if e.method == "exact":
        least = _LEAST * float(np.abs(values.values).max(initial=0.0))
        return [_Sure(members, value, 0.0) for members, value in values if abs(value) > least]
    marks = values.stands(fdr)
    if marks is None:
        return []
    least = _LEAST * float(np.abs(values.values).max(initial=0.0))
    chosen = values[marks & (np.abs(values.values) > least)]
    low, high = terms.interval(chosen)
    far = terms.reach(chosen)
    sides = np.where(chosen.values > 0, low > 0, high < 0)  # of NaN neither
    return [
        _Sure(members, value, float(error))
        for (members, value), error, side in zip(chosen, far, sides, strict=True)
        if side
    ]


def _alone(singles: list[_Sure], names: list[str]) -> str:
    """Which features raise or lower the value by themselves."""
    parts = []
    for up in (True, False):
        own = [s for s in singles if (s.value > 0) == up]
        if own:
            listed = [f"“{names[s.members[0]]}” ({facts.number(s.value)})" for s in own]
            verb = ("raise" if up else "lower") + ("s" if len(own) == 1 else "")
            each = "each " if len(own) > 1 else ""
            parts.append((abs(own[0].value), f"{_listed(listed)} {each}{verb} it"))
    return ", ".join(part for _, part in sorted(parts, key=lambda part: -part[0]))


def _together(s: _Sure, sure: dict[tuple[int, ...], _Sure], names: list[str], index: str) -> str:
    """What the strongest set does beyond its parts."""
    who = _listed([f"“{names[i]}”" for i in s.members])
    beyond = f"{who} together have {facts.number(s.value)} beyond their parts"
    if len(s.members) != 2 or find(index).name not in _ADD_UP:
        return beyond
    parts = [sure.get((i,)) for i in s.members]
    if None in parts:
        return beyond
    first, second = (part for part in parts if part is not None)
    if (first.value > 0) != (second.value > 0):
        return beyond
    separate, total = first.value + second.value, first.value + second.value + s.value
    far = first.far + second.far + s.far
    verb = "raise" if separate > 0 else "lower"
    if (s.value > 0) == (separate > 0):
        return f"{who} together {verb} it more than their sum ({facts.number(s.value)})"
    if abs(total) <= far:
        return f"{who} together {verb} it less than their sum, if at all ({facts.number(s.value)})"
    if (total > 0) == (separate > 0):
        return f"{who} together {verb} it less than their sum ({facts.number(s.value)})"
    other = "raise" if verb == "lower" else "lower"
    return f"{who} together {other} it instead ({facts.number(s.value)} beyond their parts)"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
