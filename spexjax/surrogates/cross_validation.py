"""From values to a fitted spectrum: search, honest cross-validation, refit, final coefficients.

A fold of the cross-validation is a part of the delays of one group of the design, and a share of
the other masks. Its sets are decoded without the group, and proposed without the fold; every
candidate fit of :mod:`spexjax.surrogates.problem` and :mod:`spexjax.surrogates.fits` is made without the fold and
tested on it. Their best mixture (:mod:`spexjax.surrogates.stacking`) is fitted to everything but the held-out
masks; after these have measured the faithfulness, coefficients (not the support) are fitted once
more with them too.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, UInt32

from spexjax.codes import gf2
from spexjax.decoding import spex
from spexjax.decoding.peeling import Info, PeelConfig
from spexjax.masks import CodedDesign
from spexjax.methods.purchase import Samples
from spexjax.regression import fista
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.surrogates import fits, problem, proposals, stacking
from spexjax.surrogates.problem import Problem, Rows
from spexjax.surrogates.proposals import Wider
from spexjax.typing import Array, Key

ROW_FOLDS = 5
_CODED_FOLDS = 6
_ROW_BUCKET = 64
_DIRECTIONS = 8
_OUTPUTS_AT_ONCE = 64


class Fit(NamedTuple):
    """A fitted spectrum per output."""

    honest: Spectrum
    """Fitted without the held-out masks, (K, S)."""
    final: Spectrum
    """The same supports, fitted with them."""
    methods: set[str]
    """What the mixtures hold: some of ``refit.METHODS``, and "wider"."""
    info: Info | None
    """Diagnostics of the search on all groups."""


def fit(
    samples: Samples,
    n: int,
    design: CodedDesign | None,
    config: PeelConfig,
    max_order: int,
    shared_support: bool = False,
    wider: Wider | None = None,
    key: Key | None = None,
) -> Fit:
    """Finds and fits a support for each output, or one for all.

    Args:
      samples: masks and values.
      n: number of features.
      design: the coded design, or None for a linear fit of the rows.
      config: settings of the search.
      max_order: sets of more members are not fitted.
      shared_support: one support, found from the summed energy, and one method and ridge strength
        for all outputs, chosen on their leading principal directions.
      wider: what to propose besides the decoded sets, in each fold without it; not used with
        ``shared_support``.
      key: of ``wider``.
    """
    n_pad = gf2.num_words(n) * gf2.WORD
    # Strengths are relative to correlations with f, which its mean would swamp.
    offset = _mean(samples)
    samples = samples._replace(
        values=samples.values - offset,
        coded=None if samples.coded is None else samples.coded - offset,
    )
    rows = _pad_rows(samples, n, n_pad)
    values = jnp.asarray(rows.values)
    coded = None if design is None else jnp.asarray(samples.coded, jnp.float32)
    features, info = _find(design, coded, values, config, max_order, shared_support)
    leading, penalty = 1 + n_pad + features.shape[2], None
    if wider is not None and not shared_support:
        features, penalty = _widen(rows, samples, design, features, wider, n, max_order, key)
    basis = _directions(values, coded) if shared_support else None
    data = _Stack(
        bits=jnp.asarray(rows.bits),
        values=(values if basis is None else values @ basis).T,
        training=jnp.asarray(rows.weights * ~rows.held_out),
        fold=jnp.asarray(rows.unit % (features.shape[1] - 1), jnp.int32),
        coded=None if coded is None else (coded if basis is None else coded @ basis).T,
        inside=None if design is None else jnp.asarray(_coded_folds(design)),
    )
    K = data.values.shape[0]
    features = jnp.asarray(np.broadcast_to(features, (K, *features.shape[1:])))
    valid = jnp.any(features >= 0, axis=-1)
    single = jnp.broadcast_to(jnp.arange(1 + n_pad) <= n, (*valid.shape[:2], 1 + n_pad))
    allowed = jnp.concatenate([single, valid], axis=2)
    products, fits = _cross_validate(design, data, features, allowed, penalty, leading)
    everything = jnp.asarray(rows.weights)
    if basis is None:
        chosen = _settle_each(
            design, data, features[:, -1], allowed[:, -1],
            None if penalty is None else penalty[:, -1], np.asarray(products), fits, everything,
        )  # fmt: skip
    else:
        data = data._replace(values=values.T, coded=None if coded is None else coded.T)
        chosen = _settle_shared(
            design, data, features[0, -1], allowed[0, -1], products, n_pad, everything
        )
    keep = chosen.keep
    keep[:, 0] = True
    supports = [_supports(np.asarray(f), n_pad) for f in features[: len(keep), -1]]

    def assemble(fitted: Array) -> Spectrum:
        w = np.array(fitted)
        w[:, 0] += offset
        if basis is not None:
            return spectrum.from_terms(supports[0][keep[0]], w[:, keep[0]], n)
        parts = zip(supports, w, keep, strict=True)
        return spectrum.stack([spectrum.from_terms(s[k], v[k], n) for s, v, k in parts])

    return Fit(assemble(chosen.honest), assemble(chosen.final), chosen.methods, info)


def _mean(samples: Samples) -> Float[np.ndarray, "K"]:
    """The mean of the values that may be fitted."""
    values = np.asarray(samples.values)[~samples.held_out]
    if samples.coded is not None:
        values = np.concatenate([values, samples.coded])
    return values.mean(axis=0, dtype=float).astype(np.float32)


class _Chosen(NamedTuple):
    """What won: coefficients without and with the held-out rows."""

    honest: Float[Array, "K T"]
    final: Float[Array, "K T"]
    keep: Bool[np.ndarray, "K T"]
    methods: set[str]


def _coded_folds(design: CodedDesign) -> Float[np.ndarray, "folds_plus_1 C D"]:
    """1 where a fold trains: all but some delays of one group; everywhere in the last lane."""
    fold = _coded_fold(design)
    return (np.arange(int(fold.max()) + 2)[:, None, None] != fold).astype(np.float32)


def _coded_fold(design: CodedDesign) -> Int[np.ndarray, "C D"]:
    """The fold in which each group's delays are tested."""
    parts = _CODED_FOLDS // design.groups if design.groups <= _CODED_FOLDS // 2 else 2
    return np.arange(design.groups)[:, None] * parts + np.arange(design.num_delays) % parts


