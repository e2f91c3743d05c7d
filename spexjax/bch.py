"""Decoding of binary BCH codes: syndromes, error locator, split test, root search.

The word to decode is (0, r): its n message bits are zero and its p parity bits are measured.
Since (k, Pk) is a codeword, r = Pk makes k the error pattern at the message positions. Positions
are exponents of x: parity row r sits at p − 1 − r, feature i at p + n − 1 − i, and positions from
p + n on are cut off by shortening. n is traced, so that all n of a bucket with the same field and
t share one compiled program. Every kernel broadcasts over leading axes.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, UInt32

from spexjax import gf2m
from spexjax.bch_tables import (
    Parameters,
    generator_polynomial,
    parameters,
    parity_matrix,
    primitive_polynomial,
)
from spexjax.gf2 import WORD, capacity
from spexjax.gf2m import Field, xor_sum
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


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["field", "parity_syndromes"],
    meta_fields=["t", "parity_bits", "positions", "W"],
)
@dataclasses.dataclass(frozen=True)
class BCHCode:
    """A code tabulated for up to 32 W features.

    Attributes:
      field: tables of GF(2^m).
      parity_syndromes: int32, (p, t): what parity row r = 1 adds to S_1, S_3, …, S_{2t−1}.
      t: number of errors corrected (the true one).
      parity_bits: p.
      positions: number of positions searched for roots, min(p + 32 W, 2^m − 1).
      W: number of words of a packed support.
    """

    field: Field
    parity_syndromes: Int32[ArrayLike, "p t"]
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

    Args:
      n: number of features.
      t: number of errors to correct.
      W: words of a packed support, at least n / 32.

    Raises:
      ValueError: if n does not fit into W words, or as :func:`parameters` does.
    """
    capacity(n, W)
    chosen = parameters(n, t)
    p, q = chosen.parity_bits, chosen.code_length
    field = gf2m.make_field(primitive_polynomial(chosen.field_degree))
    exponents = np.outer(np.arange(p)[::-1], 2 * np.arange(chosen.t) + 1) % q
    rows = np.asarray(field.antilogs)[exponents]
    return BCHCode(field, jnp.asarray(rows), chosen.t, p, min(p + WORD * W, q), W)


@jax.jit
def syndromes(code: BCHCode, parity_bits: Bool[ArrayLike, "... p"]) -> Int32[Array, "... t"]:
    """The odd syndromes S_1, S_3, …, S_{2t−1} of the words (0, r), S_j = Σ_e word_e α^(je).

    Args:
      code: the code.
      parity_bits: bool, (..., p), the bits r in the row order of :func:`parity_matrix`.

    Returns:
      int32, (..., t).
    """
    chosen = jnp.asarray(parity_bits, bool)[..., None]
    return xor_sum(jnp.where(chosen, code.parity_syndromes, 0), axis=-2)


