"""A least-squares problem over sets: columns, Gram matrices and residuals, coded masks as bins.

On coded masks the columns (−1)^⟨x,k⟩ need not be formed. The transform along ℓ is orthogonal, so
the rows of delay i and group c become bins, in which column k has a single entry, at M_cᵀk. Gram
entries follow in closed form: 2^b Σ_c [M_cᵀk = M_cᵀk'] (−1)^⟨s_c,k+k'⟩ Σ_i (−1)^⟨d_i,k+k'⟩.
A delay of a group can be left out, but no single mask: that would break the orthogonality.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int32

from spexjax.codes import chase
from spexjax.decoding import bins
from spexjax.masks.coded import CodedDesign
from spexjax.regression import matmul
from spexjax.spectra import transforms
from spexjax.typing import Array, ArrayLike

# Gram matrices of more columns are not formed.
_DENSE_COLUMNS = 4096


class Rows(NamedTuple):
    """Uniform masks and values; rows of weight 0 do not count."""

    bits: Bool[ArrayLike, "rows n_pad"]
    values: Float[ArrayLike, "rows"]
    weights: Float[ArrayLike, "rows"]


class Coded(NamedTuple):
    """The coded masks as bins, seen by the columns of the fit."""

    bins: Int32[Array, "C T"]
    shifts: Float[Array, "C T"]
    signs: Float[Array, "T D"]
    values: Float[Array, "C B D"]
    """2^(b/2) U: the orthonormal transform of the values."""
    weights: Float[ArrayLike, "C D"]


class Problem(NamedTuple):
    """A least-squares problem over T columns: ∅, then n_pad single inputs, then found sets."""

    columns: Float[Array, "rows T"]
    rows: Rows
    coded: Coded | None
    allowed: Bool[ArrayLike, "T"]


class Residuals(NamedTuple):
    """What a fit that is not of the columns leaves at the masks.

    Attributes:
      rows: float32 (rows,).
      coded: float32 (N,), at the coded masks.
    """

    rows: Float[ArrayLike, "rows"]
    coded: Float[ArrayLike, "N"] | None


def columns(bits: Bool[ArrayLike, "rows n_pad"], features: Int32[ArrayLike, "S t"]) -> Array:
    """(−1)^⟨x,k⟩ for the columns of a problem, float32 (rows, 1 + n_pad + S)."""
    single = 1.0 - 2.0 * bits.astype(jnp.float32)
    padded = jnp.pad(single, ((0, 0), (0, 1)), constant_values=1.0)
    last = padded.shape[1] - 1
    sets = jnp.where(features < 0, last, features)
    products = functools.reduce(jnp.multiply, (padded[:, member] for member in sets.T))
    return jnp.concatenate([jnp.ones((bits.shape[0], 1), jnp.float32), single, products], axis=1)


def coded_part(
    design: CodedDesign,
    values: Float[ArrayLike, "N"],
    n_pad: int,
    features: Int32[ArrayLike, "S t"],
    weights: Float[ArrayLike, "C D"],
) -> Coded:
    """The bins of a design as seen by the columns of a problem of ``n_pad`` single inputs."""
    C, D, B = design.groups, design.num_delays, 2**design.b
    table = bins.tables(design)
    single = jnp.pad(
        jnp.arange(n_pad, dtype=jnp.int32)[:, None],
        ((1, 0), (features.shape[1] - 1, 0)),
        constant_values=-1,
    )
    members = jnp.concatenate([single.at[0].set(-1), features])
    hashes = chase.gather_xor(table.bins.T, members).T
    return Coded(
        bins=(hashes & jnp.uint32(B - 1)).astype(jnp.int32),
        shifts=1.0 - 2.0 * (hashes >> jnp.uint32(31)).astype(jnp.float32),
        signs=chase.signs(table.parities, members, D),
        values=held_bins(values.reshape(C, D, B)),
        weights=weights,
    )


def held_bins(values: Float[ArrayLike, "C D B"]) -> Float[Array, "C B D"]:
    """The orthonormal transform along ℓ."""
    held = transforms.fwht(jnp.asarray(values), axis=2) / jnp.sqrt(jnp.float32(values.shape[2]))
    return held.transpose(0, 2, 1)


def problem(
    design: CodedDesign | None,
    coded_values: Float[ArrayLike, "N"] | None,
    coded_weights: Float[ArrayLike, "C D"] | None,
    rows: Rows,
    features: Int32[ArrayLike, "S t"],
    allowed: Bool[ArrayLike, "T"],
) -> Problem:
    """Puts a problem together; see :class:`Problem`."""
    coded = None
    if design is not None and coded_values is not None and coded_weights is not None:
        n_pad = rows.bits.shape[1]
        coded = coded_part(design, coded_values, n_pad, features, coded_weights)
    return Problem(columns(rows.bits, features), rows, coded, allowed)


def of_columns(p: Problem, index: Int32[Array, "M"]) -> Problem:
    """The same masks with some of the columns."""
    coded = p.coded
    if coded is not None:
        coded = coded._replace(
            bins=coded.bins[:, index], shifts=coded.shifts[:, index], signs=coded.signs[index]
        )
    return p._replace(columns=p.columns[:, index], coded=coded, allowed=p.allowed[index])


def total_weight(p: Problem) -> Float[Array, ""]:
    """The number of masks that count."""
    total = jnp.sum(p.rows.weights)
    if p.coded is not None:
        total = total + p.coded.values.shape[1] * jnp.sum(p.coded.weights)
    return jnp.maximum(total, 1.0)


def per_mask(p: Problem, strength: Array) -> Array:
    """A ridge strength in the units of a problem's Gram matrix, which is a mean over masks.

    The best penalty on a *sum* of squares does not depend on the number of masks, so what is
    chosen on folds with fewer of them holds for all.
    """
    size = p.rows.weights.shape[0] + (0 if p.coded is None else p.coded.values.size)
    return strength * size / total_weight(p)


def correlations(p: Problem) -> Float[Array, "T"]:
    """Xᵀy over the masks that count, divided by their number."""
    out = matmul(p.columns.T, p.rows.weights * p.rows.values)
    if p.coded is not None:
        B = p.coded.values.shape[1]
        out = out + jnp.sqrt(jnp.float32(B)) * _adjoint(p.coded, p.coded.values[..., None])[:, 0]
    return jnp.where(p.allowed, out, 0.0) / total_weight(p)


def gram(p: Problem) -> Float[Array, "T T"]:
    """XᵀX over the masks that count, divided by their number, in closed form where coded."""
    out = matmul(p.columns.T, p.rows.weights[:, None] * p.columns)
    if p.coded is not None:
        c = p.coded
        C, B, _ = c.values.shape

        def group(g: Array, total: Array) -> Array:
            same = c.bins[g][:, None] == c.bins[g][None, :]
            signs = c.shifts[g][:, None] * c.signs
            return total + jnp.where(same, matmul(B * c.weights[g] * signs, signs.T), 0.0)

        out = jax.lax.fori_loop(0, C, group, out)
    allowed = p.allowed[:, None] & p.allowed[None, :]
    return jnp.where(allowed, out, 0.0) / total_weight(p)


def formed(p: Problem) -> Float[Array, "T T"] | None:
    """The Gram matrix, None where it would be too large."""
    return gram(p) if p.allowed.shape[0] <= _DENSE_COLUMNS else None


def operator(p: Problem | None, dense: Float[Array, "T T"] | None) -> Callable[[Array], Array]:
    """w ↦ G w by the Gram matrix of the problem, or without it where it is not :func:`formed`."""
    if dense is not None:
        return lambda w: matmul(w, dense)
    assert p is not None
    total = total_weight(p)

    def apply(w: Array) -> Array:
        w = jnp.where(p.allowed, w, 0.0)
        flat = w.reshape(-1, w.shape[-1]).T
        out = matmul(p.columns.T, p.rows.weights[:, None] * matmul(p.columns, flat))
        if p.coded is not None:
            B = p.coded.values.shape[1]
            out = out + B * _adjoint(p.coded, _forward(p.coded, flat))
        out = jnp.where(p.allowed[:, None], out, 0.0)
        return (out / total).T.reshape(w.shape)

    return apply


def _forward(c: Coded, w: Float[Array, "T L"]) -> Float[Array, "C B D L"]:
    """The bins, without the factor 2^(b/2), that coefficients w produce."""
    _, B, D = c.values.shape

    def one(group: tuple[Array, Array]) -> Array:
        place, shifts = group
        terms = c.signs[:, :, None] * (shifts[:, None] * w)[:, None, :]
        return bins.add(jnp.zeros((B, D, w.shape[1]), jnp.float32), place, terms)

    return jax.lax.map(one, (c.bins, c.shifts))


def _adjoint(c: Coded, bins: Float[Array, "C B D L"]) -> Float[Array, "T L"]:
    """The weighted sum over groups and delays of each column's signs times its bin."""

    def add(total: Array, group: tuple[ArrayLike, ...]) -> tuple[Array, None]:
        place, shifts, weights, values = group
        seen = jnp.einsum("td,tdl->tl", c.signs * weights, values[place], precision="highest")
        return total + shifts[:, None] * seen, None

    zero = jnp.zeros((c.signs.shape[0], bins.shape[-1]), jnp.float32)
    return jax.lax.scan(add, zero, (c.bins, c.shifts, c.weights, bins))[0]


