"""Chase decoding: the cheapest sign patterns of a noisy word, decoded together, best one kept.

D = p + 1 real measurements u_0 … u_p belong to one unknown set k: u_i ≈ (−1)^⟨d_i,k⟩ F(k), d_0 = 0.
The word of a hard decision is bit i = [u_i u_0 < 0], i = 1 … p. Chase's second algorithm (Chase
1972) decodes it again with the least reliable decisions flipped, |u_i| being the reliability;
flipping u_0 complements the word. The measurements are treated alike: u_0 is one more element
that may be flipped, whose flip is the sum of all parity rows.
"""

import functools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32, UInt32

from spexjax.codes import bch, gf2
from spexjax.typing import Array, ArrayLike

ROOT_BATCH = 32


def num_patterns(t: int) -> int:
    """1 + t (2t + 1): no flip, and as many as there are flips of one or two of 2t + 1 places."""
    return 1 + t * (2 * t + 1)


@functools.lru_cache(maxsize=64)
def flip_subsets(places: int, count: int) -> Bool[np.ndarray, "Q places"]:
    """The subsets of sorted places that can be among the ``count`` cheapest, whatever the costs.

    With costs c_0 ≤ c_1 ≤ … a subset is never cheaper than one that it dominates (no more
    members, each of no higher rank). Subsets that dominate ``count`` or more others are left out.
    """
    start: tuple[int, ...] = ()
    kept = {start}
    frontier = [start]
    while frontier:
        grown = {up for subset in frontier for up in _covers(subset, places)} - kept
        frontier = [subset for subset in grown if _num_below(subset, count) < count]
        kept.update(frontier)
    table = np.zeros((len(kept), places), bool)
    for row, subset in zip(table, sorted(kept, key=lambda s: (len(s), s)), strict=True):
        row[list(subset)] = True
    return table


def _covers(subset: tuple[int, ...], places: int) -> list[tuple[int, ...]]:
    raised = [
        (*subset[:i], place + 1, *subset[i + 1 :])
        for i, place in enumerate(subset)
        if place + 1 < places and place + 1 not in subset
    ]
    return raised if 0 in subset else [*raised, (0, *subset)]


def _num_below(subset: tuple[int, ...], limit: int) -> int:
    """How many other subsets this one dominates, counted up to ``limit``."""
    seen = {subset}
    frontier = [subset]
    while frontier and len(seen) <= limit:
        s = frontier.pop()
        lowered = [
            (*s[:i], place - 1, *s[i + 1 :])
            for i, place in enumerate(s)
            if place > 0 and place - 1 not in s
        ]
        if 0 in s:
            lowered.append(s[1:])
        fresh = [low for low in lowered if low not in seen]
        seen.update(fresh)
        frontier.extend(fresh)
    return len(seen) - 1


def xor(x: Array, axis: int) -> Array:
    """The sum over GF(2) along an axis of unsigned words."""
    return jax.lax.reduce(x, x.dtype.type(0), jax.lax.bitwise_xor, (axis % x.ndim,))


def measurement_syndromes(code: bch.BCHCode) -> Int32[Array, "D t"]:
    """What flipping the sign of each of the D measurements adds to the syndromes."""
    rows = jnp.asarray(code.parity_syndromes)
    return jnp.concatenate([xor(rows, 0)[None], rows]).astype(jnp.int32)


def hard_syndromes(code: bch.BCHCode, u: Float[Array, "... D"]) -> Int32[Array, "... t"]:
    """The syndromes of the hard decisions."""
    table = measurement_syndromes(code)
    return xor(jnp.where((u < 0)[..., None], table, jnp.int32(0)), -2)


def soft_syndromes(
    code: bch.BCHCode, u: Float[Array, "... D"], patterns: int
) -> Int32[Array, "... P t"]:
    """The syndromes of the ``patterns`` cheapest words, the hard decision first."""
    table = measurement_syndromes(code)
    places = min(2 * code.t, u.shape[-1])
    subsets = jnp.asarray(flip_subsets(places, patterns))
    cheapness, least = jax.lax.top_k(-jnp.abs(u), places)
    costs = jnp.matmul(-cheapness, subsets.T.astype(u.dtype), precision=jax.lax.Precision.HIGHEST)
    _, chosen = jax.lax.top_k(-costs, min(patterns, subsets.shape[0]))
    flips = jnp.where(subsets[chosen][..., None], table[least][..., None, :, :], jnp.int32(0))
    return hard_syndromes(code, u)[..., None, :] ^ xor(flips, -2)


def true_first(mask: Bool[Array, "size"]) -> Int32[Array, "size"]:
    """All places, those where ``mask`` is true first, otherwise in order.

    A sort compiles to one kernel, where a running count would take seven.
    """
    return jnp.argsort(~mask, stable=True).astype(jnp.int32)


def place(order: Int32[Array, "size"], nth: Int32[Array, "m"], count: Array) -> Int32[Array, "m"]:
    """The nth places of :func:`true_first`, from 0; ``size``, out of range, from ``count`` on."""
    size = order.shape[0]
    return jnp.where(nth < count, order[jnp.minimum(nth, size - 1)], size)


class Candidates(NamedTuple):
    """What a batch of words decodes to."""

    features: Int32[Array, "words t"]
    """Members of the decoded set in ascending order, after places filled with −1."""
    score: Float[Array, "words"]
    """The likelihood, −inf where nothing was decoded or it was rejected."""


