"""Means of ψ_k r over the units of an :class:`~spexjax.inference.evidence.Evidence`.

On the host: these are a few matrix products, which take less time than compiling them would.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt32

from spexjax.codes import gf2
from spexjax.inference.evidence import EVEN, Evidence

_UNITS_AT_ONCE, _SETS_AT_ONCE = 4096, 4096


class Moments(NamedTuple):
    """Mean and variance over the units, float64 (L,) each."""

    mean: Float[np.ndarray, "L"]
    variance: Float[np.ndarray, "L"]


def of_sets(evidence: Evidence, sets: UInt32[np.ndarray, "L W"]) -> Moments:
    """Those of ψ_k r for every set k; its square is that of r for all sets of one parity."""
    square = np.mean(np.square(evidence.residuals, dtype=float), axis=1)
    mean = np.zeros(len(sets))
    for start in range(0, len(sets), _SETS_AT_ONCE):
        part = slice(start, start + _SETS_AT_ONCE)
        for block in _blocks(evidence):
            mean[part] += draws(block, sets[part]).sum(axis=0, dtype=float)
    mean /= len(evidence)
    return Moments(mean, np.maximum(square[_parity(sets)] - mean**2, 0.0))


def of_pairs(evidence: Evidence) -> Moments:
    """:func:`of_sets` of all pairs i < j, in lexical order, by one product of matrices."""
    signs = _bits(evidence.packed)[:, : evidence.n]
    signs = 1 - 2 * signs
    r = evidence.residuals[EVEN]
    products = signs.T @ (signs * r[:, None])
    mean = products[np.triu_indices(evidence.n, 1)].astype(float) / len(evidence)
    square = np.mean(np.square(r, dtype=float))
    return Moments(mean, np.maximum(square - mean**2, 0.0))


def of_functionals(
    evidence: Evidence, sets: UInt32[np.ndarray, "T W"], weights: Float[np.ndarray, "L T"]
) -> Moments:
    """Those of Σ_k weights[l, k] ψ_k r for every l: covariances of the ψ_k r are in them."""
    # float32 holds neither very small nor very large weights of a set of many members.
    largest = np.abs(weights).max(axis=1, initial=0.0)
    largest = np.where(largest > 0, largest, 1.0)
    relative = (weights / largest[:, None]).T.astype(np.float32)
    total = np.zeros((2, len(weights)))
    for block in _blocks(evidence):
        z = draws(block, sets) @ relative
        total += z.sum(axis=0, dtype=float), np.square(z, dtype=float).sum(axis=0)
    mean, square = total / len(evidence)
    return Moments(mean * largest, np.maximum(square - mean**2, 0.0) * largest**2)


def draws(evidence: Evidence, sets: UInt32[np.ndarray, "L W"]) -> Float[np.ndarray, "U L"]:
    """ψ_k r at every unit, float32."""
    members = _bits(sets)
    used = members.any(axis=0)
    # Numbers of common members are whole, and far below what float32 counts.
    common = (_bits(evidence.packed)[:, used] @ members[:, used].T).astype(np.int32)
    return (1 - 2 * (common & 1)).astype(np.float32) * evidence.residuals[_parity(sets)].T


def _blocks(evidence: Evidence) -> Iterator[Evidence]:
    """A few units at a time, so that tables fit a cache."""
    for start in range(0, len(evidence), _UNITS_AT_ONCE):
        yield evidence.units(slice(start, start + _UNITS_AT_ONCE))


def _bits(packed: UInt32[np.ndarray, "L W"]) -> Float[np.ndarray, "L n"]:
    return gf2.unpack_numpy(packed, packed.shape[1] * gf2.WORD).astype(np.float32)


def _parity(sets: UInt32[np.ndarray, "L W"]) -> Int[np.ndarray, "L"]:
    return np.bitwise_count(sets).sum(axis=1, dtype=int) % 2
