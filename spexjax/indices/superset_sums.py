"""Sums over supersets of sparse functions on sets: I(S) = Σ_{U⊇S} w(|S|, |U|) F(U), on the host.

Sets are rows of sorted members, one array per size. Subsets are enumerated for all sets of one
size at once, one member at a time: a subset of size s is numbered by (number of its first s − 1
members, its last member), which fits 64 bits at any n, so that equal subsets are found exactly by
sorting integers and no set is ever hashed. Sums are in float64, since millions of terms may meet.
"""

from collections.abc import Iterable
from functools import partial
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spexjax.codes import gf2
from spexjax.spectra import transforms
from spexjax.spectra.subsets import Sets, merge
from spexjax.typing import Array

CHUNK = 1 << 25  # subsets enumerated at a time
MOST = 1 << 28  # subsets enumerated in all
DENSE_FEATURES = 22  # tables of 2^n are used up to this n,
FEWEST = 1 << 16  # and for more subsets than this


def superset_sums(
    terms: dict[int, Sets], weights: Float[np.ndarray, "sizes supersets"], n: int
) -> dict[int, Sets]:
    """I(S) = Σ_{U⊇S} weights[|S|, |U|] F(U) for all S that have a superset among the terms.

    Args:
      terms: F by size.
      weights: float, shape (largest |S| + 1, largest |U| + 1).
      n: the number of features.

    Returns:
      I by size. Sets on which it is exactly 0 are left out.

    Raises:
      ValueError: if more than 2^28 subsets would have to be enumerated and 2^n is too large, too.
    """
    parts: dict[int, list[Sets]] = {}
    wide = {}
    for degree, sets in terms.items():
        sizes = np.flatnonzero(weights[: degree + 1, degree]).tolist()
        if sizes == [degree]:
            scaled = Sets(sets.members, sets.values * weights[degree, degree])
            parts.setdefault(degree, []).append(scaled)
        elif sizes:
            wide[degree] = sets
    tops = {d: int(np.flatnonzero(weights[: d + 1, d]).max()) for d in wide}
    each = {d: sum(comb(d, s) for s in range(top + 1)) for d, top in tops.items()}
    total = sum(each[d] * len(sets.values) for d, sets in wide.items())
    if n <= DENSE_FEATURES and total > max(FEWEST, len(wide) * 2**n // 16):
        found: Iterable[dict[int, Sets]] = [_dense(wide, weights, n)]
    elif total > MOST:
        raise ValueError(
            f"{total:,} subsets would be enumerated, more than {MOST:,}: lower max_order, or "
            "truncate the spectrum."
        )
    else:
        found = (_enumerate(chunk, tops, weights, n) for chunk in _chunks(wide, each))
    for sums in found:
        for size, sets in sums.items():
            parts.setdefault(size, []).append(sets)
    return {size: _join(parts[size], n) for size in sorted(parts)}


def _join(parts: list[Sets], n: int) -> Sets:
    joined = parts[0]
    if len(parts) > 1:
        members = np.concatenate([p.members for p in parts])
        joined = merge(members, np.concatenate([p.values for p in parts]), n)
    keep = joined.values != 0
    return joined if keep.all() else Sets(joined.members[keep], joined.values[keep])


def _chunks(terms: dict[int, Sets], each: dict[int, int]) -> Iterable[dict[int, Sets]]:
    """The terms in parts of about ``CHUNK`` subsets."""
    chunk: dict[int, Sets] = {}
    room = CHUNK
    for degree, sets in terms.items():
        start = 0
        while start < len(sets.values):
            stop = start + max(1, room // each[degree])
            chunk[degree] = Sets(sets.members[start:stop], sets.values[start:stop])
            room -= each[degree] * len(chunk[degree].values)
            start = stop
            if room < each[degree]:
                yield chunk
                chunk, room = {}, CHUNK
    if chunk:
        yield chunk


def _enumerate(
    terms: dict[int, Sets], tops: dict[int, int], weights: Float[np.ndarray, "s u"], n: int
) -> dict[int, Sets]:
    """Superset sums by enumeration, subsets of one size after the other.

    ``numbers[d]`` holds, for each term of degree d and each of its subsets (of positions 0…d − 1,
    in lexical order), the number of that subset among all distinct ones; ``lasts[d]`` the last
    position of each such subset.
    """
    numbers = {d: np.zeros((len(sets.values), 1), np.int64) for d, sets in terms.items()}
    lasts = {d: np.array([-1]) for d in terms}
    known = np.zeros((1, 0), np.min_scalar_type(n))
    sums = {}
    for size in range(max(tops[d] for d in terms) + 1):
        active = [d for d in terms if tops[d] >= size]
        if size:
            for d in active:
                follow = d - 1 - lasts[d]
                parent = np.repeat(np.arange(len(follow)), follow)
                offset = np.arange(len(parent)) - np.repeat(np.cumsum(follow) - follow, follow)
                lasts[d] = lasts[d][parent] + 1 + offset
                numbers[d] = numbers[d][:, parent] * n + terms[d].members[:, lasts[d]]
            keys, inverse = np.unique(
                np.concatenate([numbers[d].ravel() for d in active]), return_inverse=True
            )
            known = np.concatenate(
                [known[keys // n], (keys % n).astype(known.dtype)[:, None]], axis=1
            )
            ends = np.cumsum([numbers[d].size for d in active])[:-1]
            for d, part in zip(active, np.split(inverse, ends), strict=True):
                numbers[d] = part.reshape(numbers[d].shape)
        total = np.zeros(len(known))
        for d in active:
            if weights[size, d]:
                shares = np.broadcast_to(terms[d].values[:, None], numbers[d].shape).ravel()
                total += weights[size, d] * np.bincount(numbers[d].ravel(), shares, len(known))
        sums[size] = Sets(known, total)
    return sums


def _dense(terms: dict[int, Sets], weights: Float[np.ndarray, "s u"], n: int) -> dict[int, Sets]:
    """Superset sums on tables of 2^n, one transform per degree among the terms."""
    index = np.arange(2**n, dtype=np.uint32)
    size = np.bitwise_count(index)
    total = np.zeros(2**n)
    for degree, sets in terms.items():
        table = np.zeros(2**n)
        table[(1 << sets.members.astype(np.int64)).sum(axis=1)] = sets.values
        factor = np.zeros(n + 1)
        factor[: len(weights)] = weights[:, degree]
        total += factor[size] * _comobius(table, n)
    order = np.zeros(1, np.uint32)
    for _ in range(n):
        order = np.concatenate([2 * order, 2 * order + np.uint32(1)])
    order = order[::-1]  # in lexical order of the members, if sizes are equal
    order = order[total[order] != 0]
    found = {}
    for s in range(len(weights)):
        rows = order[size[order] == s]
        members = np.nonzero(gf2.unpack_numpy(rows[:, None], n))[1].reshape(len(rows), s)
        found[s] = Sets(members, total[rows])
    return found


def _comobius(table: Float[np.ndarray, "2**n"], n: int) -> Float[np.ndarray, "2**n"]:
    """Σ_{U⊇S} F(U) of all S, in float64; :func:`spexjax.spectra.transforms.comobius` is float32."""
    table = table.reshape(1 << (n - n // 2), -1)
    for _ in range(2):  # the upper features, then the lower ones: rows stay long
        rows, columns = table.shape
        for feature in range(rows.bit_length() - 1):
            halves = table.reshape(-1, 2, 1 << feature, columns)
            halves[:, 0] += halves[:, 1]
        table = np.ascontiguousarray(table.T)
    return table.ravel()


@partial(jax.jit, static_argnames="n")
def superset_tables(table: Float[Array, "2**n K"], weights: Array, n: int) -> Array:
    """Σ_{U⊇S} w(|S|, |U|) F(U) of all S, from F of all U: one transform per degree.

    Args:
      table: F at the index of each set.
      weights: float32 (n + 1, n + 1), w; see :func:`spexjax.indices.index_weights.weights`.
      n: number of features (static).
    """
    size = jax.lax.population_count(jnp.arange(2**n, dtype=jnp.int32))

    def degree(total: Array, u: Array) -> tuple[Array, None]:
        sums = transforms.comobius(jnp.where(size[:, None] == u, table, 0.0), axis=0)
        return total + weights[size, u][:, None] * sums, None

    return jax.lax.scan(degree, jnp.zeros_like(table), jnp.arange(n + 1, dtype=jnp.int32))[0]
