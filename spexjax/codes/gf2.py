"""Packed bit arrays over GF(2).

A vector in GF(2)^n is stored little-endian in ``W`` words of 32 bits: feature ``i`` is bit
``i mod 32`` of word ``i div 32``; bits at and above ``n`` are zero. ``W`` comes from the ladder
:func:`num_words`, so that many ``n`` share one compiled program.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, UInt32

from spexjax.typing import Array, ArrayLike, Key

WORD = 32
Stream = Sequence[Int[ArrayLike, ""] | int]


def num_words(n: int) -> int:
    """The number of words for ``n`` features: a power of two, above 256 a multiple of 64.

    Raises:
      ValueError: if ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    need = -(-n // WORD)
    if need > 256:
        return -(-need // 64) * 64
    return 1 << (need - 1).bit_length()


def capacity(n: int, W: int) -> None:
    """Raises ``ValueError`` unless ``n`` features fit into ``W`` words."""
    if not 1 <= n <= W * WORD:
        raise ValueError(f"n must be between 1 and {W * WORD} for {W} words, got {n}.")


@partial(jax.jit, static_argnames="W")
def pack(bits: Bool[ArrayLike, "... n"], W: int | None = None) -> UInt32[Array, "... W"]:
    """Packs bool vectors into words of 32 bits, feature ``i`` at bit ``i mod 32``.

    Args:
      bits: bool, shape (..., n).
      W: the number of words; ``num_words(n)`` if not given.

    Returns:
      uint32, shape (..., W).
    """
    bits = jnp.asarray(bits, bool)
    n = bits.shape[-1]
    W = num_words(n) if W is None else W
    capacity(n, W)
    padding = [(0, 0)] * (bits.ndim - 1) + [(0, W * WORD - n)]
    words = jnp.pad(bits, padding).reshape(*bits.shape[:-1], W, WORD).astype(jnp.uint32)
    return jnp.sum(words << jnp.arange(WORD, dtype=jnp.uint32), axis=-1, dtype=jnp.uint32)


@partial(jax.jit, static_argnames="n")
def unpack(words: UInt32[ArrayLike, "... W"], n: int) -> Bool[Array, "... n"]:
    """The inverse of :func:`pack`: bool, shape (..., n)."""
    words = jnp.asarray(words)
    chex.assert_type(words, jnp.uint32)
    capacity(n, words.shape[-1])
    bits = (words[..., None] >> jnp.arange(WORD, dtype=jnp.uint32)) & 1
    return bits.reshape(*words.shape[:-1], -1)[..., :n].astype(bool)


def pack_numpy(bits: Bool[np.ndarray, "... n"], W: int) -> UInt32[np.ndarray, "... W"]:
    """:func:`pack` on the host."""
    bits = np.asarray(bits, bool)
    capacity(bits.shape[-1], W)
    padded = np.zeros((*bits.shape[:-1], W * WORD), bool)
    padded[..., : bits.shape[-1]] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u4").astype(np.uint32)


def unpack_numpy(words: UInt32[np.ndarray, "... W"], n: int) -> Bool[np.ndarray, "... n"]:
    """:func:`unpack` on the host."""
    words = np.ascontiguousarray(words, dtype="<u4")
    capacity(n, words.shape[-1])
    octets = words.view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=n, bitorder="little").astype(bool)


def valid_bits(n: Int[ArrayLike, ""] | int, W: int) -> UInt32[Array, "W"]:
    """Words with ones at the features below ``n`` (which may be traced) and zeros above."""
    left = jnp.clip(jnp.asarray(n, jnp.int32) - WORD * jnp.arange(W, dtype=jnp.int32), 0, WORD)
    partial_word = (jnp.uint32(1) << jnp.minimum(left, WORD - 1).astype(jnp.uint32)) - 1
    return jnp.where(left == WORD, jnp.uint32(0xFFFFFFFF), partial_word)


def degree(words: UInt32[ArrayLike, "... W"]) -> Int[Array, "..."]:
    """The number of ones |k| of each packed vector, int32."""
    return jnp.sum(jax.lax.population_count(jnp.asarray(words)), axis=-1, dtype=jnp.int32)


@jax.jit
def parity(x: UInt32[ArrayLike, "... W"], y: UInt32[ArrayLike, "... W"]) -> Bool[Array, "..."]:
    """The inner product ⟨x, y⟩ over GF(2), broadcasting over the leading axes."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    chex.assert_type([x, y], jnp.uint32)
    chex.assert_equal_shape_suffix([x, y], 1)
    both = x & y
    folded = jax.lax.reduce(both, np.uint32(0), jax.lax.bitwise_xor, (both.ndim - 1,))
    return (jax.lax.population_count(folded) & 1).astype(bool)


@jax.jit
def matvec(
    matrix: UInt32[ArrayLike, "rows W"], x: UInt32[ArrayLike, "... W"]
) -> Bool[Array, "... rows"]:
    """The product A x over GF(2) of a matrix of packed rows with packed vectors."""
    chex.assert_rank(matrix, 2)
    return parity(jnp.asarray(matrix), jnp.asarray(x)[..., None, :])


def combine(
    matrix: UInt32[ArrayLike, "rows W"], coefficients: Bool[ArrayLike, "... rows"]
) -> UInt32[Array, "... W"]:
    """The sum over GF(2) of the packed rows that ``coefficients`` selects: Aᵀ c."""
    matrix, coefficients = jnp.asarray(matrix), jnp.asarray(coefficients)
    chex.assert_rank(matrix, 2)
    chex.assert_type([matrix, coefficients], [jnp.uint32, bool])
    chex.assert_axis_dimension(coefficients, -1, matrix.shape[0])
    chosen = jnp.where(coefficients[..., None], matrix, jnp.uint32(0))
    return jax.lax.reduce(chosen, np.uint32(0), jax.lax.bitwise_xor, (chosen.ndim - 2,))


def matmul(a: Bool[ArrayLike, "i j"], b: Bool[ArrayLike, "j k"]) -> Bool[Array, "i k"]:
    """The product of two bool matrices over GF(2) (float32 sums, exact below 2^24 columns)."""
    counts = jnp.matmul(
        jnp.asarray(a, jnp.float32),
        jnp.asarray(b, jnp.float32),
        precision=jax.lax.Precision.HIGHEST,
    )
    return (counts.astype(jnp.int32) & 1).astype(bool)


def rank(rows: UInt32[np.ndarray, "rows W"]) -> int:
    """The rank over GF(2) of packed rows, by elimination on the host."""
    basis: dict[int, int] = {}  # reduced vectors by leading bit
    for row in np.ascontiguousarray(rows, "<u4"):
        vector = int.from_bytes(row.tobytes(), "little")
        while vector and vector.bit_length() in basis:
            vector ^= basis[vector.bit_length()]
        if vector:
            basis[vector.bit_length()] = vector
    return len(basis)


def random_full_rank(key: Key, n: int, b: int, W: int) -> UInt32[Array, "b W"]:
    """b linearly independent uniform vectors of GF(2)^n, packed; the first ones do not depend on b.

    Vector r is the first of the stream ``fold_in(key, r)``, ``fold_in(·, 1)``, … that is
    independent of those before it, so a longer list continues a shorter one.

    Args:
      key: a JAX key.
      n: number of features, at least b.
      b: how many vectors.
      W: words of a packed vector.

    Raises:
      ValueError: if b > n, since no such vectors exist.
    """
    capacity(n, W)
    if not 0 <= b <= n:
        raise ValueError(f"b must be at most n = {n} for a full-rank matrix, got {b}.")
    return full_rank_of_stream(key, (), jnp.int32(n), jnp.int32(b), b, W)


class _Basis(NamedTuple):
    """Vectors accepted so far, and what tells whether one more is independent of them."""

    chosen: UInt32[Array, "rows W"]
    reduced: UInt32[Array, "rows W"]
    """Vectors of the same span, each the only one with its pivot."""
    pivots: UInt32[Array, "rows W"]
    """One bit of each reduced vector."""
    size: Int32[Array, ""]
    attempt: Int32[Array, ""]


def full_rank_of_stream(
    key: Key, stream: Stream, n: Int32[Array, ""], b: Int32[Array, ""], rows: int, W: int
) -> UInt32[Array, "rows W"]:
    """:func:`random_full_rank` of the key with the numbers of ``stream`` folded in, in order.

    Here n and b may be traced. They are not checked: the search does not end if b > n.

    Args:
      key: a JAX key.
      stream: whole numbers, static or traced.
      n: number of features.
      b: how many vectors, at most ``rows``; the other rows are zero.
      rows: static.
      W: words of a packed vector.
    """

    def draw(basis: _Basis) -> _Basis:
        words = words_of_stream(key, (*stream, basis.size, basis.attempt), n, W)
        touched = jnp.any(words & basis.pivots != 0, axis=1)
        left = words ^ combine(basis.reduced, touched)
        first = jnp.arange(W, dtype=jnp.int32) == jnp.argmax(left != 0).astype(jnp.int32)
        pivot = jnp.where(first, left & (~left + jnp.uint32(1)), jnp.uint32(0))
        shared = jnp.any(basis.reduced & pivot != 0, axis=1)
        reduced = jnp.where(shared[:, None], basis.reduced ^ left, basis.reduced)
        new = jnp.any(left != 0)
        here = ((jnp.arange(rows, dtype=jnp.int32) == basis.size) & new)[:, None]
        return _Basis(
            jnp.where(here, words, basis.chosen),
            jnp.where(here, left, reduced),
            jnp.where(here, pivot, basis.pivots),
            basis.size + new.astype(jnp.int32),
            jnp.where(new, jnp.int32(0), basis.attempt + 1),
        )

    none = jnp.zeros((rows, W), jnp.uint32)
    start = _Basis(none, none, none, jnp.int32(0), jnp.int32(0))
    return jax.lax.while_loop(lambda basis: basis.size < b, draw, start).chosen


@partial(jax.jit, static_argnames="W")
def random_words(key: Key, n: Int[ArrayLike, ""] | int, W: int) -> UInt32[Array, "W"]:
    """A uniform packed vector of GF(2)^n; word w depends on the key and w alone.

    Words come straight from ``fold_in`` (one threefry block each pair), not from
    ``jax.random.bits``, whose layout has changed between versions of jax.
    """
    return words_of_stream(key, (), n, W)


def words_of_stream(
    key: Key, stream: Stream, n: Int[ArrayLike, ""] | int, W: int
) -> UInt32[Array, "W"]:
    """:func:`random_words` of the key with the numbers of ``stream`` folded in, in order."""

    def pair(w: Array) -> Array:
        # A loop, so that threefry is compiled once, not once per number.
        numbers = jnp.stack([*(jnp.uint32(i) for i in stream), w])
        folded, _ = jax.lax.scan(lambda k, i: (jax.random.fold_in(k, i), None), key, numbers)
        return jax.random.key_data(folded)

    pairs = jax.vmap(pair)(jnp.arange(-(-W // 2), dtype=jnp.uint32))
    return pairs.reshape(-1)[:W] & valid_bits(n, W)


def unique_rows(
    rows: UInt32[np.ndarray, "rows W"],
) -> tuple[UInt32[np.ndarray, "unique W"], np.ndarray]:
    """The distinct rows in order of first appearance, and each row's place among them."""
    keys = np.ascontiguousarray(rows).view([("", rows.dtype)] * rows.shape[1]).reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return rows[first[order]], place[inverse]


def places_among(
    rows: UInt32[np.ndarray, "rows W"], known: UInt32[np.ndarray, "known W"]
) -> np.ndarray:
    """The place of each row among known ones, which are distinct; −1 where it is none of them."""
    _, place = unique_rows(np.concatenate([known, rows]))
    found = place[len(known) :]
    return np.where(found < len(known), found, -1)
