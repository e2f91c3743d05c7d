"""Bins: what peeling knows of a design, how sets meet its bins, and what noise they hold.

After the transform along ℓ, bin j of group c holds for the D delays i the sums
U_{c,i}(j) = Σ_{k: M_cᵀk = j} (−1)^⟨d_i+s_c,k⟩ F(k). Bins are stored flat: bin j of group c is row
c · 2^b + j.
"""

import functools
import math
import statistics
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int32, UInt32

from spexjax.codes import chase, gf2
from spexjax.masks import CodedDesign
from spexjax.typing import Array

_SIGN = 31
TINY = 1e-30
"""Stands in for 0 in denominators; values are scaled to about 1 before they are peeled."""
_einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
_DIRECTION_STEPS = 8


class Tables(NamedTuple):
    """What peeling needs of a design, looked up by feature; the last row is the empty set's."""

    bins: UInt32[Array, "C n_pad_plus_1"]
    """Column of M_c in the low b bits, the shift's bit in bit 31."""
    parities: UInt32[Array, "n_pad_plus_1 words"]
    """⟨d_i, e_j⟩ for the D delays, packed."""


class Rows(NamedTuple):
    """Sets as they meet the bins."""

    features: Int32[Array, "R t"]
    signs: Float[Array, "R D"]
    bins: Int32[Array, "R C"]
    shifts: Float[Array, "R C"]
    """(−1)^⟨s_c,k⟩, 0 for groups that are not active."""


def tables(design: CodedDesign) -> Tables:
    """Per-feature lookups: a set's bin, shift sign and delay signs are XORs of their rows."""
    n_pad = design.shifts.shape[-1] * gf2.WORD
    columns = gf2.unpack(design.matrices, n_pad).astype(jnp.uint32)
    place = jnp.arange(design.b, dtype=jnp.uint32)
    bins = jnp.sum(columns << place[:, None], axis=1, dtype=jnp.uint32)
    shift = gf2.unpack(design.shifts, n_pad).astype(jnp.uint32) << jnp.uint32(_SIGN)
    return Tables(jnp.pad(bins | shift, ((0, 0), (0, 1))), chase.parity_table(design.delays))


@functools.lru_cache(maxsize=256)
def chi2_quantile(freedom: int, tail: float) -> float:
    """About the value that a χ² variable exceeds with probability ``tail``.

    Wilson and Hilferty (1931): the cube root is nearly Gaussian; within 3 % for one degree of
    freedom and a tail of 10⁻³, and far closer for more.
    """
    z = statistics.NormalDist().inv_cdf(1.0 - tail)
    spread = 2.0 / (9.0 * freedom)
    return freedom * (1.0 - spread + z * math.sqrt(spread)) ** 3


def energies(residual: Float[Array, "CB D K"]) -> Float[Array, "CB"]:
    """Σ U² of each bin over its D delays and K outputs."""
    return jnp.sum(residual * residual, axis=(1, 2))


