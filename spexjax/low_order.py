"""All sets of at most k inputs: as lists, as regressors, and from Möbius to Fourier on them."""

from functools import partial, reduce
from math import comb
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, UInt32

from spexjax import gf2, masks, spectrum, transforms
from spexjax.shapley_masks import subsets
from spexjax.typing import Array

_ROWS_AT_ONCE = 256


class Terms(NamedTuple):
    """The sets of at most ``order`` of n features, by size, then in lexical order."""

    members: Int32[np.ndarray, "S order"]
    """Positions, −1 where a set has fewer."""
    packed: UInt32[np.ndarray, "S W"]
    sizes: Int[np.ndarray, "S"]


def count(n: int, order: int) -> int:
    """How many sets of at most ``order`` of n features there are, the empty one included."""
    return sum(comb(n, s) for s in range(min(order, n) + 1))


def terms(n: int, order: int) -> Terms:
    """Lists them."""
    order = min(order, n)
    members = np.full((count(n, order), max(order, 1)), -1, np.int32)
    sizes = np.repeat(np.arange(order + 1), [comb(n, s) for s in range(order + 1)])
    for s in range(1, order + 1):
        members[sizes == s, :s] = subsets(n, s)
    return Terms(members, pack(members, n), sizes)


def pack(members: Int[np.ndarray, "sets size"], n: int) -> UInt32[np.ndarray, "sets W"]:
    """Packed sets from lists of distinct positions; −1 is no position."""
    packed = np.zeros((len(members), gf2.num_words(n)), np.uint32)
    for column in members.T:
        rows = np.flatnonzero(column >= 0)
        word, bit = np.divmod(column[rows], gf2.WORD)
        packed[rows, word] |= np.uint32(1) << bit.astype(np.uint32)
    return packed


@jax.jit
def columns(bits: Bool[Array, "rows n_pad"], members: Int32[Array, "S order"]) -> Array:
    """(−1)^⟨m,k⟩ of every mask and set, float32 (rows, S), built a few rows at a time."""

    def row(mask: Array) -> Array:
        signs = jnp.concatenate([1.0 - 2.0 * mask.astype(jnp.float32), jnp.ones(1)])
        return reduce(jnp.multiply, (signs[member] for member in members.T))

    return jax.lax.map(row, bits, batch_size=_ROWS_AT_ONCE)


class Padded(NamedTuple):
    """Masks and terms rounded up to buckets, so that problems of similar size share programs."""

    bits: Bool[Array, "rows n_pad"]
    members: Int32[Array, "S order"]
    valid: Bool[Array, "S"]
    even: Bool[Array, "S"]


def padded(rows: UInt32[np.ndarray, "rows W"], sets: Terms, n: int) -> Padded:
    """The arrays of a regression of some masks on some sets; see :func:`columns`."""
    n_pad = gf2.num_words(n) * gf2.WORD
    fill = (0, spectrum.bucket(len(rows)) - len(rows))
    width = (0, spectrum.bucket(len(sets.sizes)) - len(sets.sizes))
    return Padded(
        jnp.asarray(np.pad(gf2.unpack_numpy(rows, n), (fill, (0, n_pad - n)))),
        jnp.asarray(np.pad(sets.members, (width, (0, 0)), constant_values=-1)),
        jnp.asarray(np.pad(np.ones(len(sets.sizes), bool), width)),
        jnp.asarray(np.pad(sets.sizes % 2 == 0, width)),
    )


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
        _, place = masks.unique_rows(
            np.concatenate([sets.packed, below.reshape(-1, below.shape[2])])
        )
        place = place[len(sets.packed) :]
        sign = (-1.0) ** sets.sizes[place]
        share = np.repeat(values[rows] / 2**s, 2**s, axis=0)
        np.add.at(out, place, sign[:, None] * share)
    return out


@partial(jax.jit, static_argnames="n")
def superset_tables(table: Float[Array, "2**n K"], weights: Array, n: int) -> Array:
    """Σ_{U⊇S} w(|S|, |U|) F(U) of all S, from F of all U: one transform per degree.

    Args:
      table: F at the index of each set.
      weights: float32 (n + 1, n + 1), w; see :func:`spexjax.index_weights.weights`.
      n: number of features (static).
    """
    size = jax.lax.population_count(jnp.arange(2**n))

    def degree(total: Array, u: Array) -> tuple[Array, None]:
        sums = transforms.comobius(jnp.where(size[:, None] == u, table, 0.0), axis=0)
        return total + weights[size, u][:, None] * sums, None

    return jax.lax.scan(degree, jnp.zeros_like(table), jnp.arange(n + 1))[0]
