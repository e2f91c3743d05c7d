"""From values to a fitted spectrum: search, honest cross-validation, refit, final coefficients.

Fold c of the cross-validation decodes the design without group c, fits every method and strength
of :mod:`spexjax.refit` to all other groups and rows, and is tested on group c and its share of the
rows. What wins is fitted to everything but the held-out masks; after these have measured the
faithfulness, coefficients (not the support) are fitted once more with them too.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32, UInt32

from spexjax import candidates, gf2, portfolio, proximal, refit, spectrum, spex
from spexjax.candidates import SCHEMES, Wider
from spexjax.masks import CodedDesign
from spexjax.peeling import Info, PeelConfig
from spexjax.purchase import Samples
from spexjax.refit import METHODS, Problem, Rows
from spexjax.spectrum import Spectrum
from spexjax.typing import Array, Key

ROW_FOLDS = 5
_ROW_BUCKET = 64
_DIRECTIONS = 8
_OUTPUTS_AT_ONCE = 64


class Fit(NamedTuple):
    """A fitted spectrum per output."""

    honest: Spectrum
    """Fitted without the held-out masks, (K, S)."""
    final: Spectrum
    """The same supports, fitted with them."""
    method: list[str]
    """What cross-validation chose for each output: one of ``refit.METHODS``, or "wider"."""
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
    rows = _pad_rows(samples, n, n_pad)
    values = jnp.asarray(rows.values)
    coded = None if design is None else jnp.asarray(samples.coded, jnp.float32)
    features, degree, info = _find(design, coded, values, config, max_order, shared_support)
    leading, penalty = 1 + n_pad + degree.shape[2], None
    if wider is not None and not shared_support:
        features, penalty = _widen(rows, samples, design, features, wider, n, max_order, key)
        degree = np.sum(features >= 0, axis=-1)
    allowed = np.zeros((*degree.shape[:2], 1 + n_pad + degree.shape[2]), bool)
    allowed[..., : 1 + n] = True
    allowed[..., 1 + n_pad :] = degree > 0
    basis = _directions(values, coded) if shared_support else None
    data = _Stack(
        bits=jnp.asarray(rows.bits),
        values=(values if basis is None else values @ basis).T,
        training=jnp.asarray(rows.weights * ~rows.held_out),
        fold=jnp.arange(len(rows.weights), dtype=jnp.int32) % (features.shape[1] - 1),
        coded=None if coded is None else (coded if basis is None else coded @ basis).T,
        actives=None if design is None else _actives(design.groups),
    )
    K = data.values.shape[0]
    features = jnp.asarray(np.broadcast_to(features, (K, *features.shape[1:])))
    columns = jnp.asarray(np.broadcast_to(allowed, (K, *allowed.shape[1:])))
    errors, fits = _cross_validate(design, data, features, columns, penalty, leading)
    everything = jnp.asarray(rows.weights)
    if basis is None:
        outcome = _settle_each(design, data, features[:, -1], errors, fits, everything)
        if penalty is not None:
            outcome = _settle_wider(
                design, data, features[:, -1], columns[:, -1], penalty[:, -1], errors, fits,
                everything, outcome,
            )  # fmt: skip
    else:
        data = data._replace(values=values.T, coded=None if coded is None else coded.T)
        outcome = _settle_shared(
            design, data, features[0, -1], allowed[0, -1], errors, n_pad, everything
        )
    keep = outcome.keep
    keep[:, 0] = True
    supports = [_supports(np.asarray(f), n_pad) for f in features[: len(keep), -1]]

    def assemble(w: Array) -> Spectrum:
        if basis is not None:
            return spectrum.from_terms(supports[0][keep[0]], np.asarray(w)[:, keep[0]], n)
        parts = zip(supports, np.asarray(w), keep, strict=True)
        return spectrum.stack([spectrum.from_terms(s[k], v[k], n) for s, v, k in parts])

    names = [_method(c) for c in outcome.chosen]
    return Fit(assemble(outcome.honest), assemble(outcome.final), names, info)


class _Outcome(NamedTuple):
    """The winning candidates, their coefficients without and with the held-out rows."""

    chosen: Sequence[int]
    honest: Float[Array, "K T"]
    final: Float[Array, "K T"]
    keep: Bool[np.ndarray, "K T"]


_PLAIN = len(METHODS) * len(refit.RIDGE_STRENGTHS)
"""The candidates of :mod:`spexjax.refit` come before those of :mod:`spexjax.portfolio`."""


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
    fold = np.where(rows.weights * ~rows.held_out > 0, np.arange(len(masks)) % folds, -1)
    if design is not None:
        coded = gf2.unpack_numpy(np.asarray(design.packed()), masks.shape[1])
        masks = np.concatenate([coded, masks])
        values = np.concatenate([np.asarray(samples.coded, np.float32), values])
        # With one group only, every lane decodes it: it is no fold of its own.
        group = np.arange(len(coded)) // (len(coded) // design.groups)
        fold = np.concatenate([group if design.groups > 1 else np.full(len(coded), folds), fold])
    width = max(given.shape[3], min(max_order, n))
    given = np.pad(given, ((0, 0), (0, 0), (0, 0), (width - given.shape[3], 0)), constant_values=-1)
    key = jax.random.key(0, impl="threefry2x32") if key is None else key
    features, penalty = [], []
    for output, sets in zip(values.T, given, strict=True):
        found = candidates.propose(
            masks, output, fold.astype(np.int32), folds, sets, wider, n, max_order, key
        )
        every = np.concatenate([sets, found.members], axis=1)
        features.append(every)
        penalty.append(candidates.penalties(every, found))
    return np.stack(features), jnp.asarray(np.stack(penalty))


def _settle_wider(
    design, data, features, allowed, penalty, errors, fits, everything, plain: _Outcome
) -> _Outcome:
    """Replaces the outcome of those outputs for which a candidate of the portfolio won."""
    errors, fits = np.asarray(errors), np.asarray(fits)
    honest, final, keep = (np.array(x) for x in (plain.honest, plain.final, plain.keep))
    for k in np.flatnonzero(np.asarray(plain.chosen) >= _PLAIN):
        mixture, places = portfolio.choose(errors[k, _PLAIN:], len(SCHEMES))
        parts = fits[k, _PLAIN + places]
        coded = None if data.coded is None else data.coded[k]
        polished = _polish_mixture(
            design, data, data.values[k], coded, features[k], allowed[k], penalty[k],
            everything, mixture, jnp.asarray(parts),
        )  # fmt: skip
        honest[k] = mixture.share @ parts
        final[k] = np.asarray(polished)
        keep[k] = honest[k] != 0
    return _Outcome(plain.chosen, jnp.asarray(honest), jnp.asarray(final), keep)


@jax.jit
def _polish_mixture(
    design, data: "_Stack", values, coded, features, allowed, penalty, everything, mixture, w
) -> Float[Array, "T"]:
    groups = None if design is None else jnp.ones(design.groups)
    before = _problem(design, data, values, coded, features, allowed, data.training, groups)
    level = portfolio.levels(before, penalty)
    p = before._replace(rows=before.rows._replace(weights=everything))
    return portfolio.polish(p, penalty, mixture, level, w)


def _settle_each(design, data, features, errors, fits, everything) -> _Outcome:
    chosen = np.argmin(errors, axis=1)
    honest = fits[np.arange(len(chosen)), chosen]
    strengths = jnp.asarray([_strength(c) for c in chosen], jnp.float32)
    final = _polish(design, data._replace(training=everything), features, strengths, honest)
    return _Outcome(chosen.tolist(), honest, final, np.array(honest != 0.0))


def _settle_shared(design, data, features, allowed, errors, n_pad, everything) -> _Outcome:
    # L1 would choose other columns for each output, so only the plain ridge fits can win.
    A = len(refit.RIDGE_STRENGTHS)
    best = int(jnp.argmin(jnp.sum(errors, axis=0)[: 2 * A]))
    keep = allowed & ((best >= A) | (np.arange(len(allowed)) <= n_pad))
    used, strength = jnp.asarray(keep), jnp.float32(_strength(best))
    honest = _ridge_all(design, data, features, used, strength)
    final = _ridge_all(design, data._replace(training=everything), features, used, strength)
    return _Outcome([best], honest, final, keep[None])


def _method(candidate: int) -> str:
    if candidate >= _PLAIN:
        return "wider"
    return METHODS[int(candidate) // len(refit.RIDGE_STRENGTHS)]


def _strength(candidate: int) -> float:
    if candidate >= _PLAIN:
        return refit.DEBIASING
    return refit.strength(_method(candidate), int(candidate) % len(refit.RIDGE_STRENGTHS))


def _find(design, coded, values, config, max_order, shared):
    """The candidate sets of each output (one row for all if shared), fold by fold, then of all."""
    if design is None:
        features = np.full((1 if shared else values.shape[1], ROW_FOLDS + 1, 8, 1), -1, np.int32)
        return features, np.zeros(features.shape[:-1], int), None
    outputs = coded[None] if shared else coded.T[..., None]
    found, info = _searches(design, outputs, _actives(design.groups), config)
    degree = np.where(found.valid, np.sum(np.asarray(found.features) >= 0, axis=-1), 0)
    return *_compact(np.asarray(found.features), degree, max_order), info


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
        def one(active):
            found, info = spex.search(design, values, config, active)
            return found._replace(coefficients=None), info

        return jax.lax.map(one, actives)

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


@functools.partial(jax.jit, static_argnames="leading")
def _cross_validate(
    design: CodedDesign | None,
    data: _Stack,
    features: Int32[Array, "K folds_plus_1 S t"],
    allowed: Bool[Array, "K folds_plus_1 T"],
    penalty: Float[Array, "K folds_plus_1 P T"] | None,
    leading: int,
) -> tuple[Float[Array, "K candidates"], Float[Array, "K candidates T"]]:
    """Held-out squared errors of all candidates, and their fits to all training rows.

    The candidates of :mod:`spexjax.refit` see the first ``leading`` columns only.
    """
    folds = features.shape[1] - 1
    T = allowed.shape[-1]
    sets = jnp.arange(leading) >= 1 + data.bits.shape[1]

    def output(args):
        values, coded, members, columns, penalty = args

        def one(fold):
            inside = jnp.where(data.fold == fold, 0.0, data.training)
            outside = data.training - inside
            groups = left = None
            if design is not None:
                groups = data.actives[fold].astype(jnp.float32)
                left = jnp.where(design.groups == 1, groups, 1.0 - groups)
            p = _problem(design, data, values, coded, members[fold], columns[fold], inside, groups)
            w = refit.candidates(refit.leading(p, leading), sets)
            if penalty is not None:
                w = jnp.pad(w, ((0, 0), (0, T - leading)))
                w = jnp.concatenate([w, portfolio.candidates(p, penalty[fold])])
            test = p._replace(rows=p.rows._replace(weights=outside))
            if p.coded is not None:
                test = test._replace(coded=p.coded._replace(weights=left))
            return refit.squared_error(test, w), w

        errors, w = jax.lax.map(one, jnp.arange(folds + 1))
        return jnp.sum(errors[:folds], axis=0), w[folds]

    return jax.lax.map(output, (data.values, data.coded, features, allowed, penalty))


@jax.jit
def _polish(design, data: _Stack, features, strength, w):
    """Ridge once more, at the strength chosen, on the support of w, with all rows."""

    def output(args):
        values, coded, members, strength, w = args
        groups = None if design is None else jnp.ones(design.groups)
        allowed = (w != 0.0) | (jnp.arange(w.shape[0]) == 0)
        p = _problem(design, data, values, coded, members, allowed, data.training, groups)
        penalty = jnp.ones(w.shape[0]).at[0].set(0.0)
        return proximal.ridge_solve(
            refit.operator(p),
            refit.correlations(p),
            refit.per_mask(p, strength),
            penalty=penalty,
            mask=allowed,
            w0=w,
        )[0]

    return jax.lax.map(output, (data.values, data.coded, features, strength, w))


@jax.jit
def _ridge_all(design, data: _Stack, features, allowed, strength) -> Float[Array, "K T"]:
    """Ridge with one support and strength for all outputs, a few at a time."""
    K = data.values.shape[0]
    groups = None if design is None else jnp.ones(design.groups)
    penalty = jnp.ones(allowed.shape[0]).at[0].set(0.0)

    def stated(values, coded):
        return _problem(design, data, values, coded, features, allowed, data.training, groups)

    first = stated(data.values[0], None if data.coded is None else data.coded[0])
    G, strength = refit.operator(first), refit.per_mask(first, strength)

    def several(args):
        b = jax.vmap(lambda one: refit.correlations(stated(*one)))(args)
        return proximal.ridge_solve(G, b, strength, penalty=penalty, mask=allowed)[0]

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
