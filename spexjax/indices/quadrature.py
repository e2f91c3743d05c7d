"""Interaction indices of products, by values along the diagonal.

A function with F(U) = Π_{i∈U} z_i has I(S) = Π_{i∈S} z_i Σ_k w(s, s + k) e_k, with e_k the
elementary symmetric polynomials of the other z. Nodes t and factors ω with Σ ω t^k = w(s, s + k)
turn the sum into Σ ω Π_{i∉S} (1 + t z_i): for SII they are Gauss and Legendre's.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spexjax.indices import index_weights

_DEGREES = 48  # e_k of a smooth function is far below rounding from there on
_MORE_NODES = 12  # than degrees: of all rules the one of least norm, whose sums do not cancel


class Rule(NamedTuple):
    """Nodes in [−1, 1] and factors for every |S|, even |U| apart from odd ones."""

    nodes: Float[np.ndarray, "Q"]
    factors: Float[np.ndarray, "orders 2 Q"]


@cache
def rule(name: str, order: int, n: int) -> Rule:
    """The rule of an index that is linear in F, for sets of at most ``order`` of n features."""
    index = index_weights.find(name)
    degree = min(n, _DEGREES)
    w = index_weights.weights(index, order, degree)
    half = degree // 2 + 1 + _MORE_NODES
    nodes = np.cos(np.pi * (2 * np.arange(half) + 1) / (4 * half))
    factors = np.zeros((len(w), 2, 2 * half))
    for s, row in enumerate(w):
        for parity in (0, 1):
            k = np.arange(degree - s + 1)
            k = k[(k + s) % 2 == parity]
            if not np.any(row[s + k]):
                continue
            values = nodes[None, :] ** k[:, None]
            least = np.linalg.lstsq(values, row[s + k], rcond=1e-14)[0] / 2
            # Even in t, or odd: powers of the other parity cancel.
            factors[s, parity] = np.concatenate([least, least * (-1.0) ** (parity + s)])
    return Rule(np.concatenate([nodes, -nodes]), factors)
