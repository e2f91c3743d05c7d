"""Every interaction index as one number per pair of set sizes.

An index of the table below is a linear function of the spectrum that treats inputs alike, so it
has the form I(S) = Σ_{T⊇S} a(|S|, |T|) M(T) in the Möbius coefficients and

    I(S) = Σ_{U⊇S} w(|S|, |U|) F(U),     w(s, u) = Σ_{t=s}^{u} C(u − s, t − s) (−2)^t a(s, t)

in the Fourier coefficients. The definitions give a; w is summed exactly, in rationals, so that
the alternating sum over t costs no precision, and most of it cancels: for SII, w(s, u) is
(−2)^s / (u − s + 1) when u − s is even and 0 when it is odd.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Float

Kernel = Callable[[int, int, int], Fraction | int]

LARGEST_ORDER = 120  # (−2)^121 nears the end of float32


@dataclass(frozen=True)
class Index:
    """An interaction index.

    Attributes:
      name: as in the literature.
      kernel: a(s, t, ℓ) or w(s, u, ℓ), the factor of a superset of size t of a set of size s.
      basis: what ``kernel`` multiplies: M(T), F(U), or F(U)² (the empty set left out).
      singles: defined for the empty set and single inputs only.
      relative: divided by the variance.
      source: where it comes from.
    """

    name: str
    kernel: Kernel
    basis: Literal["mobius", "fourier", "energy"]
    source: str
    singles: bool = False
    relative: bool = False


def _fsii(s: int, t: int, order: int) -> Fraction | int:
    if t <= order:
        return int(t == s)
    factor = Fraction((-1) ** (order - s) * s * comb(order, s), order + s)
    return factor * Fraction(comb(t - 1, order), comb(t + order - 1, order + s))


def _stii(s: int, t: int, order: int) -> Fraction | int:
    return Fraction(1, comb(t, order)) if s == order else int(t == s)


def _k_sii(s: int, t: int, order: int) -> Fraction | int:
    if s == 0:
        return int(t == 0)
    extra = range(min(order, t) - s + 1)
    return sum(bernoulli(j) * Fraction(comb(t - s, j), t - s - j + 1) for j in extra)


INDICES = {
    index.name: index
    for index in (
        Index(
            "SV", lambda s, t, _: Fraction(1, t) if s else int(t == 0), "mobius",
            "Shapley 1953", singles=True,
        ),
        Index("BV", lambda s, u, _: (-2) ** s * (u == s), "fourier", "Banzhaf 1965", singles=True),
        Index(
            "SII", lambda s, t, _: Fraction(1, t - s + 1), "mobius",
            "Grabisch, Marichal, Roubens 2000",
        ),
        Index(
            "BII", lambda s, u, _: (-2) ** s * (u == s), "fourier",
            "Grabisch, Marichal, Roubens 2000",
        ),
        Index("k-SII", _k_sii, "mobius", "Bordt, von Luxburg 2023"),
        Index("STII", _stii, "mobius", "Sundararajan, Dhamdhere, Agarwal 2020"),
        Index("FSII", _fsii, "mobius", "Tsai, Yeh, Ravikumar 2023, eq. 16"),
        Index(
            "FBII", lambda s, u, order: (-2) ** s * (u <= order), "fourier",
            "Tsai, Yeh, Ravikumar 2023",
        ),
        Index("Moebius", lambda s, t, _: int(t == s), "mobius", "Harsanyi 1963"),
        Index("CoMoebius", lambda s, t, _: 1, "mobius", "Grabisch, Marichal, Roubens 2000"),
        Index("Fourier", lambda s, u, _: int(u == s), "fourier", "O'Donnell 2014"),
        Index("Sobol", lambda s, u, _: int(u == s > 0), "energy", "Sobol 1993", relative=True),
        Index(
            "TotalSobol", lambda s, u, _: int(s == 1), "energy", "Homma, Saltelli 1996",
            singles=True, relative=True,
        ),
        Index("Influence", lambda s, u, _: int(s == 1), "energy", "O'Donnell 2014", singles=True),
    )
}  # fmt: skip


def find(name: str) -> Index:
    """The index of that name; case, hyphens, blanks and the spelling of Möbius do not matter.

    Raises:
      ValueError: if there is none, naming the nearest.
    """
    known = {plain(key): index for key, index in INDICES.items()}
    if isinstance(name, str) and plain(name) in known:
        return known[plain(name)]
    near = difflib.get_close_matches(plain(str(name)), known, 1)
    hint = f" Did you mean {known[near[0]].name!r}?" if near else ""
    raise ValueError(f"index must be one of {', '.join(INDICES)}, Joint-SV, got {name!r}.{hint}")


def weights(index: Index, order: int, largest: int) -> Float[np.ndarray, "sizes supersets"]:
    """The matrix w(s, u) of an index, s from 0 to min(order, largest), u from 0 to ``largest``.

    Args:
      index: the index.
      order: ℓ, the largest size of the sets asked for.
      largest: the largest degree in the spectrum.

    Returns:
      float64; entries with u < s are zero.

    Raises:
      ValueError: if sets of more than 120 inputs are asked for.
    """
    top = min(1 if index.singles else order, largest)
    if top > LARGEST_ORDER:
        raise ValueError(
            f"{index.name} of sets of {top} inputs exceeds float32: pass max_order, at most "
            f"{LARGEST_ORDER}."
        )
    table = np.zeros((top + 1, largest + 1))
    for s in range(top + 1):
        for u in range(s, largest + 1):
            table[s, u] = _weight(index, s, u, order)
    return table


@cache
def _weight(index: Index, s: int, u: int, order: int) -> float:
    if index.basis != "mobius":
        return float(index.kernel(s, u, order))
    terms = ((-2) ** t * comb(u - s, t - s) * index.kernel(s, t, order) for t in range(s, u + 1))
    return float(sum(terms, Fraction(0)))


@cache
def bernoulli(j: int) -> Fraction:
    """The Bernoulli number B_j, with B₁ = −1/2."""
    if j == 0:
        return Fraction(1)
    return -sum((comb(j + 1, i) * bernoulli(i) for i in range(j)), Fraction(0)) / (j + 1)


def plain(name: str) -> str:
    """A name without case, hyphens and blanks."""
    plain = "".join(c for c in name.casefold() if c.isalnum())
    return plain.replace("möbius", "moebius").replace("mobius", "moebius")
