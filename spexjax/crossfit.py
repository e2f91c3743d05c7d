"""From values to a fitted spectrum: search, honest cross-validation, refit, final coefficients.

Fold c of the cross-validation decodes the design without group c, fits every method and strength
of :mod:`spexjax.refit` to all other groups and rows, and is tested on group c and its share of the
rows. What wins is fitted to everything but the held-out masks; after these have measured the
faithfulness, coefficients (not the support) are fitted once more with them too.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32, UInt32

from spexjax import gf2, proximal, refit, spectrum, spex
from spexjax.masks import CodedDesign
from spexjax.peeling import Info, PeelConfig
from spexjax.refit import METHODS, Problem, Rows
from spexjax.spectrum import Spectrum
from spexjax.typing import Array

ROW_FOLDS = 5
_ROW_BUCKET = 64


class Samples(NamedTuple):
    """Everything paid for."""

    coded: Float[np.ndarray, "N K"] | None
    """Values at the design's masks, in its order."""
    rows: UInt32[np.ndarray, "rows W"]
    """All other masks, packed."""
    values: Float[np.ndarray, "rows K"]
    held_out: Bool[np.ndarray, "rows"]
    """Masks that nothing may be fitted to until faithfulness has been measured."""


class Fit(NamedTuple):
    """A fitted spectrum per output."""

    honest: Spectrum
    """Fitted without the held-out masks, (K, S)."""
    final: Spectrum
    """The same supports, fitted with them."""
    method: list[str]
    """The method that cross-validation chose for each output, one of ``refit.METHODS``."""
    info: Info | None
    """Diagnostics of the search on all groups."""


