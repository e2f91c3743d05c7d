"""The refit: coefficients of a given support from *all* masks paid for, coded and uniform.

The reference implementations keep the coefficients that peeling found and lose to plain linear
regression at small budgets. Here the empty set, all single inputs and the found sets are fitted
together, by ridge and by L1, with strengths chosen by cross-validation that is honest about the
search (:mod:`spexjax.surrogates.cross_validation`): each fold's sets were decoded without its group. Linear fits (the
sets found left out) are among the candidates, so the search can only help.

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
from spexjax.masks import CodedDesign
from spexjax.regression import fista
from spexjax.spectra import transforms
from spexjax.typing import Array

# Strengths per method, relative: to the mean square of a column for ridge (1 by construction),
# to the strength at which every coefficient vanishes for L1.
RIDGE_STRENGTHS = tuple(10.0 ** (-4 + 0.75 * i) for i in range(8))
L1_STRENGTHS = tuple(10.0 ** (-0.45 * i) for i in range(8))
DEBIASING, _SHRINKING = 1e-6, 0.1
_DENSE_TERMS = 4096
METHODS = ("linear", "ridge", "sparse", "shrunk")


class Rows(NamedTuple):
    """Uniform masks and values; rows of weight 0 do not count."""

    bits: Bool[Array, "rows n_pad"]
    values: Float[Array, "rows"]
    weights: Float[Array, "rows"]


class Coded(NamedTuple):
    """The coded masks as bins, seen by the columns of the fit."""

    bins: Int32[Array, "C T"]
    shifts: Float[Array, "C T"]
    signs: Float[Array, "T D"]
    values: Float[Array, "C B D"]
    """2^(b/2) U: the orthonormal transform of the values."""
    weights: Float[Array, "C D"]


class Problem(NamedTuple):
    """A least-squares problem over T columns: ∅, then n_pad single inputs, then found sets."""

    columns: Float[Array, "rows T"]
    rows: Rows
    coded: Coded | None
    allowed: Bool[Array, "T"]


def columns(bits: Bool[Array, "rows n_pad"], features: Int32[Array, "S t"]) -> Array:
    """(−1)^⟨x,k⟩ for the columns of a problem, float32 (rows, 1 + n_pad + S)."""
    single = 1.0 - 2.0 * bits.astype(jnp.float32)
    padded = jnp.pad(single, ((0, 0), (0, 1)), constant_values=1.0)
    last = padded.shape[1] - 1
    sets = jnp.where(features < 0, last, features)
    products = functools.reduce(jnp.multiply, (padded[:, member] for member in sets.T))
    return jnp.concatenate([jnp.ones((bits.shape[0], 1)), single, products], axis=1)


def coded_part(
    design: CodedDesign,
    values: Float[Array, "N"],
    features: Int32[Array, "S t"],
    weights: Float[Array, "C D"],
) -> Coded:
    """The bins of a design as seen by the columns of a problem."""
    C, D, B = design.groups, design.num_delays, 2**design.b
    table = bins.tables(design)
    n_pad = table.bins.shape[1] - 1
    single = jnp.pad(
        jnp.arange(n_pad, dtype=jnp.int32)[:, None],
        ((1, 0), (features.shape[1] - 1, 0)),
        constant_values=-1,
    )
    members = jnp.concatenate([single.at[0].set(-1), features])
    hashes = chase.gather_xor(table.bins.T, members).T
    held = transforms.fwht(values.reshape(C, D, B), axis=2) / jnp.sqrt(jnp.float32(B))
    return Coded(
        bins=(hashes & jnp.uint32(B - 1)).astype(jnp.int32),
        shifts=1.0 - 2.0 * (hashes >> jnp.uint32(31)).astype(jnp.float32),
        signs=chase.signs(table.parities, members, D),
        values=held.transpose(0, 2, 1),
        weights=weights,
    )


def problem(
    design: CodedDesign | None,
    coded_values: Float[Array, "N"] | None,
    coded_weights: Float[Array, "C D"] | None,
    rows: Rows,
    features: Int32[Array, "S t"],
    allowed: Bool[Array, "T"],
) -> Problem:
    """Puts a problem together; see :class:`Problem`."""
    coded = None
    if design is not None and coded_values is not None and coded_weights is not None:
        coded = coded_part(design, coded_values, features, coded_weights)
    return Problem(columns(rows.bits, features), rows, coded, allowed)


def leading(p: Problem, count: int) -> Problem:
    """The problem of the first ``count`` columns alone."""
    coded = p.coded
    if coded is not None:
        coded = coded._replace(
            bins=coded.bins[:, :count], shifts=coded.shifts[:, :count], signs=coded.signs[:count]
        )
    return Problem(p.columns[:, :count], p.rows, coded, p.allowed[:count])


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
    out = p.columns.T @ (p.rows.weights * p.rows.values)
    if p.coded is not None:
        B = p.coded.values.shape[1]
        out = out + jnp.sqrt(jnp.float32(B)) * _adjoint(p.coded, p.coded.values[..., None])[:, 0]
    return jnp.where(p.allowed, out, 0.0) / total_weight(p)


def gram(p: Problem) -> Float[Array, "T T"]:
    """XᵀX over the masks that count, divided by their number, in closed form where coded."""
    out = p.columns.T @ (p.rows.weights[:, None] * p.columns)
    if p.coded is not None:
        c = p.coded
        _, B, _ = c.values.shape
        for g in range(c.bins.shape[0]):
            same = c.bins[g][:, None] == c.bins[g][None, :]
            signs = c.shifts[g][:, None] * c.signs
            out = out + jnp.where(same, (B * c.weights[g] * signs) @ signs.T, 0.0)
    allowed = p.allowed[:, None] & p.allowed[None, :]
    return jnp.where(allowed, out, 0.0) / total_weight(p)


def operator(p: Problem) -> Callable[[Array], Array]:
    """w ↦ G w for the Gram matrix of a problem, without forming it where T is large."""
    if p.allowed.shape[0] <= _DENSE_TERMS:
        dense = gram(p)
        return lambda w: w @ dense

    total = total_weight(p)

    def apply(w: Array) -> Array:
        w = jnp.where(p.allowed, w, 0.0)
        flat = w.reshape(-1, w.shape[-1]).T
        out = p.columns.T @ (p.rows.weights[:, None] * (p.columns @ flat))
        if p.coded is not None:
            B = p.coded.values.shape[1]
            out = out + B * _adjoint(p.coded, _forward(p.coded, flat))
        out = jnp.where(p.allowed[:, None], out, 0.0)
        return (out / total).T.reshape(w.shape)

    return apply


def _forward(c: Coded, w: Float[Array, "T L"]) -> Float[Array, "C B D L"]:
    """The bins, without the factor 2^(b/2), that coefficients w produce."""
    C, B, D = c.values.shape

    def one(bins: Array, shifts: Array) -> Array:
        terms = c.signs[:, :, None] * (shifts[:, None] * w)[:, None, :]
        return jnp.zeros((B, D, w.shape[1])).at[bins].add(terms)

    return jnp.stack([one(c.bins[g], c.shifts[g]) for g in range(C)])


def _adjoint(c: Coded, bins: Float[Array, "C B D L"]) -> Float[Array, "T L"]:
    """The weighted sum over groups and delays of each column's signs times its bin."""

    def one(place: Array, shifts: Array, weights: Array, values: Array) -> Array:
        return shifts[:, None] * jnp.einsum("td,tdl->tl", c.signs * weights, values[place])

    groups = [one(c.bins[g], c.shifts[g], c.weights[g], bins[g]) for g in range(len(c.bins))]
    return functools.reduce(jnp.add, groups)


