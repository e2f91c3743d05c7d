"""Regression on all sets of at most k inputs: least squares, free or exact at the ends, and L1.

Coefficients are Fourier coefficients F of the sets of ``subsets.terms``, one column per output.
"""

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32, UInt32

from spexjax import regression
from spexjax.codes import gf2
from spexjax.indices import index_weights, superset_sums
from spexjax.masks.design import Design
from spexjax.spectra import spectrum, subsets, transforms
from spexjax.spectra.subsets import Terms
from spexjax.surrogates import shrinkage
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Array, ArrayLike

_TINY = 1e-6  # ridge strength per mask: least squares, of least norm if masks are few
_FOLDS = 3  # few: each fold has a Gram matrix of its own, and lists of sets are long
_ROWS_AT_ONCE = 256


@jax.jit
def columns(bits: Bool[Array, "rows n_pad"], members: Int32[Array, "S order"]) -> Array:
    """(−1)^⟨m,k⟩ of every mask and set, float32 (rows, S), built a few rows at a time."""

    def row(mask: Array) -> Array:
        signs = jnp.concatenate([1.0 - 2.0 * mask.astype(jnp.float32), jnp.ones(1, jnp.float32)])
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


def least_squares(
    design: Design,
    values: Standardised,
    sets: Terms,
    tested: Float[np.ndarray, "N"],
    final: Float[np.ndarray, "N"],
    constrained: bool = False,
    shrunk: bool = False,
) -> Fit:
    """Weighted least squares, without the held-out masks and with them.

    Args:
      design: the masks; the first two are 1…1 and 0…0 if ``constrained``.
      values: f there.
      sets: the regressors.
      tested: weights of the fit whose faithfulness is measured; held-out masks get none.
      final: weights of the fit that is returned.
      constrained: the fits are exact at 1…1 and 0…0.
      shrunk: where equations are few, as much as cross-validation asks;
        see :mod:`spexjax.surrogates.shrinkage`.
    """
    weigh = (np.where(design.held_out, 0.0, tested), final)
    if shrunk and shrinkage.few(len(design), sets):
        table = np.asarray(values.values, float)
        one, other = (
            shrinkage.least_squares(design, table, sets, weights, constrained) for weights in weigh
        )
        return fit_of(sets, one, other, design.n)
    p = padded(design.packed, sets, design.n)
    y = _filled(values.values, p)
    fits = []
    for weights in weigh:
        w = _filled(weights, p)
        found = _constrained(p, y, w, y[:2]) if constrained else _plain(p, y, w)
        fits.append(np.asarray(found)[: len(sets.sizes)])
    return fit_of(sets, fits[0], fits[1], design.n)


def _filled(x: Float[ArrayLike, "N *K"], p: Padded) -> Float[Array, "rows *K"]:
    """float32, with zeros for the rows that fill up the bucket."""
    rows = (0, p.bits.shape[0] - len(x))
    return jnp.pad(jnp.asarray(x, jnp.float32), (rows, *[(0, 0)] * (x.ndim - 1)))


def uniform_weights(design: Design) -> Float[np.ndarray, "N"]:
    """1, but for the ends, which were not drawn: their share of a uniform sample."""
    n, rows = design.n, len(design)
    ends = min(2, rows)
    weights = np.ones(rows)
    weights[:ends] = (rows - ends) / (2**n - 2) if 1 < n < 63 and rows > ends else 0.0
    return weights if weights.any() else np.ones(rows)


@jax.jit
def _plain(p: Padded, y, weights):
    X = columns(p.bits, p.members)
    strength = _TINY * jnp.sum(weights)
    fit = regression.ridge(X, y, strength, weights=weights, valid=p.valid)
    return fit.coefficients.at[0].add(fit.intercept)


@jax.jit
def _constrained(p: Padded, y, weights, ends):
    """Least squares subject to f̂ = f at both ends.

    There the sets of even size add up to (f(1) + f(0))/2, the odd ones to (f(0) − f(1))/2: one
    equation for each half. Coefficients equal within a half solve them; what is left to fit is
    orthogonal to these, so each half's columns are centred row by row. The rows are mirrored to
    keep the regression's intercept at 0.
    """
    X = jnp.where(p.valid, columns(p.bits, p.members), 0.0)
    halves = jnp.stack([p.valid & p.even, p.valid & ~p.even]).astype(jnp.float32)
    number = jnp.maximum(jnp.sum(halves, axis=1), 1.0)
    spread = halves / number[:, None]
    level = jnp.stack([ends[0] + ends[1], ends[1] - ends[0]]) / 2
    means = regression.matmul(X, spread.T)
    X = jnp.where(p.valid, X - regression.matmul(means, halves), 0.0)
    y = y - regression.matmul(means, level)
    fit = regression.ridge(
        jnp.concatenate([X, -X]),
        jnp.concatenate([y, -y]),
        _TINY * 2 * jnp.sum(weights),
        weights=jnp.concatenate([weights, weights]),
        valid=p.valid,
    )
    halved = regression.matmul(halves, fit.coefficients)
    return fit.coefficients + regression.matmul(spread.T, level - halved)


def lasso(design: Design, values: Standardised, sets: Terms) -> Fit:
    """L1 regression on the sets, its strength chosen by cross-validation on the first fit."""
    p = padded(design.packed, sets, design.n)
    y, X = _filled(values.values, p), columns(p.bits, p.members)
    weights = uniform_weights(design)
    train = _filled(np.where(design.held_out, 0.0, weights), p)
    first = regression.lasso_cv(X, y, folds=_FOLDS, weights=train, valid=p.valid)
    again = regression.lasso(X, y, first.strength, weights=_filled(weights, p), valid=p.valid)

    def all_of(fit: regression.Fit | regression.CVFit) -> np.ndarray:
        return np.asarray(fit.coefficients.at[0].add(fit.intercept))[: len(sets.sizes)]

    return fit_of(sets, all_of(first), all_of(again), design.n)


def fit_of(
    sets: Terms, tested: Float[np.ndarray, "S K"], final: Float[np.ndarray, "S K"], n: int
) -> Fit:
    """A fit from coefficients of the sets, without the held-out masks and with them."""
    return Fit(
        tested=spectrum.from_terms(sets.packed, tested.T.astype(np.float32), n),
        surrogate=spectrum.from_terms(sets.packed, final.T.astype(np.float32), n),
    )


def exact(design: Design, values: Standardised, sets: Terms, index: str, order: int) -> Fit:
    """The index of all 2^n values, and the surrogate Σ_{S⊆m} I(S) (for "Fourier", F itself)."""
    n = design.n
    fourier = transforms.exact_ifwht(values.values)
    place = sets.packed[:, 0]
    if index == "Fourier":
        w = fourier[place]
    else:
        weights = np.zeros((n + 1, n + 1), np.float32)
        found = index_weights.weights(index_weights.INDICES[index], order, n)
        weights[: len(found)] = found
        own = superset_sums.superset_tables(
            jnp.asarray(fourier, jnp.float32), jnp.asarray(weights), n
        )[place]
        w = subsets.fourier_from_mobius(sets, np.asarray(own, float), n)
    return fit_of(sets, w, w, n)