def fit(
    samples: Samples, n: int, design: CodedDesign | None, config: PeelConfig, max_order: int
) -> Fit:
    """Finds and fits a support for each output.

    Args:
      samples: masks and values.
      n: number of features.
      design: the coded design, or None for a linear fit of the rows.
      config: settings of the search.
      max_order: sets of more members are not fitted.
    """
    n_pad = gf2.num_words(n) * gf2.WORD
    rows = _pad_rows(samples, n, n_pad)
    values = jnp.asarray(rows.values.T)
    fold = jnp.arange(rows.bits.shape[0], dtype=jnp.int32)
    training = jnp.asarray(rows.weights * ~rows.held_out)
    if design is None:
        K, folds = values.shape[0], ROW_FOLDS
        features = np.full((K, folds + 1, 8, 1), -1, np.int32)
        coded, actives, info = None, None, None
        degree = np.zeros(features.shape[:-1], int)
    else:
        actives = _actives(design.groups)
        folds = len(actives) - 1
        coded = jnp.asarray(samples.coded, jnp.float32).T
        found, info = _searches(design, coded, actives, config)
        features, valid = np.asarray(found.features), np.asarray(found.valid)
        degree = np.where(valid, np.sum(features >= 0, axis=-1), 0)
        features, degree = _compact(features, degree, max_order)
    allowed = np.zeros((*degree.shape[:2], 1 + n_pad + degree.shape[2]), bool)
    allowed[..., : 1 + n] = True
    allowed[..., 1 + n_pad :] = degree > 0
    problem = _Stack(jnp.asarray(rows.bits), values, training, fold % folds, coded, actives)
    features = jnp.asarray(features)
    chosen, honest = _cross_validate(design, problem, features, jnp.asarray(allowed))
    everything = problem._replace(training=jnp.asarray(rows.weights))
    final = _polish(design, everything, features[:, -1], chosen, honest)
    supports = [_supports(np.asarray(f), n_pad) for f in features[:, -1]]
    keep = np.asarray(honest) != 0.0
    keep[:, 0] = True

    def assemble(w: Array) -> Spectrum:
        return spectrum.stack(
            [
                spectrum.from_terms(s[k], v[k], n)
                for s, v, k in zip(supports, np.asarray(w), keep, strict=True)
            ]
        )

    A = len(refit.RIDGE_STRENGTHS)
    names = [METHODS[int(c) // A] for c in np.asarray(chosen)]
    return Fit(assemble(honest), assemble(final), names, info)


class _PaddedRows(NamedTuple):
    bits: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    held_out: np.ndarray


def _pad_rows(samples: Samples, n: int, n_pad: int) -> _PaddedRows:
    """Rows padded with weight 0 to a bucket, so that other budgets need no other program."""
    count = len(samples.rows)
    size = max(_ROW_BUCKET, 1 << max(count - 1, 0).bit_length())
    pad = (0, size - count)
    return _PaddedRows(
        np.pad(gf2.unpack_numpy(samples.rows, n), (pad, (0, n_pad - n))),
        np.pad(np.asarray(samples.values, np.float32), (pad, (0, 0))),
        np.pad(np.ones(count, np.float32), pad),
        np.pad(samples.held_out, pad),
    )


def _actives(C: int) -> Bool[Array, "folds_plus_1 C"]:
    """The groups that each search may use: all but one for each fold, then all."""
    if C == 1:
        return jnp.ones((2, 1), bool)
    return jnp.concatenate([~jnp.eye(C, dtype=bool), jnp.ones((1, C), bool)])


@functools.partial(jax.jit, static_argnames="config")
def _searches(design, coded, actives, config):
    def output(values):
        return jax.lax.map(
            lambda active: spex.search(design, values[:, None], config, active), actives
        )

    found, info = jax.lax.map(output, coded)
    return found, jax.tree.map(lambda x: x[:, -1], info)


def _compact(features: np.ndarray, degree: np.ndarray, max_order: int):
    """Keeps the sets of degree 2 to ``max_order``, in the smallest bucket that holds them."""
    wanted = (degree >= 2) & (degree <= max_order)
    size = spectrum.bucket(int(wanted.sum(axis=-1).max()))
    order = np.argsort(~wanted, axis=-1, kind="stable")[..., :size]
    kept = np.take_along_axis(wanted, order, axis=-1)
    members = np.take_along_axis(features, order[..., None], axis=-2)
    pad = size - order.shape[-1]
    members = np.where(kept[..., None], members, -1).astype(np.int32)
    members = np.pad(members, ((0, 0), (0, 0), (0, pad), (0, 0)), constant_values=-1)
    degree = np.where(kept, np.take_along_axis(degree, order, axis=-1), 0)
    return members, np.pad(degree, ((0, 0), (0, 0), (0, pad)))


class _Stack(NamedTuple):
    """The data of all folds' problems."""

    bits: Bool[Array, "rows n_pad"]
    values: Float[Array, "K rows"]
    training: Float[Array, "rows"]
    fold: Int32[Array, "rows"]
    coded: Float[Array, "K N"] | None
    actives: Bool[Array, "folds_plus_1 C"] | None


def _problem(
    design, data: _Stack, values, coded, features, allowed, row_weights, groups
) -> Problem:
    rows = Rows(data.bits, values, row_weights)
    return refit.problem(design, coded, groups, rows, features, allowed)


@jax.jit
def _cross_validate(
    design: CodedDesign | None,
    data: _Stack,
    features: Int32[Array, "K folds_plus_1 S t"],
    allowed: Bool[Array, "K folds_plus_1 T"],
) -> tuple[Int32[Array, "K"], Float[Array, "K T"]]:
    """The winning candidate of each output and its coefficients, fitted to all training rows."""
    folds = features.shape[1] - 1
    sets = jnp.arange(allowed.shape[-1]) >= 1 + data.bits.shape[1]

    def output(args):
        values, coded, members, columns = args

        def one(fold):
            inside = jnp.where(data.fold == fold, 0.0, data.training)
            outside = data.training - inside
            groups = left = None
            if design is not None:
                groups = data.actives[fold].astype(jnp.float32)
                left = jnp.where(design.groups == 1, groups, 1.0 - groups)
            p = _problem(
                design, data, values, coded, members[fold], columns[fold], inside, groups
            )
            w = refit.candidates(p, sets)
            test = p._replace(rows=p.rows._replace(weights=outside))
            if p.coded is not None:
                test = test._replace(coded=p.coded._replace(weights=left))
            return refit.squared_error(test, w), w

        errors, w = jax.lax.map(one, jnp.arange(folds + 1))
        best = jnp.argmin(jnp.sum(errors[:folds], axis=0))
        return best.astype(jnp.int32), w[folds, best]

    return jax.lax.map(output, (data.values, data.coded, features, allowed))


@jax.jit
def _polish(design, data: _Stack, features, chosen, w):
    """The chosen method and strength once more, on the support of w, with all rows."""
    A = len(refit.RIDGE_STRENGTHS)
    ridge = jnp.asarray(refit.RIDGE_STRENGTHS, jnp.float32)
    l1 = jnp.asarray(refit.L1_STRENGTHS, jnp.float32)

    def output(args):
        values, coded, members, best, w = args
        groups = None if design is None else jnp.ones(design.groups)
        allowed = (w != 0.0) | (jnp.arange(w.shape[0]) == 0)
        p = _problem(design, data, values, coded, members, allowed, data.training, groups)
        G, b = refit.operator(p), refit.correlations(p)
        penalty = jnp.ones(w.shape[0]).at[0].set(0.0)
        method, place = best // A, best % A

        def by_l1():
            largest = jnp.max(jnp.abs(b.at[0].set(0.0)))
            L = proximal.lipschitz(G, b)
            return proximal.lasso_solve(
                G, b, l1[place] * largest, L, penalty=penalty, mask=allowed, w0=w
            )[0]

        def by_ridge():
            strength = jnp.where(method == METHODS.index("relaxed"), 1e-6, ridge[place])
            return proximal.ridge_solve(G, b, strength, penalty=penalty, mask=allowed, w0=w)[0]

        return jax.lax.cond(method == METHODS.index("l1"), by_l1, by_ridge)

    return jax.lax.map(output, (data.values, data.coded, features, chosen, w))


def _supports(features: Int32[np.ndarray, "S t"], n_pad: int) -> UInt32[np.ndarray, "T W"]:
    """The packed supports of a problem's columns."""
    bits = np.zeros((len(features), n_pad + 1), bool)
    np.put_along_axis(bits, features.astype(np.int64) % (n_pad + 1), True, axis=1)
    singles = np.eye(n_pad, dtype=bool)
    every = np.concatenate([np.zeros((1, n_pad), bool), singles, bits[:, :n_pad]])
    return gf2.pack_numpy(every, n_pad // gf2.WORD)