def decode_words(code, syndromes, active, n, score, batch: int = ROOT_BATCH) -> Candidates:
    """Decodes words given by syndromes and scores what they decode to.

    Few words pass the split test, so only those are compacted, ``batch`` at a time, for the root
    search, which is the expensive part.

    Args:
      code: the code.
      syndromes: int32 (words, t).
      active: bool (words,), words to look at.
      n: number of features, may be traced.
      score: maps (word (batch,), features (batch, t)) to a float32 likelihood, −inf to reject.
      batch: static number of words in one root search.
    """
    total = syndromes.shape[0]
    sigma, degree = bch.locator(code, syndromes)
    promising = active & bch.splits(code, sigma, degree)
    order, count = true_first(promising), jnp.sum(promising, dtype=jnp.int32)

    def search(carry):
        done, found = carry
        word = place(order, done + jnp.arange(batch, dtype=jnp.int32), count)
        near = jnp.minimum(word, total - 1)
        positions, good = bch.error_positions(code, sigma[near], degree[near], n)
        features = features_of(code, positions, n)
        likelihood = jnp.where(good & (word < total), score(near, features), -jnp.inf)
        return done + batch, Candidates(
            found.features.at[word].set(features, mode="drop"),
            found.score.at[word].set(likelihood, mode="drop"),
        )

    empty = Candidates(
        jnp.full((total, code.t), -1, jnp.int32), jnp.full(total, -jnp.inf, jnp.float32)
    )
    return jax.lax.while_loop(lambda c: c[0] < count, search, (jnp.int32(0), empty))[1]


def features_of(
    code: bch.BCHCode, positions: Int32[Array, "... t"], n: Int32[ArrayLike, ""]
) -> Int32[Array, "... t"]:
    """Error positions as sorted features; −1 for none and for errors among the parity bits."""
    feature = jnp.int32(n) - 1 - (positions - code.parity_bits)
    return jnp.sort(jnp.where(positions >= code.parity_bits, feature, -1), axis=-1)


def gather_xor(table: Array, features: Int32[Array, "... t"]) -> Array:
    """The sum over GF(2) of the table's rows at the features; −1 reads the zero row at the end."""
    last = table.shape[0] - 1
    return xor(table[jnp.where(features < 0, last, features)], features.ndim - 1)


def parity_table(delays: UInt32[Array, "D W"]) -> UInt32[Array, "n_pad_plus_1 words"]:
    """Column j of the delay matrix, packed, for each feature j; a zero row at the end."""
    n_pad = delays.shape[-1] * gf2.WORD
    columns = gf2.pack(gf2.unpack(delays, n_pad).T)
    return jnp.pad(columns, ((0, 1), (0, 0)))


def signs(
    table: UInt32[Array, "rows words"], features: Int32[Array, "... t"], D: int
) -> Float[Array, "... D"]:
    """(−1)^⟨d_i,k⟩ for i = 0 … p, from :func:`parity_table`."""
    return 1.0 - 2.0 * gf2.unpack(gather_xor(table, features), D).astype(jnp.float32)


@functools.partial(jax.jit, static_argnames="patterns")
def chase_decode(
    code: bch.BCHCode,
    delays: UInt32[Array, "D W"],
    u: Float[Array, "... D"],
    n: Int32[ArrayLike, ""] | int,
    patterns: int | None = None,
) -> tuple[UInt32[Array, "... W"], Bool[Array, "..."]]:
    """Soft decoding of noisy words (Chase 1972, algorithm 2; Kang et al. 2025, section 4.3).

    Args:
      code: the code.
      delays: uint32 (D, W), the zero delay and the parity rows (``CodedDesign.delays``).
      u: float32 (..., D), the measurements; u_0 carries the reference sign.
      n: number of features.
      patterns: how many words to try; 1 + t(2t + 1) if None, and 1 is hard decoding.

    Returns:
      The most likely set k among the decoded words, packed (..., W), by |Σ_i (−1)^⟨d_i,k⟩ u_i|;
      and whether any word was decoded, (...,).
    """
    patterns = num_patterns(code.t) if patterns is None else patterns
    chex.assert_rank(delays, 2)
    chex.assert_type([delays, u], [jnp.uint32, jnp.float32])
    D, W = delays.shape
    chex.assert_axis_dimension(u, -1, D)
    if (code.parity_bits + 1, code.W) != (D, W):
        raise ValueError(
            f"delays must have shape ({code.parity_bits + 1}, {code.W}), one row more than the "
            f"code has parity bits, got {delays.shape}."
        )
    lead = u.shape[:-1]
    u = u.reshape(-1, D)
    syndromes = soft_syndromes(code, u, patterns)
    tried = syndromes.shape[1]
    table = parity_table(delays)

    def score(word: Array, features: Array) -> Array:
        return jnp.abs(jnp.sum(signs(table, features, D) * u[word // tried], axis=-1))

    words = syndromes.reshape(-1, code.t)
    found = decode_words(code, words, jnp.ones(words.shape[0], bool), n, score)
    likelihood = found.score.reshape(-1, tried)
    best = jnp.argmax(likelihood, axis=-1).astype(jnp.int32)
    rows = jnp.arange(u.shape[0], dtype=jnp.int32)
    features = found.features.reshape(-1, tried, code.t)[rows, best]
    ok = likelihood[rows, best] > -jnp.inf
    support = jnp.where(ok[:, None], bch.features_to_packed(features, W), jnp.uint32(0))
    return support.reshape(*lead, W), ok.reshape(lead)