def residual_products(p: Problem, w: Float[Array, "L T"]) -> Float[Array, "L L"]:
    """Σ r_a r_b over the masks that count, r_a the residuals of the coefficient vector a."""
    r = p.rows.values - w @ p.columns.T
    out = (r * p.rows.weights) @ r.T
    c = p.coded
    if c is None:
        return out
    scale = jnp.sqrt(jnp.float32(c.values.shape[1]))

    def on_coded(v: Array) -> Array:
        return c.values - scale * _forward(c, v[:, None])[..., 0]

    r = jax.lax.map(on_coded, w)
    weighted = r * c.weights[:, None]
    return out + weighted.reshape(len(w), -1) @ r.reshape(len(w), -1).T


def candidates(p: Problem, sets: Bool[Array, "T"]) -> Float[Array, "candidates T"]:
    """Coefficients of every method at every strength, (len(METHODS) · A, T).

    "linear" is ridge without the found sets, "ridge" ridge with them; L1 at A strengths chooses
    the columns of "sparse" and "shrunk", which are then fitted by ridge, hardly and mildly
    penalised (the relaxed lasso: Meinshausen 2007).

    Args:
      p: the problem.
      sets: True at columns of found sets, which the linear fits leave out.
    """
    G, b = operator(p), correlations(p)
    A, T = len(RIDGE_STRENGTHS), b.shape[0]
    penalty = jnp.ones(T).at[0].set(0.0)
    largest = jnp.max(jnp.abs(b.at[0].set(0.0)))
    sparse, _ = fista.lasso_solve(
        G,
        jnp.broadcast_to(b, (A, T)),
        jnp.asarray(L1_STRENGTHS, jnp.float32) * largest,
        fista.lipschitz(G, b),
        penalty=penalty,
        mask=p.allowed,
        tol=1e-4,
        max_iter=300,
    )
    chosen = (sparse != 0.0) & p.allowed
    fixed = jnp.broadcast_to(jnp.stack([p.allowed & ~sets, p.allowed])[:, None], (2, A, T))
    w, _ = fista.ridge_solve(
        G,
        jnp.broadcast_to(b, (len(METHODS), A, T)),
        per_mask(p, jnp.asarray([[strength(m, a) for a in range(A)] for m in METHODS])),
        penalty=penalty,
        mask=jnp.concatenate([fixed, chosen[None], chosen[None]]),
        max_iter=200,
    )
    return w.reshape(-1, T)


def strength(method: str, place: int) -> float:
    """The ridge strength of a method's candidate."""
    if method in ("linear", "ridge"):
        return RIDGE_STRENGTHS[place]
    return DEBIASING if method == "sparse" else _SHRINKING
