"""Decoding of binary BCH codes: syndromes, error locator, split test, root search.

The word to decode is (0, r): its n message bits are zero and its p parity bits are measured.
Since (k, Pk) is a codeword, r = Pk makes k the error pattern at the message positions. Positions
are exponents of x: parity row r sits at p − 1 − r, feature i at p + n − 1 − i, and positions from
p + n on are cut off by shortening. n is traced, so that all n of a bucket with the same field and
t share one compiled program. Every kernel broadcasts over leading axes.
"""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, UInt16, UInt32

from spexjax.codes import gf2m
from spexjax.codes.bch_tables import (
    Parameters,
    generator_polynomial,
    parameters,
    parity_matrix,
    primitive_polynomial,
)
from spexjax.codes.gf2 import WORD, capacity
from spexjax.codes.gf2m import Field, xor_sum
from spexjax.typing import Array, ArrayLike

__all__ = [
    "BCHCode",
    "Parameters",
    "error_positions",
    "features_to_packed",
    "generator_polynomial",
    "hard_decode",
    "locator",
    "make_code",
    "parameters",
    "parity_matrix",
    "splits",
    "syndromes",
]


BLOCK = 64
"""Roots are first counted per block of positions, then placed within blocks."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["field", "parity_syndromes", "root_rows"],
    meta_fields=["t", "parity_bits", "positions", "W"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class BCHCode:
    """A code tabulated for up to 32 W features.

    Attributes:
      field: tables of GF(2^m).
      parity_syndromes: int32, (p, t): what parity row r = 1 adds to S_1, S_3, …, S_{2t−1}.
      root_rows: uint16, (t, m, positions padded with zeros to whole blocks): α^(b − i e) at
        [i − 1, b, e], so that σ(α^−e) is a sum of rows chosen by the bits of σ_1 … σ_t.
      t: number of errors corrected (the true one).
      parity_bits: p.
      positions: number of positions searched for roots, min(p + 32 W, 2^m − 1).
      W: number of words of a packed support.
    """

    field: Field
    parity_syndromes: Int32[ArrayLike, "p t"]
    root_rows: UInt16[ArrayLike, "t m padded"]
    t: int
    parity_bits: int
    positions: int
    W: int

    @property
    def field_degree(self) -> int:
        """m of GF(2^m)."""
        return self.field.degree


def make_code(n: int, t: int, W: int) -> BCHCode:
    """The code for n features that corrects t errors, tabulated for its bucket of 32 W features.

    It serves every n' ≤ 32 W for which ``parameters(n', t)`` has the same field degree.

    Args:
      n: number of features.
      t: number of errors to correct.
      W: words of a packed support, at least n / 32.

    Raises:
      ValueError: if n does not fit into W words, or as :func:`parameters` does.
    """
    chosen = parameters(n, t)
    capacity(n, W)
    m, p, q = chosen.field_degree, chosen.parity_bits, chosen.code_length
    positions = min(p + WORD * W, q)
    polynomial = primitive_polynomial(m)
    _, powers = gf2m.tables(polynomial)
    syndromes = powers[np.outer(np.arange(p)[::-1], 2 * np.arange(chosen.t) + 1) % q]
    i, b, e = np.ogrid[1 : chosen.t + 1, :m, :positions]
    rows = np.zeros((chosen.t, m, -(-positions // BLOCK) * BLOCK), np.uint16)
    rows[..., :positions] = powers[(b - i * e) % q]
    field = gf2m.make_field(polynomial)
    syndromes, rows = jax.device_put((syndromes, rows))
    return BCHCode(field, syndromes, rows, chosen.t, p, positions, W)


@jax.jit
def syndromes(code: BCHCode, parity_bits: Bool[ArrayLike, "... p"]) -> Int32[Array, "... t"]:
    """The odd syndromes S_1, S_3, …, S_{2t−1} of the words (0, r), S_j = Σ_e word_e α^(je).

    Args:
      code: the code.
      parity_bits: bool, (..., p), the bits r in the row order of :func:`parity_matrix`.

    Returns:
      int32, (..., t).
    """
    chex.assert_axis_dimension(parity_bits, -1, code.parity_bits)
    chosen = -jnp.asarray(parity_bits, jnp.int32)[..., None]  # all ones where the bit is set
    return xor_sum(chosen & code.parity_syndromes, axis=-2)


@jax.jit
def locator(
    code: BCHCode, syndromes: Int32[ArrayLike, "... t"]
) -> tuple[Int32[Array, "... t+1"], Int32[Array, "..."]]:
    """Berlekamp–Massey for binary codes: the shortest recurrence that the syndromes obey.

    Every second discrepancy vanishes, so t steps suffice (Massey 1969; Berlekamp 1968, ch. 7).

    Args:
      code: the code.
      syndromes: int32, (..., t), odd syndromes.

    Returns:
      sigma: int32, (..., t + 1), σ(x) = Π (1 − x α^e) over the errors e; σ_i multiplies x^i.
      L: int32, (...,), the length of the recurrence. If L > t or deg σ < L, no word within t
        errors of a codeword has these syndromes, and σ says nothing.
    """
    field, t, q = code.field, code.t, code.field.q
    chex.assert_axis_dimension(syndromes, -1, t)
    syndromes = jnp.asarray(syndromes, jnp.int32)
    first = syndromes[..., 0]
    none = jnp.full_like(first, 3 * q)  # the logarithm of 0

    # log S_j for j = 2t − 1 … 1 and then t zeros; S_2j = S_j².
    j = np.arange(2 * t - 1, 0, -1)
    doublings = np.log2(j & -j).astype(np.int32)
    odd = gf2m.log(field, syndromes)[..., (j >> doublings) // 2]
    every = jnp.where(odd < 3 * q, (odd << doublings) % q, odd)
    every = jnp.concatenate([every, jnp.broadcast_to(none[..., None], (*none.shape, t))], axis=-1)

    def step(mu, carry):
        sigma, before, L = carry
        recent = jax.lax.dynamic_slice_in_dim(every, 2 * (t - 1 - mu), t + 1, axis=-1)
        logs = gf2m.log(field, sigma)
        discrepancy = xor_sum(gf2m.antilog(field, logs + recent))
        log_d = gf2m.log(field, discrepancy)[..., None]
        longer = (discrepancy != 0) & (mu >= L)
        # Three logarithms at most are added up before an antilogarithm is taken.
        scaled = logs + gf2m.invert_log(field, log_d)
        sigma = sigma ^ gf2m.antilog(field, log_d + before)
        before = _shifted(jnp.where(longer[..., None], scaled, before), 2, 3 * q)
        return sigma, before, jnp.where(longer, 2 * mu + 1 - L, L)

    # The first step in closed form: σ = 1 + S_1 x; ``before`` is x²/S_1, or x³ if S_1 = 0, kept
    # as logarithms.
    hit = first != 0
    zero = jnp.zeros_like(first)
    sigma = jnp.stack([zero + 1, first] + [zero] * (t - 1), axis=-1)
    inverse = gf2m.invert_log(field, gf2m.log(field, first))
    start = [none, none, inverse, jnp.where(hit, none, zero)] + [none] * t
    before = jnp.stack(start[: t + 1], axis=-1)
    sigma, _, L = jax.lax.fori_loop(1, t, step, (sigma, before, hit.astype(jnp.int32)))
    return sigma, L


@jax.jit
def splits(
    code: BCHCode, sigma: Int32[ArrayLike, "... t+1"], L: Int32[ArrayLike, "..."]
) -> Bool[Array, "..."]:
    """Whether deg σ = L ≤ t and σ has L distinct roots in the field: exactly the decodable words.

    They are decodable before shortening; :func:`error_positions` has the last word. The test is
    x^(2^m) ≡ x modulo the monic reciprocal r of σ. To treat all degrees as t it is made modulo
    f = x^(t−L) r with both sides multiplied by x^c, c ≥ t − 2 a power of two: x^(2^m + c) ≡
    x^(1 + c), which x^(t−L) divides whenever L > 0.

    Args:
      code: the code.
      sigma: int32, (..., t + 1), from :func:`locator`.
      L: int32, (...,).
    """
    field, t, m = code.field, code.t, code.field_degree
    chex.assert_axis_dimension(sigma, -1, t + 1)
    sigma = jnp.asarray(sigma, jnp.int32)
    L = jnp.asarray(L, jnp.int32)
    leading = jnp.take_along_axis(sigma, jnp.clip(L, 0, t)[..., None], axis=-1)[..., 0]
    plausible = (leading != 0) & (t >= L)
    if t == 1:
        return plausible
    f = gf2m.log(field, sigma[..., :0:-1])  # f = Σ_{i<t} σ_(t−i) x^i + x^t

    def times_x(h):
        top = gf2m.log(field, h[..., -1:])
        return _shifted(h, 1, 0) ^ gf2m.antilog(field, top + f)

    def next_power(h, _):
        h = times_x(h)
        return h, h

    def monomial(e):
        return jnp.zeros_like(f).at[..., e].set(1)

    _, high = jax.lax.scan(next_power, monomial(t - 1), length=t - 1)

    def power_of_x(e):
        return monomial(e) if e < t else high[e - t]  # up to x^(2t−2)

    half = -(-t // 2)
    even = gf2m.log(field, high[2 * half - t :: 2])

    def squared(h):
        logs = 2 * gf2m.log(field, h)
        low = gf2m.antilog(field, logs[..., :half])
        spread = jnp.stack([low, jnp.zeros_like(low)], axis=-1).reshape(*low.shape[:-1], 2 * half)
        total = spread[..., :t]
        for k in range(t - half):
            total ^= gf2m.antilog(field, logs[..., half + k, None] + even[k])
        return total

    # Square and multiply, from the left, starting with a power already known.
    c = 1 << max(t - 3, 0).bit_length()
    exponent = (1 << m) + c
    steps = next(s for s in range(m) if exponent >> s <= 2 * t - 2)

    def step(i, h):
        bit = steps - 1 - i == c.bit_length() - 1
        return jax.lax.cond(bit, times_x, lambda h: h, squared(h))

    h = jax.lax.fori_loop(0, steps, step, power_of_x(exponent >> steps))
    return plausible & ((L == 0) | jnp.all(h == power_of_x(1 + c), axis=-1))


@jax.jit
def error_positions(
    code: BCHCode,
    sigma: Int32[ArrayLike, "... t+1"],
    L: Int32[ArrayLike, "..."],
    n: Int[ArrayLike, ""] | int,
) -> tuple[Int32[Array, "... t"], Bool[Array, "..."]]:
    """The positions e of the shortened word with σ(α^−e) = 0, if there are L of them.

    Args:
      code: the code.
      sigma: int32, (..., t + 1), from :func:`locator`.
      L: int32, (...,).
      n: number of features, may be traced; at most 32 W.

    Returns:
      positions: int32, (..., t), ascending, then −1; all −1 where not ok.
      ok: bool, (...,): σ has L ≤ t roots, all inside the word's p + n positions.
    """
    t, m = code.t, code.field_degree
    chex.assert_axis_dimension(sigma, -1, t + 1)
    sigma = jnp.asarray(sigma, jnp.int32)
    L = jnp.asarray(L, jnp.int32)
    size = code.root_rows.shape[-1]
    bits = (sigma[..., 1:, None] >> np.arange(m, dtype=np.int32)) & 1
    chosen = jnp.uint16(0) - bits.astype(jnp.uint16)  # all ones where a row is taken

    def add_rows(i, value):
        # A loop, since left to fuse this sum would be computed again by each of its readers;
        # slicing row by row lets the rows of one i fuse into one pass (ten times faster on a CPU).
        for b in range(m):
            value ^= chosen[..., i, b, None] & code.root_rows[i, b]
        return value

    value = jax.lax.fori_loop(0, t, add_rows, jnp.zeros((*L.shape, size), jnp.uint16))
    inside = np.arange(size, dtype=np.int32) < code.parity_bits + jnp.asarray(n, jnp.int32)
    root = (value == 1) & inside
    blocks = root.reshape(*L.shape, size // BLOCK, BLOCK)

    upto = jnp.cumsum(jnp.sum(blocks, axis=-1, dtype=jnp.int32), axis=-1)
    ok = (t >= L) & (upto[..., -1] == L)
    slot = jnp.arange(1, t + 1, dtype=jnp.int32)
    behind = upto[..., None, :] < slot[:, None]  # blocks that end before the slot's root
    block = jnp.minimum(jnp.sum(behind, axis=-1, dtype=jnp.int32), size // BLOCK - 1)
    rank = slot - jnp.max(jnp.where(behind, upto[..., None, :], 0), axis=-1)
    inner = jnp.take_along_axis(blocks, block[..., None], axis=-2)
    offset = jnp.sum(
        jnp.cumsum(inner, axis=-1, dtype=jnp.int32) < rank[..., None], axis=-1, dtype=jnp.int32
    )
    present = ok[..., None] & (slot <= L[..., None])
    return jnp.where(present, block * BLOCK + offset, -1), ok


def features_to_packed(features: Int32[ArrayLike, "... t"], W: int) -> UInt32[Array, "... W"]:
    """Packs sets of distinct features, listed in any order, negative entries standing for none.

    Args:
      features: int32, (..., t), below 32 W.
      W: words of a packed set.

    Returns:
      uint32, (..., W).
    """
    features = jnp.asarray(features, jnp.int32)[..., None]
    bit = jnp.uint32(1) << (features & (WORD - 1)).astype(jnp.uint32)
    here = (features >= 0) & (features >> 5 == jnp.arange(W, dtype=jnp.int32))
    return xor_sum(jnp.where(here, bit, jnp.uint32(0)), axis=-2)


@jax.jit
def hard_decode(
    code: BCHCode, parity_bits: Bool[ArrayLike, "... p"], n: Int[ArrayLike, ""] | int
) -> tuple[UInt32[Array, "... W"], Int32[Array, "... t"], Bool[Array, "..."]]:
    """The message k such that (0, r) is within t errors of the codeword 0: k errs at the message.

    With r = Pk plus errors, k and the errors in r are found if together they are at most t.

    Args:
      code: the code.
      parity_bits: bool, (..., p), the measured bits r.
      n: number of features, may be traced; at most 32 W.

    Returns:
      support: uint32, (..., W), k packed; zero where not ok.
      positions: int32, (..., t), all error positions, ascending, then −1.
      ok: bool, (...,), whether a codeword lies within t errors.
    """
    sigma, L = locator(code, syndromes(code, parity_bits))
    positions, ok = error_positions(code, sigma, L, n)
    features = jnp.asarray(n, jnp.int32) - 1 - (positions - code.parity_bits)
    features = jnp.where(positions >= code.parity_bits, features, -1)
    return features_to_packed(features, code.W), positions, ok


def _shifted(h: Int32[Array, "... terms"], by: int, fill: int) -> Int32[Array, "... terms"]:
    """Coefficients of x^by h(x), cut to the same number of terms."""
    start = jnp.full_like(h[..., :by], fill)
    return jnp.concatenate([start, h[..., : h.shape[-1] - by]], axis=-1)
