"""Lists of sets: how they are written, packed, listed and added.

A list of sets is an integer array, a row for each set: its members, each once and in any order, and
−1 for no member, anywhere in the row. The row of the empty set holds only −1, or nothing at all.
:func:`pack` makes bit vectors of any such list. What needs more says so: rows without −1
(:class:`Sets`, :func:`merge`, :func:`cubes`), or −1 at the end (:class:`Terms`).
"""

import numbers
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32, UInt32

from spexjax.codes import gf2

_ROWS = 1 << 12
LARGEST_KEY = 1 << 62
_DENSE_KEYS = 1 << 19


class Terms(NamedTuple):
    """The sets of at most ``order`` of n features, by size, then in lexical order."""

    members: Int32[np.ndarray, "S order"]
    """In ascending order, then −1 where a set has fewer."""
    packed: UInt32[np.ndarray, "S W"]
    sizes: Int[np.ndarray, "S"]


def count(n: int, order: int) -> int:
    """How many sets of at most ``order`` of n features there are, the empty one included."""
    return sum(comb(n, s) for s in range(min(order, n) + 1))


def terms(n: int, order: int) -> Terms:
    """Lists all sets of at most ``order`` of n features, the empty one first."""
    order = min(order, n)
    members = np.full((count(n, order), max(order, 1)), -1, np.int32)
    sizes = np.repeat(np.arange(order + 1), [comb(n, s) for s in range(order + 1)])
    for s in range(1, order + 1):
        members[sizes == s, :s] = of_size(n, s)
    return Terms(members, pack(members, n), sizes)


def pack(members: Int[np.ndarray, "sets size"], n: int) -> UInt32[np.ndarray, "sets W"]:
    """Packed sets from a list of sets.

    Args:
      members: integers from 0 to n − 1, and −1, anywhere in a row, for no member.
      n: number of features.

    Raises:
      ValueError: if a number is below −1 or from n on.
    """
    members = np.asarray(members)
    if members.size and not (members.min() >= -1 and members.max() < n):
        wrong = members[(members < -1) | (members >= n)][0]
        raise ValueError(f"members must be between 0 and {n - 1}, or −1 for none, got {wrong}.")
    packed = np.zeros((len(members), gf2.num_words(n)), np.uint32)
    for column in members.T:
        rows = np.flatnonzero(column >= 0)
        word, bit = np.divmod(column[rows], gf2.WORD)
        packed[rows, word] |= np.uint32(1) << bit.astype(np.uint32)
    return packed


def packed_sets(sets: Iterable[Sequence[int]], n: int) -> UInt32[np.ndarray, "sets W"]:
    """Packed sets, in their order, from the positions of each one's members.

    Raises:
      ValueError: if a set names a feature twice, or one outside 0…n − 1.
    """
    rows = [list(members) for members in sets]
    bits = np.zeros((len(rows), n), bool)
    for row, members in zip(bits, rows, strict=True):
        if not all(isinstance(i, numbers.Integral) and 0 <= i < n for i in members):
            raise ValueError(f"features must be between 0 and {n - 1}, got {members}.")
        row[members] = True
        if row.sum() != len(members):
            raise ValueError(f"a set must name each feature once, got {members}.")
    return gf2.pack_numpy(bits, gf2.num_words(n))


def cubes(
    base: UInt32[np.ndarray, "sets W"], members: Int[np.ndarray, "sets s"], n: int
) -> UInt32[np.ndarray, "sets 2**s W"]:
    """base ∪ L for every subset L of each set; base and set are disjoint.

    Subset number l holds the members at the bits of l.
    """
    s = members.shape[1]
    chosen = (np.arange(2**s)[:, None] >> np.arange(s)) & 1
    out = np.repeat(base[:, None], 2**s, axis=1)
    for i, column in enumerate(members.T):
        out[:, chosen[:, i] == 1] |= pack(column[:, None], n)[:, None]
    return out


def fourier_from_mobius(
    sets: Terms, values: Float[np.ndarray, "S K"], n: int
) -> Float[np.ndarray, "S K"]:
    """F(S) = (−1)^|S| Σ_{T⊇S} 2^−|T| M(T) on all sets of at most k inputs, M being 0 elsewhere."""
    out = np.zeros(values.shape)
    for s in range(int(sets.sizes.max()) + 1):
        rows = np.flatnonzero(sets.sizes == s)
        empty = np.zeros((len(rows), sets.packed.shape[1]), np.uint32)
        below = cubes(empty, sets.members[rows, :s], n)
        _, place = gf2.unique_rows(np.concatenate([sets.packed, below.reshape(-1, below.shape[2])]))
        place = place[len(sets.packed) :]
        sign = (-1.0) ** sets.sizes[place]
        share = np.repeat(values[rows] / 2**s, 2**s, axis=0)
        np.add.at(out, place, sign[:, None] * share)
    return out


def of_size(n: int, size: int) -> Int[np.ndarray, "sets size"]:
    """All sets of ``size`` of n features as sorted members, in lexical order."""
    flat = np.fromiter((i for s in combinations(range(n), size) for i in s), np.int64)
    return flat.reshape(comb(n, size), size)


class Sets(NamedTuple):
    """Sets of one size with a value each: distinct rows of sorted members, in lexical order."""

    members: Int[np.ndarray, "sets size"]
    values: Float[np.ndarray, "sets"]


def by_size(
    supports: UInt32[np.ndarray, "S W"], values: Float[np.ndarray, "S"], n: int
) -> dict[int, Sets]:
    """Packed sets by size; values of equal sets are added."""
    counts = np.bitwise_count(supports).sum(axis=1, dtype=np.int64)
    columns = [
        np.nonzero(gf2.unpack_numpy(supports[start : start + _ROWS], n))[1]
        for start in range(0, len(supports), _ROWS)
    ]
    flat = np.concatenate([np.zeros(0, np.int64), *columns])
    starts = np.cumsum(counts) - counts
    classes = {}
    for size in np.unique(counts).tolist():
        rows = counts == size
        members = flat[starts[rows, None] + np.arange(size)]
        classes[size] = merge(members, np.asarray(values)[rows].astype(float), n)
    return classes


def keys(members: Int[np.ndarray, "sets size"], n: int) -> tuple[Int[np.ndarray, "sets"], int]:
    """An integer for every row, equal for equal rows; and one that is above them all."""
    key = np.zeros(len(members), np.int64)
    span = 1
    for column in members.T:
        if span * n > LARGEST_KEY:
            known, key = np.unique(key, return_inverse=True)
            span = len(known)
        key = key * n + column
        span *= n
    return key, span


def largest(x: Float[np.ndarray, "N"], count: int) -> Int[np.ndarray, "count"]:
    """Places of the largest numbers, the largest first."""
    some = np.arange(len(x))
    if count < len(x):
        some = np.sort(np.argpartition(-x, count)[:count])
    return some[np.argsort(-x[some], kind="stable")]


def merge(members: Int[np.ndarray, "sets size"], values: Float[np.ndarray, "sets"], n: int) -> Sets:
    """Adds the values of equal rows."""
    key, span = keys(members, n)
    if span <= _DENSE_KEYS:  # a table of all keys is faster than a sort of those that occur
        first = np.full(span, -1)
        first[key[::-1]] = np.arange(len(key))[::-1]
        known = np.flatnonzero(first >= 0)
        return Sets(members[first[known]], np.bincount(key, values, span)[known])
    _, first, number = np.unique(key, return_index=True, return_inverse=True)
    return Sets(members[first], np.bincount(number, values, len(first)))
