"""Joint Shapley values (Harris, Pymar, Rowat 2022): what a whole set adds to random others.

J(S) = Σ_{T⊆[n]∖S} q(|T|) (f(S ∪ T) − f(T)) for 1 ≤ |S| ≤ ℓ: players arrive in random groups of at
most ℓ, and q(t) is the probability that a given set of size t is present before a given group.
Unlike the other indices J(S) is not a sum over supersets of S: every term that S meets counts, so
all C(n, 1) + … + C(n, ℓ) values are usually different from zero. In Fourier coefficients

    J(S) = −2 Σ_{|U∩S| odd} F(U) h(|S|, |U∖S|),    h(s, j) = Σ_l C(j, l) (−2)^l c(s, l),
    c(s, l) = Σ_t C(n−s−l, t−l) q(t),              the chance that l given others are present.
"""

from collections.abc import Sequence
from math import comb, lgamma

import numpy as np
from jaxtyping import Float, UInt32

from spexjax.indices.interaction_values import Interactions, ranking
from spexjax.spectra import subsets

NAME = "Joint-SV"
MOST_SETS = 10**6
LARGEST_DEGREE = 30  # beyond, the alternating sum over l loses what float64 holds
_CELLS = 1 << 22


def presence(n: int, order: int) -> Float[np.ndarray, "sizes"]:
    """C(n, t) q(t) for t = 0 … n − 1, from Harris et al. 2022, theorem 3, in positive terms.

    q(0) = 1 / Σ_{i=1}^{ℓ} C(n, i) and q(r) = Σ_{s=r−ℓ}^{r−1} C(r, s) q(s) / Σ_{i=1}^{ℓ} C(n−r, i).
    """
    p = np.zeros(n)
    for r in range(n):
        groups = sum(comb(n - r, i) for i in range(1, min(order, n - r) + 1))
        arrivals = [comb(n - s, r - s) * p[s] for s in range(max(r - order, 0), r)]
        p[r] = (sum(arrivals) if r else 1.0) / groups
    return p


def factors(n: int, order: int, largest: int) -> Float[np.ndarray, "sizes others"]:
    """h(s, j) for s = 1 … ``order`` and j = 0 … ``largest``; row 0 is zero."""
    p = presence(n, order)
    logs = np.array([lgamma(i + 1.0) for i in range(n + 1)])
    table = np.zeros((order + 1, largest + 1))
    for s in range(1, order + 1):
        chance = np.zeros(largest + 1)
        for l in range(min(largest, n - s) + 1):  # noqa: E741 (as in the formula)
            t = np.arange(l, n - s + 1)
            ways = logs[n - s - l] - logs[t - l] - logs[n - s - t]
            chance[l] = np.sum(np.exp(ways - (logs[n] - logs[t] - logs[n - t])) * p[t])
        for j in range(min(largest, n - s) + 1):
            table[s, j] = sum(comb(j, i) * (-2) ** i * chance[i] for i in range(j + 1))
    return table


def joint_shapley(
    supports: UInt32[np.ndarray, "S W"],
    coefficients: Float[np.ndarray, "S"],
    n: int,
    order: int,
    sets: Sequence[Sequence[int]] | None = None,
    features: Sequence[str] = (),
) -> Interactions:
    """Joint Shapley values of a sparse spectrum.

    Args:
      supports: uint32, shape (S, W), packed.
      coefficients: float, shape (S,), F of each.
      n: the number of features.
      order: ℓ, the largest group that arrives together; J depends on it.
      sets: the sets wanted, each of 1 to ℓ positions; all of them if None.
      features: n labels; positions if not given.

    Returns:
      The values of the sets, strongest first.

    Raises:
      ValueError: if all sets are asked for and there are more than 10⁶, if a set is empty, too
        large or holds a position outside 0…n − 1, or if a term has more than 30 members.
    """
    order = min(order, n)
    if sets is None:
        count = sum(comb(n, i) for i in range(1, order + 1))
        if count > MOST_SETS:
            raise ValueError(
                f"{NAME} of order {order} has {count:,} values for n = {n}, more than "
                f"{MOST_SETS:,}: lower max_order, or name the sets wanted."
            )
        wanted = subsets.terms(n, order).packed[1:]  # all but the empty set
    else:
        wanted = _packed(sets, n, order)
    degree = np.bitwise_count(supports).sum(axis=1, dtype=np.int64)
    largest = int(degree.max(initial=0))
    if largest > LARGEST_DEGREE:
        raise ValueError(
            f"{NAME} needs terms of at most {LARGEST_DEGREE} inputs, one has {largest}: truncate "
            "the spectrum."
        )
    table = -2.0 * factors(n, order, largest)
    values = np.empty(len(wanted))
    sizes = np.bitwise_count(wanted).sum(axis=1, dtype=np.int64)
    rows = max(1, _CELLS // max(len(supports), 1))
    for start in range(0, len(wanted), rows):
        part = slice(start, start + rows)
        common = np.zeros((len(wanted[part]), len(supports)), np.int64)
        for word in np.flatnonzero(wanted[part].any(axis=0)):
            common += np.bitwise_count(wanted[part, word, None] & supports[:, word])
        weight = np.where(common % 2 == 1, table[sizes[part, None], degree - common], 0.0)
        values[part] = weight @ np.asarray(coefficients, float)
    best = ranking(values)
    return Interactions(wanted[best], values[best], n, NAME, order, tuple(features))


def _packed(sets: Sequence[Sequence[int]], n: int, order: int) -> UInt32[np.ndarray, "sets W"]:
    """The sets, distinct and packed."""
    members = np.full((len(sets), order), -1)
    for row, given in zip(members, sets, strict=True):
        distinct = sorted(set(given))
        if not 1 <= len(distinct) <= order or not all(0 <= i < n for i in distinct):
            raise ValueError(
                f"sets must hold 1 to {order} positions below {n}, got {tuple(given)!r}."
            )
        row[: len(distinct)] = distinct
    return np.unique(subsets.pack(members, n), axis=0)
