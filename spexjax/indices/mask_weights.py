"""What every mask counts in an interaction index: I(S) = Σ_m a(|S|, |m|, |m ∩ S|) f(m).

For an index of the Möbius coefficients, I(S) = Σ_{T⊇S} κ(|S|, |T|) M(T), the factor of f(m) is the
finite difference Σ_j (−1)^j C(n − u, j) κ(s, u + j) (−1)^{u − |m|} with u = |S ∪ m|; for one of the
Fourier coefficients it is 2⁻ⁿ Σ_{U⊇S} w(s, |U|) (−1)^⟨m,U⟩, a sum of Krawtchouk polynomials. Both
alternate, so they are summed in whole numbers and rationals.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from itertools import pairwise
from math import comb, perm

import numpy as np
from jaxtyping import Float

from spexjax.indices import index_weights
from spexjax.indices.index_weights import Index

MOST_FEATURES = 512
"""Finite differences of more features would take minutes; SV, SII, BV, BII and FBII need none."""


@cache
def mask_weights(name: str, order: int, n: int) -> Float[np.ndarray, "orders sizes inside"]:
    """C(n, |m|) · a(|S|, |m|, |m ∩ S|): what all masks of a size have together, if all are alike.

    Args:
      name: an index that is linear in f.
      order: ℓ, the largest |S|.
      n: number of features.

    Returns:
      float64 (ℓ + 1, n + 1, ℓ + 1); 0 where no mask has so many members in S.

    Raises:
      ValueError: if the index is not linear, or n is too large for it.
    """
    index = index_weights.find(name)
    if index.basis == "energy":
        raise ValueError(f"index must be linear in the values, got {index.name!r}.")
    top = min(1 if index.singles else order, n)
    table = np.zeros((top + 1, n + 1, top + 1))
    for s in range(top + 1):
        if index.basis == "fourier":
            count = _of_fourier(index, s, order, n)
        elif index.name == "SII" or (index.name == "SV" and s == 1):
            count = partial(_of_shapley, n, s)
        elif s == 0:  # f(0…0)
            count = _of_empty
        else:
            count = _of_mobius(index, s, order, n)
        for size in range(n + 1):
            for inside in range(max(0, s + size - n), min(s, size) + 1):
                table[s, size, inside] = count(size, inside)
    table.setflags(write=False)
    return table


def _of_empty(size: int, inside: int) -> float:
    return float(size == 0)


def _of_shapley(n: int, s: int, size: int, inside: int) -> float:
    """Of SV and SII: (−1)^(s − i) / ((n − s + 1) C(n − s, |m| − i)) for each mask."""
    sign = (-1) ** (s - inside)
    return sign * perm(n, s) / ((n - s + 1) * perm(size, inside) * perm(n - size, s - inside))


def _of_fourier(index: Index, s: int, order: int, n: int) -> Callable[[int, int], float]:
    top = 1 if index.singles else order
    w = [int(index.kernel(s, u, order)) for u in range(s, min(top, n) + 1)]

    def count(size: int, inside: int) -> float:
        rest = size - inside
        odd = [
            sum((-1) ** j * comb(rest, j) * comb(n - s - rest, d - j) for j in range(d + 1))
            for d in range(len(w))
        ]
        total = sum(a * b for a, b in zip(w, odd, strict=True))
        return (-1) ** inside * total * comb(n, size) / 2**n

    return count


def _of_mobius(index: Index, s: int, order: int, n: int) -> Callable[[int, int], float]:
    if n > MOST_FEATURES:
        raise ValueError(f"n must be at most {MOST_FEATURES} for {index.name}, got {n}.")
    row = [Fraction(index.kernel(s, t, order)) for t in range(s, n + 1)]
    ends = []  # of row r the last: the r-th difference from n − r on
    for _ in range(n - s + 1):
        ends.append(row[-1])
        row = [a - b for a, b in pairwise(row)]

    def count(size: int, inside: int) -> float:
        return float((-1) ** (s - inside) * comb(n, size) * ends[n - (size + s - inside)])

    return count