def residual_products(
    p: Problem, w: Float[Array, "L T"], other: Residuals | None = None
) -> Float[Array, "L L"]:
    """Σ r_a r_b over the masks that count, r_a the residuals of the coefficient vector a.

    Args:
      p: the problem.
      w: coefficients.
      other: residuals of another fit, to be the last.
    """
    r = p.rows.values - matmul(w, p.columns.T)
    if other is not None:
        r = jnp.concatenate([r, jnp.asarray(other.rows)[None]])
    out = matmul(r * p.rows.weights, r.T)
    if p.coded is None:
        return out
    r = jax.lax.map(functools.partial(_coded_residual, p.coded), w)
    if other is not None and other.coded is not None:
        C, B, D = p.coded.values.shape
        r = jnp.concatenate([r, held_bins(other.coded.reshape(C, D, B))[None]])
    weighted = r * p.coded.weights[:, None]
    return out + matmul(weighted.reshape(len(r), -1), r.reshape(len(r), -1).T)


def residual_energies(p: Problem, w: Float[Array, "L T"]) -> Float[Array, "L"]:
    """Σ r_a² over the masks that count: the diagonal of :func:`residual_products`."""
    r = p.rows.values - matmul(w, p.columns.T)
    out = matmul(r**2, p.rows.weights)
    if p.coded is None:
        return out
    c = p.coded
    return out + jax.lax.map(lambda v: jnp.sum(_coded_residual(c, v) ** 2 * c.weights[:, None]), w)


def _coded_residual(c: Coded, v: Float[Array, "T"]) -> Float[Array, "C B D"]:
    scale = jnp.sqrt(jnp.float32(c.values.shape[1]))
    return c.values - scale * _forward(c, v[:, None])[..., 0]