def _widen(
    rows: "_PaddedRows",
    samples: Samples,
    design: CodedDesign | None,
    given: Int32[np.ndarray, "K L S t"],
    wider: Wider,
    n: int,
    max_order: int,
    key: Key | None,
) -> tuple[Int32[np.ndarray, "K L S_plus_Q t"], Float[Array, "K L P T"]]:
    """The given sets and those proposed for each output, with their penalties."""
    folds = given.shape[1] - 1
    masks, values = rows.bits, rows.values
    fold = np.where(rows.weights * ~rows.held_out > 0, rows.unit % folds, -1)
    if design is not None:
        coded = gf2.unpack_numpy(np.asarray(design.packed()), masks.shape[1])
        masks = np.concatenate([coded, masks])
        values = np.concatenate([np.asarray(samples.coded, np.float32), values])
        fold = np.concatenate([np.repeat(_coded_fold(design), 2**design.b), fold])
    width = max(given.shape[3], min(max_order, n))
    given = np.pad(given, ((0, 0), (0, 0), (0, 0), (width - given.shape[3], 0)), constant_values=-1)
    key = jax.random.key(0, impl="threefry2x32") if key is None else key
    features, penalty = [], []
    for output, sets in zip(values.T, given, strict=True):
        found = proposals.propose(
            masks, output, fold.astype(np.int32), folds, sets, wider, n, max_order, key
        )
        every = np.concatenate([sets, found.members], axis=1)
        features.append(every)
        penalty.append(proposals.penalties(every, found))
    return np.stack(features), jnp.asarray(np.stack(penalty))


def _settle_each(design, data, features, allowed, penalty, products, fits, everything) -> _Chosen:
    """Each output's mixture."""
    menu = stacking.menu(wider=penalty is not None)
    count = float(jnp.sum(data.training)) + (0 if data.coded is None else data.coded.shape[1])
    mixed = [stacking.mix(p, count, menu) for p in products]
    places = np.stack([m.places for m in mixed])
    shares = jnp.asarray(np.stack([m.shares for m in mixed]))
    parts = jnp.take_along_axis(fits, jnp.asarray(places)[..., None], axis=1)
    weights = None
    if penalty is not None:
        scheme = jnp.asarray(menu.scheme[places])
        weights = jnp.take_along_axis(penalty, scheme[..., None], axis=1)
    again = _polish(
        design, data, features, allowed, everything, parts, menu.ridge[places],
        menu.lasso[places], weights,
    )  # fmt: skip
    honest, final = (jnp.einsum("km,kmt->kt", shares, w) for w in (parts, again))
    used = set.union(*(menu.names(m.places[m.shares > 0]) for m in mixed))
    return _Chosen(honest, final, np.array(honest != 0.0), used)


