"""Uniform masks, one by one or with their complements, and all masks.

Mask i of the uniform stream depends on the key and on i only: a larger request begins with the
masks of a smaller one.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt32

from spexjax.codes import gf2
from spexjax.codes.gf2 import unique_rows
from spexjax.compiling import hasty
from spexjax.typing import Array, Key

_STREAM_BLOCK = 1024
# Sub-streams of the user's key; the numbers are part of the format of a reproducible run.
_UNIFORM, _PAIRS = 0, 11


def uniform_packed(key: Key, n: int, start: int, stop: int) -> UInt32[np.ndarray, "rows W"]:
    """Masks ``start`` to ``stop`` of the uniform stream, packed; mask i depends on key and i.

    Args:
      key: a JAX key.
      n: number of features.
      start: number of the first mask, from 0.
      stop: one more than the number of the last.
    """
    if not 0 <= start <= stop:
        raise ValueError(f"start and stop must be 0 ≤ start ≤ stop, got {start} and {stop}.")
    W = gf2.num_words(n)
    first, last = start // _STREAM_BLOCK, -(-stop // _STREAM_BLOCK)
    blocks = [
        np.asarray(_uniform_block(key, np.uint32(i * _STREAM_BLOCK), np.int32(n), W))
        for i in range(first, last)
    ]
    rows = np.concatenate(blocks) if blocks else np.zeros((0, W), np.uint32)
    offset = first * _STREAM_BLOCK
    return rows[start - offset : stop - offset]


@hasty("W")
def _uniform_block(key: Key, start: Array, n: Array, W: int) -> UInt32[Array, "block W"]:
    stream = jax.random.fold_in(key, _UNIFORM)
    rows = start + jnp.arange(_STREAM_BLOCK, dtype=jnp.uint32)
    return jax.vmap(lambda i: gf2.random_words(jax.random.fold_in(stream, i), n, W))(rows)


def fresh_uniform(
    key: Key, n: int, count: int, taken: UInt32[np.ndarray, "rows W"]
) -> UInt32[np.ndarray, "count W"]:
    """The first ``count`` masks of the uniform stream that are new: not in ``taken``, no repeats.

    Args:
      key: a JAX key.
      n: number of features.
      count: how many.
      taken: packed masks not to be drawn.

    Raises:
      ValueError: if fewer than ``count`` masks are left among the 2^n.
    """
    W = gf2.num_words(n)
    taken = unique_rows(np.asarray(taken, np.uint32).reshape(-1, W))[0]
    if n < 63 and count > 2**n - len(taken):
        raise ValueError(f"count must be at most {2**n - len(taken)}, the masks left, got {count}.")
    found = taken
    drawn = 0
    while len(found) < len(taken) + count:
        missing = len(taken) + count - len(found)
        drawn, start = drawn + max(missing, _STREAM_BLOCK if n < 32 else missing), drawn
        found = unique_rows(np.concatenate([found, uniform_packed(key, n, start, drawn)]))[0]
    return found[len(taken) : len(taken) + count]


def all_packed(n: int) -> UInt32[np.ndarray, "2**n W"]:
    """All 2^n masks, packed; row m has feature i kept iff bit i of m is set.

    Raises:
      ValueError: if n > 30, since the table would not fit into memory.
    """
    if not 1 <= n <= 30:
        raise ValueError(f"n must be between 1 and 30 to list all masks, got {n}.")
    return np.arange(2**n, dtype=np.uint32)[:, None]


def paired_uniform(
    key: Key, n: int, count: int, taken: UInt32[np.ndarray, "rows W"]
) -> UInt32[np.ndarray, "count W"]:
    """Distinct uniform masks, each followed by its complement; the last has none if count is odd.

    Args:
      key: a JAX key.
      n: number of features.
      count: how many.
      taken: masks not to be drawn, nor their complements; the ends never are.

    Raises:
      ValueError: if there are not so many pairs left.
    """
    pairs = -(-count // 2)
    found = _pairs_of(taken, n)
    first = len(found)
    if pairs > 2 ** (n - 1) - first:
        raise ValueError(f"count must be at most {2 * (2 ** (n - 1) - first)}, got {count}.")
    stream = jax.random.fold_in(key, _PAIRS)
    drawn = 0
    while len(found) < first + pairs:
        start, drawn = drawn, drawn + max(first + pairs - len(found), _STREAM_BLOCK)
        new = canonical(uniform_packed(stream, n, start, drawn), n)
        found = unique_rows(np.concatenate([found, new]))[0]
    return with_complements(found[first : first + pairs], n)[:count]


def pairs_left(n: int, taken: UInt32[np.ndarray, "rows W"]) -> int:
    """How many pairs of a mask and its complement are disjoint from ``taken`` and the ends."""
    return 2 ** (n - 1) - len(_pairs_of(taken, n))


def _pairs_of(taken: np.ndarray, n: int) -> np.ndarray:
    """One mask of every pair to which the masks and the ends belong."""
    ends = np.zeros((1, gf2.num_words(n)), np.uint32)
    return unique_rows(np.concatenate([ends, canonical(taken, n)]))[0]


def canonical(rows: UInt32[np.ndarray, "rows W"], n: int) -> UInt32[np.ndarray, "rows W"]:
    """Of each packed mask and its complement the one that lacks feature 0."""
    return np.where((rows[:, :1] & 1).astype(bool), complement(rows, n), rows)


def complement(rows: UInt32[np.ndarray, "rows W"], n: int) -> UInt32[np.ndarray, "rows W"]:
    """Packed masks with all n features flipped."""
    return rows ^ np.asarray(gf2.pack_numpy(np.ones(n, bool), rows.shape[1]))


def with_complements(rows: UInt32[np.ndarray, "rows W"], n: int) -> UInt32[np.ndarray, "twice W"]:
    """Packed masks, each followed by its complement."""
    return np.stack([rows, complement(rows, n)], axis=1).reshape(-1, rows.shape[1])
