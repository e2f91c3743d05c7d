"""ProxySPEX with one support for many outputs: trees on what the outputs share.

The leading principal directions of the outputs stand in for them. Boosted trees are grown on each
direction, in every fold of a cross-validation, and a set is as strong as the energy that the
trees of all directions give it. Ridge regression on ever more of the strongest sets, at every
strength, is compared on the folds; the winner is fitted to every output. L1, which would choose
other sets for each output, is no candidate.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, UInt32

from spexjax.codes import gf2
from spexjax.decoding import spex
from spexjax.methods.purchase import Samples
from spexjax.regression import fista
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.surrogates import problem
from spexjax.surrogates.problem import RIDGE_STRENGTHS, Problem, Rows
from spexjax.surrogates.proposals import Wider
from spexjax.trees import ensemble, fourier
from spexjax.trees.boosting import Trees
from spexjax.typing import Array, Key

FOLDS = 5
DIRECTIONS = 8
SIZES = (0, 32, 96, 256, 512, 896)
"""Sets besides the single inputs that are tried."""
_ROW_BUCKET = 64
_OUTPUTS_AT_ONCE = 64


class JointFit(NamedTuple):
    """One support with the coefficients of all outputs."""

    honest: Spectrum
    """Fitted without the held-out masks, (K, S)."""
    final: Spectrum
    """The same support, fitted with them."""
    sets: int
    """How many sets of the trees cross-validation kept; 0 is a linear fit."""


class _Data(NamedTuple):
    bits: Bool[Array, "rows n_pad"]
    values: Float[Array, "rows k"]
    training: Float[Array, "rows"]
    fold: Int32[Array, "rows"]


def fit(samples: Samples, n: int, config: Wider, max_order: int, key: Key) -> JointFit:
    """Finds one support for all outputs and fits it to each.

    Args:
      samples: uniform masks and values (rows, K); no coded ones.
      n: number of features.
      config: settings of the trees.
      max_order: sets of more members are not fitted.
      key: of the trees.
    """
    n_pad = gf2.num_words(n) * gf2.WORD
    count = len(samples.rows)
    size = max(_ROW_BUCKET, 1 << max(count - 1, 0).bit_length())
    bits = np.pad(gf2.unpack_numpy(samples.rows, n), ((0, size - count), (0, n_pad - n)))
    values = np.pad(np.asarray(samples.values, np.float32), ((0, size - count), (0, 0)))
    real = np.arange(size) < count
    training = real & ~np.pad(samples.held_out, (0, size - count))
    # The level of every output is fitted, so that it may be taken out first.
    level = values[training].mean(axis=0)
    values = np.where(real[:, None], values - level, 0.0).astype(np.float32)

    basis = _directions(values, training)
    fold = np.pad(samples.unit, (0, size - count)) % FOLDS
    data = _Data(
        jnp.asarray(bits),
        jnp.asarray(values) @ basis,
        jnp.asarray(training, jnp.float32),
        jnp.asarray(fold, jnp.int32),
    )
    lanes = np.where(training, fold, -1).astype(np.int32)
    features = propose(bits, np.asarray(data.values), lanes, config, n, max_order, key)
    allowed = _allowed(features, n, n_pad)
    errors = np.asarray(_errors(data, jnp.asarray(features), jnp.asarray(allowed)))
    best, strength = np.unravel_index(np.argmin(errors), errors.shape)

    everything = data._replace(values=jnp.asarray(values))
    settled = functools.partial(
        _ridge, features=jnp.asarray(features[-1]), allowed=jnp.asarray(allowed[-1, best]),
        strength=jnp.float32(RIDGE_STRENGTHS[strength]),
    )  # fmt: skip
    honest = settled(everything)
    final = settled(everything._replace(training=jnp.asarray(real, jnp.float32)))
    keep = allowed[-1, best]
    supports = _supports(features[-1], n_pad)[keep]

    def assemble(w: Array) -> Spectrum:
        coefficients = np.array(w)
        coefficients[:, 0] += level
        return spectrum.from_terms(supports, coefficients[:, keep], n)

    return JointFit(assemble(honest), assemble(final), int(keep[1 + n_pad :].sum()))


def _directions(
    values: Float[np.ndarray, "rows K"], training: Bool[np.ndarray, "rows"]
) -> Float[Array, "K k"]:
    sample = jnp.asarray(values * training[:, None])
    return spex.principal_directions(sample, min(DIRECTIONS, values.shape[1]))


def propose(
    masks: Bool[np.ndarray, "rows n_pad"],
    values: Float[np.ndarray, "rows k"],
    fold: Int[np.ndarray, "rows"],
    config: Wider,
    n: int,
    max_order: int,
    key: Key,
) -> Int32[np.ndarray, "L Q t"]:
    """The sets of 2 to ``max_order`` inputs on which trees are strongest, in every lane.

    Args:
      masks: bool (rows, n_pad), padded features False.
      values: float32 (rows, k), the directions.
      fold: int32 (rows,): a row is used in all lanes but that one; −1 for rows that do not count.
      config: settings; at most ``config.sets`` sets are proposed.
      n: number of features.
      max_order: largest set.
      key: of the trees.

    Returns:
      members (FOLDS + 1, Q, t), padded with −1 in front, the strongest first; all −1 is no set.
    """
    t = max(min(max_order, n), 1)
    members = np.full((FOLDS + 1, config.sets, t), -1, np.int32)
    if not config.boosts or n > config.most_features or max_order < 2:
        return members
    # Directions are in proportion to the outputs' energy, so that squares of coefficients add up.
    grown = [
        ensemble.grow(masks, column, fold, FOLDS, config.boosts, max_order, key)
        for column in values.T
    ]
    for lane in range(FOLDS + 1):
        sets = _strongest([Trees(*(x[lane] for x in trees)) for trees in grown], n, t)
        members[lane, : min(len(sets), config.sets)] = sets[: config.sets]
    return members


def _strongest(ensembles: list[Trees], n: int, t: int) -> Int32[np.ndarray, "sets t"]:
    """Sets of 2 to t inputs by the energy that they have in all ensembles together."""
    parts = [fourier.terms(trees, n) for trees in ensembles]
    rows: list[np.ndarray] = [np.zeros((0, t), np.int32)]
    energy: list[np.ndarray] = [np.zeros(0)]
    for d in range(2, t + 1):
        here = [p[d] for p in parts if d in p]
        if here:
            members = np.concatenate([s.members for s in here]).astype(np.int32)
            distinct, place = np.unique(members, axis=0, return_inverse=True)
            squares = np.concatenate([s.values for s in here]) ** 2
            rows.append(np.pad(distinct, ((0, 0), (t - d, 0)), constant_values=-1))
            energy.append(np.bincount(place.reshape(-1), squares, len(distinct)))
    return np.concatenate(rows)[np.argsort(-np.concatenate(energy), kind="stable")]


def _allowed(
    features: Int32[np.ndarray, "L Q t"], n: int, n_pad: int
) -> Bool[np.ndarray, "L P columns"]:
    """The columns of each size of support: ∅, the inputs, and the first sets."""
    L, Q, _ = features.shape
    allowed = np.zeros((L, len(SIZES), 1 + n_pad + Q), bool)
    allowed[:, :, : 1 + n] = True
    first = np.arange(Q) < np.array(SIZES)[:, None]
    allowed[:, :, 1 + n_pad :] = first & np.any(features >= 0, axis=2, keepdims=True).swapaxes(1, 2)
    return allowed


def _problem(data: _Data, values, features, allowed, weights) -> Problem:
    return problem.problem(None, None, None, Rows(data.bits, values, weights), features, allowed)


@jax.jit
def _errors(
    data: _Data, features: Int32[Array, "L Q t"], allowed: Bool[Array, "L P columns"]
) -> Float[Array, "P A"]:
    """Squared errors on the folds, of all directions, by size of the support and strength."""
    strengths = jnp.asarray(RIDGE_STRENGTHS, jnp.float32)

    def one(fold: Array) -> Array:
        weights = jnp.where(data.fold == fold, 0.0, data.training)
        everywhere = jnp.any(allowed[fold], axis=0)
        p = _problem(data, data.values[:, 0], features[fold], everywhere, weights)
        b = jax.vmap(lambda v: problem.correlations(p._replace(rows=p.rows._replace(values=v))))(
            data.values.T
        )
        w, _ = fista.ridge_solve(
            problem.operator(p),
            jnp.broadcast_to(
                b[:, None, None], (len(b), allowed.shape[1], len(strengths), b.shape[1])
            ),
            problem.per_mask(p, strengths),
            penalty=jnp.ones(b.shape[1]).at[0].set(0.0),
            mask=allowed[fold][:, None],
            tol=1e-4,
            max_iter=100,
        )
        left = data.training - weights
        guess = jnp.einsum("kpat,rt->rkpa", w, p.columns)
        residual = (data.values[:, :, None, None] - guess) ** 2
        return jnp.einsum("r,rkpa->pa", left, residual)

    return jnp.sum(jax.lax.map(one, jnp.arange(FOLDS)), axis=0)


@jax.jit
def _ridge(data: _Data, features, allowed, strength) -> Float[Array, "K columns"]:
    """Ridge of every output on one support, a few outputs at a time."""
    K = data.values.shape[1]
    p = _problem(data, data.values[:, 0], features, allowed, data.training)
    G, strength = problem.operator(p), problem.per_mask(p, strength)
    penalty = jnp.ones(len(allowed)).at[0].set(0.0)

    def several(values: Float[Array, "some rows"]) -> Array:
        b = jax.vmap(lambda v: problem.correlations(p._replace(rows=p.rows._replace(values=v))))(
            values
        )
        return fista.ridge_solve(G, b, strength, penalty=penalty, mask=allowed)[0]

    padded = jnp.pad(data.values.T, ((0, -K % _OUTPUTS_AT_ONCE), (0, 0)))
    w = jax.lax.map(several, padded.reshape(-1, _OUTPUTS_AT_ONCE, padded.shape[1]))
    return w.reshape(-1, len(allowed))[:K]


def _supports(features: Int32[np.ndarray, "Q t"], n_pad: int) -> UInt32[np.ndarray, "columns W"]:
    """The packed supports of a problem's columns."""
    singles = np.concatenate([np.full((1, 1), -1), np.arange(n_pad)[:, None]])
    W = n_pad // gf2.WORD
    parts = [fourier.pack(singles, n_pad), fourier.pack(features, n_pad)]
    return np.concatenate([part.reshape(-1, W) for part in parts])