@jax.jit
def locator(
    code: BCHCode, syndromes: Int32[ArrayLike, "... t"]
) -> tuple[Int32[Array, "... t+1"], Int32[Array, "..."]]:
    """Berlekamp–Massey for binary codes: the shortest recurrence that the syndromes obey.

    Even discrepancies vanish, so t steps suffice (Massey 1969; Berlekamp 1968, section 7.6).

    Args:
      code: the code.
      syndromes: int32, (..., t), odd syndromes.

    Returns:
      sigma: int32, (..., t + 1), σ(x) = Π (1 − x α^e) over the errors e; σ_i multiplies x^i.
      L: int32, (...,), the length of the recurrence. More than t errors if L > t or deg σ < L.
    """
    field, t = code.field, code.t
    s = jnp.asarray(syndromes, jnp.int32)
    lead = s.shape[:-1]
    # newest[μ] lists S_{2μ+1}, S_{2μ}, …, S_{2μ+1−t} (as logarithms, that of 0 before S_1).
    every = [jnp.zeros(lead, jnp.int32)] * (t + 1) + [s[..., 0]]
    for j in range(2, 2 * t):
        every.append(s[..., j // 2] if j % 2 else gf2m.square(field, every[t + j // 2]))
    logs = gf2m.log(field, jnp.stack(every, axis=-1))
    newest = jnp.stack(
        [logs[..., 2 * mu + 1 : 2 * mu + 2 + t][..., ::-1] for mu in range(t)], axis=0
    )

    def step(carry, inputs):
        sigma, before, L = carry
        mu, recent = inputs
        log_sigma = gf2m.log(field, sigma)
        discrepancy = xor_sum(gf2m.antilog(field, log_sigma + recent))
        log_d = gf2m.log(field, discrepancy)[..., None]
        longer = (discrepancy != 0) & (mu >= L)
        updated = sigma ^ gf2m.antilog(field, log_d + gf2m.log(field, before))
        scaled = gf2m.antilog(field, log_sigma + gf2m.invert_log(field, log_d))
        before = jnp.where(longer[..., None], scaled, before)
        before = jnp.concatenate([jnp.zeros_like(before[..., :2]), before[..., :-2]], axis=-1)
        return (updated, before, jnp.where(longer, 2 * mu + 1 - L, L)), None

    one = jnp.zeros((*lead, t + 1), jnp.int32).at[..., 0].set(1)
    start = one, jnp.roll(one, 1, axis=-1), jnp.zeros(lead, jnp.int32)
    steps = jnp.arange(t, dtype=jnp.int32), newest
    (sigma, _, L), _ = jax.lax.scan(step, start, steps)
    return sigma, L


@jax.jit
def splits(
    code: BCHCode, sigma: Int32[ArrayLike, "... t+1"], L: Int32[ArrayLike, "..."]
) -> Bool[Array, "..."]:
    """Whether deg σ = L ≤ t and σ has L distinct roots in the field: exactly the decodable words.

    The test is x^(2^m) ≡ x modulo the monic reciprocal of σ. All degrees are treated as t, by
    working modulo f = x^(t−L) σ_reciprocal and multiplying both sides by x^(t−L).

    Args:
      code: the code.
      sigma: int32, (..., t + 1), from :func:`locator`.
      L: int32, (...,).
    """
    field, t = code.field, code.t
    sigma = jnp.asarray(sigma, jnp.int32)
    L = jnp.asarray(L, jnp.int32)
    leading = jnp.take_along_axis(sigma, jnp.clip(L, 0, t)[..., None], axis=-1)[..., 0]
    plausible = (L <= t) & (leading != 0)
    if t == 1:
        return plausible
    f = sigma[..., :0:-1]  # f_i = σ_(t−i) for i < t; f_t = σ_0 = 1
    log_f = gf2m.log(field, f)

    def times_x(h):
        top = gf2m.log(field, h[..., -1:])
        shifted = jnp.concatenate([jnp.zeros_like(h[..., :1]), h[..., :-1]], axis=-1)
        return shifted ^ gf2m.antilog(field, top + log_f)

    def advance(h, _):
        h = times_x(h)
        return h, h

    # x^t, …, x^(2t−2) mod f; squares of Σ h_i x^i are Σ h_i² x^(2i).
    _, high = jax.lax.scan(advance, jnp.zeros_like(f).at[..., -1].set(1), length=t - 1)
    half = -(-t // 2)
    even = gf2m.log(field, high[2 * half - t :: 2])

    def squared(h, _):
        logs = 2 * gf2m.log(field, h)
        low = gf2m.antilog(field, logs[..., :half])
        spread = jnp.stack([low, jnp.zeros_like(low)], axis=-1).reshape(*low.shape[:-1], -1)
        doubled = jnp.moveaxis(logs[..., half:, None], -2, 0)
        return spread[..., :t] ^ xor_sum(gf2m.antilog(field, doubled + even), axis=0), None

    start = (t - 1).bit_length()  # 2^start ≥ t is the first power of two beyond x^(t−1)
    h = high[(1 << start) - t]
    h, _ = jax.lax.scan(squared, h, length=code.field_degree - start)
    difference = h.at[..., 1].set(h[..., 1] ^ 1)

    def lift(i, g):
        return jnp.where((i < t - L)[..., None], times_x(g), g)

    difference = jax.lax.fori_loop(0, t - 1, lift, difference)
    return plausible & ((L == 0) | ~jnp.any(difference != 0, axis=-1))


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
      positions: int32, (..., t), descending, then −1; all −1 where not ok.
      ok: bool, (...,): σ has L ≤ t roots, all inside the word's p + n positions.
    """
    field, t, q = code.field, code.t, code.field.q
    sigma = jnp.asarray(sigma, jnp.int32)
    n = jnp.asarray(n, jnp.int32)
    e = jnp.arange(code.positions, dtype=jnp.int32)
    powers = (e * np.arange(t, -1, -1, dtype=np.int32)[:, None]) % q
    logs = gf2m.log(field, sigma)
    value = jnp.zeros((*logs.shape[:-1], code.positions), jnp.int32)
    for i in range(t + 1):
        value ^= gf2m.antilog(field, logs[..., i, None] + powers[i])
    root = (value == 0) & (e < code.parity_bits + n)
    count = jnp.sum(root, axis=-1, dtype=jnp.int32)
    ok = (count == L) & (L <= t)

    def next_root(below, _):
        found = jnp.max(jnp.where(root & (e < below[..., None]), e, -1), axis=-1)
        return found, found

    first = jnp.full(ok.shape, code.positions, jnp.int32)
    _, positions = jax.lax.scan(next_root, first, length=t)
    return jnp.where(ok[..., None], jnp.moveaxis(positions, 0, -1), -1), ok


def features_to_packed(features: Int32[ArrayLike, "... t"], W: int) -> UInt32[Array, "... W"]:
    """Packs sets of distinct features, listed in any order, negative entries standing for none."""
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
      positions: int32, (..., t), all error positions, descending, then −1.
      ok: bool, (...,), whether a codeword lies within t errors.
    """
    sigma, L = locator(code, syndromes(code, parity_bits))
    positions, ok = error_positions(code, sigma, L, n)
    features = jnp.asarray(n, jnp.int32) - 1 - (positions - code.parity_bits)
    features = jnp.where(positions >= code.parity_bits, features, -1)
    return features_to_packed(features, code.W), positions, ok
