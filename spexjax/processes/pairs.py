"""A design's masks as pairs of complements, and how many masks of a size there are."""

from math import lgamma
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.codes import gf2
from spexjax.masks.design import Design
from spexjax.masks.uniform import canonical

EVEN, ODD = 0, 1
"""Parts of a function: f(m) = even(m) + odd(m), of which m̄ turns the sign of the second."""


class Pairs(NamedTuple):
    """P pairs of masks m and m̄, that of the ends first, those that are held out last.

    Attributes:
      places: int (P, 2), where m and m̄ are among the design's masks.
      signs: float64 (P, n), of m: 1 keeps an input, −1 does not.
      held_out: bool (P,).
    """

    places: Int[np.ndarray, "P 2"]
    signs: Float[np.ndarray, "P n"]
    held_out: Bool[np.ndarray, "P"]


def pairs_of(design: Design) -> Pairs:
    """The masks whose complement is among the masks too."""
    _, unit = gf2.unique_rows(canonical(design.packed, design.n))
    order = np.argsort(unit, kind="stable")
    first = np.flatnonzero(np.diff(unit[order]) == 0)
    places = np.stack([order[first], order[first + 1]], axis=1)
    places = places[np.argsort(places[:, 0])]
    sizes = np.bitwise_count(design.packed[places[:, 0]]).sum(axis=1)
    held_out = design.held_out[places[:, 0]] | design.held_out[places[:, 1]]
    order = np.lexsort([held_out, (sizes > 0) & (sizes < design.n)])
    places, held_out = places[order], held_out[order]
    bits = gf2.unpack_numpy(design.packed[places[:, 0]], design.n)
    return Pairs(places, np.where(bits, 1.0, -1.0), held_out)


def parts(values: Float[np.ndarray, "N K"], pairs: Pairs) -> Float[np.ndarray, "2 P K"]:
    """The even and the odd part at the pairs."""
    one, other = values[pairs.places[:, 0]], values[pairs.places[:, 1]]
    return np.stack([one + other, one - other]) / 2


def numbers(
    design: Design, pairs: Pairs
) -> tuple[Float[np.ndarray, "sizes"], Float[np.ndarray, "sizes"]]:
    """How many masks of each size 0 … n the pairs hold, and how many there are (inf above 1e308).

    Of sizes that may be left out by chance the number is the one expected, so that those that came
    make up for those that did not.
    """
    n = design.n
    sizes = np.bitwise_count(design.packed[pairs.places]).sum(axis=-1).ravel()
    held = np.bincount(sizes, minlength=n + 1).astype(float)
    counts = np.array([lgamma(n + 1) - lgamma(s + 1) - lgamma(n - s + 1) for s in range(n + 1)])
    with np.errstate(over="ignore"):
        existing = np.exp(counts)
    existing = np.where(existing < 2**52, np.round(existing), existing)
    plan = design.sizes
    planned = np.zeros(n + 1) if plan is None else plan.expected
    certain = np.zeros(n + 1, bool) if plan is None else plan.complete
    uniform = max(float(len(sizes) - 2 - (0 if plan is None else plan.counts.sum())), 0.0)
    expected = planned + uniform * np.exp(counts - n * np.log(2.0))
    certain = certain | (expected >= 2) | (existing == 1)
    return np.minimum(np.where(certain, held, expected), existing), existing