def _settle_shared(design, data, features, allowed, products, n_pad, everything) -> _Chosen:
    # L1 would choose other columns for each output, so only the plain ridge fits can win.
    A = len(problem.RIDGE_STRENGTHS)
    best = int(jnp.argmin(jnp.sum(jnp.diagonal(products, axis1=1, axis2=2), axis=0)[: 2 * A]))
    keep = allowed & ((best >= A) | (jnp.arange(len(allowed)) <= n_pad))
    strength = jnp.float32(problem.RIDGE_STRENGTHS[best % A])
    honest = _ridge_all(design, data, features, keep, strength)
    final = _ridge_all(design, data._replace(training=everything), features, keep, strength)
    return _Chosen(honest, final, np.array(keep)[None], {problem.METHODS[best // A]})


def _find(design, coded, values, config, max_order, shared):
    """The decoded sets of each output (one row for all if shared) in every lane, and Info."""
    if design is None:
        return np.full((1 if shared else values.shape[1], ROW_FOLDS + 1, 8, 1), -1, np.int32), None
    outputs = coded[None] if shared else coded.T[..., None]
    C = design.groups
    # With one group there is none to leave out.
    actives = np.concatenate([~np.eye(C, dtype=bool), np.ones((1, C), bool)])[-1 if C == 1 else 0 :]
    found, info = _searches(design, outputs, jnp.asarray(actives), config)
    sets = _compact(np.asarray(found.features), np.asarray(found.valid), max_order)
    parts = np.unique(_coded_fold(design)).size // C
    lanes = np.append(np.repeat(np.arange(C), parts), C) % len(actives)
    return sets[:, lanes], info


def _directions(values: Array, coded: Array | None) -> Float[Array, "K k"]:
    """The leading principal directions of many outputs, on which the strength is chosen."""
    sample = values if coded is None else coded
    size = min(_DIRECTIONS, values.shape[1])
    return spex.principal_directions(sample - jnp.mean(sample, axis=0), size)


class _PaddedRows(NamedTuple):
    bits: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    held_out: np.ndarray
    unit: np.ndarray


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
        np.pad(samples.unit, pad),
    )


@functools.partial(jax.jit, static_argnames="config")
def _searches(design, coded, actives, config):
    def output(values):
        def one(active):
            found, info = spex.search(design, values, config, active)
            return found._replace(coefficients=None), info

        return jax.lax.map(one, actives)

    found, info = jax.lax.map(output, coded)
    return found, jax.tree.map(lambda x: x[:, -1], info)


def _compact(features: np.ndarray, valid: np.ndarray, max_order: int) -> np.ndarray:
    """Keeps the sets of degree 2 to ``max_order``, in the smallest bucket that holds them."""
    degree = np.where(valid, np.sum(features >= 0, axis=-1), 0)
    wanted = (degree >= 2) & (degree <= max_order)
    size = spectrum.bucket(int(wanted.sum(axis=-1).max()))
    order = np.argsort(~wanted, axis=-1, kind="stable")[..., :size]
    kept = np.take_along_axis(wanted, order, axis=-1)
    members = np.take_along_axis(features, order[..., None], axis=-2)
    members = np.where(kept[..., None], members, -1).astype(np.int32)
    pad = ((0, 0), (0, 0), (0, size - order.shape[-1]), (0, 0))
    return np.pad(members, pad, constant_values=-1)


class _Stack(NamedTuple):
    """The data of all folds' problems."""

    bits: Bool[Array, "rows n_pad"]
    values: Float[Array, "K rows"]
    training: Float[Array, "rows"]
    fold: Int32[Array, "rows"]
    coded: Float[Array, "K N"] | None
    inside: Float[Array, "folds_plus_1 C D"] | None


def _problem(
    design, data: _Stack, values, coded, features, allowed, row_weights, fold=-1
) -> Problem:
    """The problem of a fold; by default that of all coded masks."""
    rows = Rows(data.bits, values, row_weights)
    inside = None if data.inside is None else data.inside[fold]
    return problem.problem(design, coded, inside, rows, features, allowed)


@functools.partial(jax.jit, static_argnames="leading")
def _cross_validate(
    design: CodedDesign | None,
    data: _Stack,
    features: Int32[Array, "K folds_plus_1 S t"],
    allowed: Bool[Array, "K folds_plus_1 T"],
    penalty: Float[Array, "K folds_plus_1 P T"] | None,
    leading: int,
) -> tuple[Float[Array, "K L L"], Float[Array, "K L T"]]:
    """Products of held-out residuals of all L candidates, and their fits to all training rows.

    The candidates of :mod:`spexjax.surrogates.problem` see the first ``leading`` columns only.
    """
    folds = features.shape[1] - 1
    T = allowed.shape[-1]
    sets = jnp.arange(leading) >= 1 + data.bits.shape[1]

    def output(args):
        values, coded, members, columns, penalty = args

        def one(fold):
            inside = jnp.where(data.fold == fold, 0.0, data.training)
            p = _problem(design, data, values, coded, members[fold], columns[fold], inside, fold)
            w = problem.candidates(problem.leading(p, leading), sets)
            if penalty is not None:
                w = jnp.pad(w, ((0, 0), (0, T - leading)))
                w = jnp.concatenate([w, fits.candidates(p, penalty[fold])])
            test = p._replace(rows=p.rows._replace(weights=data.training - inside))
            if p.coded is not None:
                test = test._replace(coded=p.coded._replace(weights=1.0 - p.coded.weights))
            return problem.residual_products(test, w), w

        products, w = jax.lax.map(one, jnp.arange(folds + 1))
        return jnp.sum(products[:folds], axis=0), w[folds]

    return jax.lax.map(output, (data.values, data.coded, features, allowed, penalty))


@jax.jit
def _polish(design, data: _Stack, features, allowed, everything, w, ridge, lasso, penalty):
    """Every output's fits once more, their supports kept, with all rows."""

    def output(args):
        values, coded, members, columns, w, ridge, lasso, penalty = args
        p = _problem(design, data, values, coded, members, columns, data.training)
        level = None
        if penalty is not None:
            level = lasso * fits.vanishing(problem.correlations(p), penalty)
        p = p._replace(rows=p.rows._replace(weights=everything))
        return fits.polish(p, w, ridge, level, penalty)

    outputs = data.values, data.coded, features, allowed, w, ridge, lasso, penalty
    return jax.lax.map(output, outputs)


@jax.jit
def _ridge_all(design, data: _Stack, features, allowed, strength) -> Float[Array, "K T"]:
    """Ridge with one support and strength for all outputs, a few at a time."""
    K = data.values.shape[0]
    penalty = jnp.ones(allowed.shape[0]).at[0].set(0.0)

    def stated(values, coded):
        return _problem(design, data, values, coded, features, allowed, data.training)

    first = stated(data.values[0], None if data.coded is None else data.coded[0])
    G, strength = problem.operator(first), problem.per_mask(first, strength)

    def several(args):
        b = jax.vmap(lambda one: problem.correlations(stated(*one)))(args)
        return fista.ridge_solve(G, b, strength, penalty=penalty, mask=allowed)[0]

    def split(x):
        x = jnp.pad(x, ((0, -K % _OUTPUTS_AT_ONCE), (0, 0)))
        return x.reshape(-1, _OUTPUTS_AT_ONCE, x.shape[1])

    w = jax.lax.map(several, jax.tree.map(split, (data.values, data.coded)))
    return w.reshape(-1, allowed.shape[0])[:K]


def _supports(features: Int32[np.ndarray, "S t"], n_pad: int) -> UInt32[np.ndarray, "T W"]:
    """The packed supports of a problem's columns."""
    bits = np.zeros((len(features), n_pad + 1), bool)
    np.put_along_axis(bits, features.astype(np.int64) % (n_pad + 1), True, axis=1)
    singles = np.eye(n_pad, dtype=bool)
    every = np.concatenate([np.zeros((1, n_pad), bool), singles, bits[:, :n_pad]])
    return gf2.pack_numpy(every, n_pad // gf2.WORD)