def noise_variance(
    energy: Float[Array, "CB"], active: Bool[Array, "C"], freedom: int, floor: Array
) -> Float[Array, ""]:
    """The variance per measurement that explains the active bins' lower quartile of energy.

    Args:
      energy: float32 (CB,), from :func:`energies`; 0 for the bins of inactive groups.
      active: bool (C,), the groups to look at.
      freedom: D · K, measurements per bin.
      floor: float32 scalar, the least variance to return.
    """
    B = energy.shape[0] // active.shape[0]
    ordered = jnp.sort(jnp.where(jnp.repeat(active, B), energy, jnp.inf))
    quiet = ordered[jnp.sum(active, dtype=jnp.int32) * B // 4]
    return jnp.maximum(quiet / chi2_quantile(freedom, 0.75), floor)


def direction(residual: Float[Array, "rows D K"]) -> Float[Array, "rows D"]:
    """Each bin as one sequence of D: the leading left singular vector times its singular value.

    A bin that holds one set is a rank-one matrix, signs times coefficients, so this is where the
    signs are to be read; for one output it is the bin itself.
    """
    if residual.shape[-1] == 1:
        return residual[..., 0]
    gram = _einsum("rik,rjk->rij", residual, residual)
    loudest = jnp.argmax(jnp.diagonal(gram, axis1=1, axis2=2), axis=-1)
    v = gram[jnp.arange(gram.shape[0], dtype=jnp.int32), loudest.astype(jnp.int32)]
    for _ in range(_DIRECTION_STEPS):
        v = v / jnp.maximum(jnp.linalg.norm(v, axis=-1, keepdims=True), TINY)
        v = _einsum("rij,rj->ri", gram, v)
    return v / jnp.sqrt(jnp.maximum(jnp.linalg.norm(v, axis=-1, keepdims=True), TINY))


def meet(
    C: int,
    B: int,
    D: int,
    table: Tables,
    active: Bool[Array, "C"],
    features: Int32[Array, "R t"],
) -> Rows:
    """In which bin of each group sets fall, and with which signs.

    Args:
      C: groups.
      B: bins per group, 2^b.
      D: delays.
      table: :func:`tables` of the design.
      active: bool (C,); the shifts of the other groups become 0.
      features: int32 (R, t), the members of each set, −1 for none.
    """
    hashes = chase.gather_xor(table.bins.T, features)
    bins = (hashes & jnp.uint32(B - 1)).astype(jnp.int32) + jnp.arange(C, dtype=jnp.int32) * B
    shifts = 1.0 - 2.0 * (hashes >> jnp.uint32(_SIGN)).astype(jnp.float32)
    signs = chase.signs(table.parities, features, D)
    return Rows(features, signs, bins, jnp.where(active, shifts, 0.0))


def estimates(rows: Rows, residual: Float[Array, "CB D K"]) -> Float[Array, "R C K"]:
    """The projection of each set's bins on its signs: an estimate of F(k) from each group."""
    D = residual.shape[1]
    projected = _einsum("rd,rcdk->rck", rows.signs, residual[rows.bins])
    return projected * rows.shifts[..., None] / D


def subtract(
    rows: Rows,
    coefficients: Float[Array, "R K"],
    chosen: Bool[Array, "R"],
    residual: Float[Array, "CB D K"],
) -> Float[Array, "CB D K"]:
    """Subtracts the chosen terms from their bins, in the same order at every call."""
    CB = residual.shape[0]
    R, C = rows.bins.shape
    signs = rows.signs[:, None, :] * rows.shifts[:, :, None]
    terms = (signs[..., None] * coefficients[:, None, None, :]).reshape(R * C, *residual.shape[1:])
    return add(residual, jnp.where(chosen[:, None], rows.bins, CB).reshape(-1), -terms)


def add(
    sums: Float[Array, "B ..."], place: Int32[Array, "R"], terms: Float[Array, "R ..."]
) -> Float[Array, "B ..."]:
    """Sums with a term added at each place, in the same order at every call.

    A CPU adds terms that share a place one after the other. Elsewhere such additions race, so there
    all of them are one matrix product.

    Args:
      sums: float32 (B, …).
      place: int32 (R,), 0 to B − 1 of each term; B for a term that is not added.
      terms: float32 (R, …).
    """

    def in_order(sums: Array, terms: Array) -> Array:
        return sums.at[place].add(terms, mode="drop")

    def at_once(sums: Array, terms: Array) -> Array:
        B, R = sums.shape[0], terms.shape[0]
        flat = jnp.where((place < B)[:, None], terms.reshape(R, -1), 0.0)
        here = place == jnp.arange(B, dtype=jnp.int32)[:, None]
        return sums + _einsum("br,rx->bx", here.astype(flat.dtype), flat).reshape(sums.shape)

    return jax.lax.platform_dependent(sums, terms, cpu=in_order, default=at_once)
