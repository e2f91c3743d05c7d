"""One support for many outputs, found on what they share.

The leading principal directions of the outputs stand in for them. Sets are decoded from the summed
energy of all outputs; boosted trees are grown on each direction, and a set is as strong as the
energy that the trees of all directions give it. Both are found in every fold of a
cross-validation. Ridge regression on ever more of these sets, at every strength, is compared on
the folds; the winner is fitted to every output. L1, which would choose other sets for each output,
is no candidate.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32

from spexjax import phases
from spexjax.decoding import spex
from spexjax.decoding.peeling import PeelConfig
from spexjax.masks.coded import CodedDesign
from spexjax.masks.design import Design
from spexjax.regression import matmul, ridge_solve
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.spectra.subsets import Sets
from spexjax.surrogates import folds, proposals
from spexjax.surrogates.fits import RIDGE_STRENGTHS
from spexjax.surrogates.fitted import Done, Fit, Standardised
from spexjax.surrogates.folds import Data, Table
from spexjax.surrogates.problem import (
    correlations,
    formed,
    operator,
    per_mask,
    residual_energies,
)
from spexjax.surrogates.proposals import Wider
from spexjax.typing import Array, ArrayLike, Key

# Not tuned: trees are grown on each direction, so that their number sets the time.
DIRECTIONS = 8
SIZES = (0, 32, 96, 256, 512, 896)
"""Sets of the trees that are tried; as many as ``auto`` proposes for one output."""
_LEAST_WEIGHT = 1e-15
_OUTPUTS_AT_ONCE = 64


def fit(
    design: Design, values: Standardised, peel: PeelConfig, wider: Wider | None, key: Key
) -> Fit:
    """Finds one support for all outputs and fits it to each.

    Args:
      design: the masks.
      values: f there; outputs count by their energy, as f gave them.
      peel: settings of the search, where masks are coded.
      wider: settings of the trees; none are grown if None.
      key: of the trees.
    """
    n, n_pad, coded = design.n, folds.padded(design.n), design.coded
    # Outputs so small that their squares would vanish beside the largest count alike.
    largest = max(values.spread.max(), np.finfo(float).tiny)
    weight = np.clip(values.spread / largest, _LEAST_WEIGHT, 1.0).astype(np.float32)
    data = folds.data_of(design, jnp.asarray(values.values, jnp.float32) * weight)
    phases.tell("decoding", 0.0)
    given, info = folds.decoded_sets(coded, data, peel, design.max_order, shared=True)
    basis = _directions(data)
    directions = _projected(data, basis)
    members = given[0]
    if wider is not None:
        table = folds.table_of(coded, directions)
        trees = propose(table, members, wider, design, folds.num_folds(coded), key)
        pad = (0, 0), (0, 0), (trees.shape[2] - members.shape[2], 0)
        members = np.concatenate([np.pad(members, pad, constant_values=-1), trees], axis=1)
    phases.tell("fitting", 0.7)
    allowed = _nested(members, given.shape[2], n, n_pad)
    errors = np.asarray(_errors(coded, directions, jnp.asarray(members), jnp.asarray(allowed)))
    best, strength = np.unravel_index(np.argmin(errors), errors.shape)

    support = jnp.asarray(members[-1]), jnp.asarray(allowed[-1, best])
    level = jnp.float32(RIDGE_STRENGTHS[strength])
    keep = allowed[-1, best]
    supports = folds.column_supports(members[-1], n_pad)[keep]

    def assemble(weights: ArrayLike) -> Spectrum:
        w = np.asarray(_ridge(coded, data, weights, *support, level)) / weight[:, None]
        return spectrum.from_terms(supports, w[:, keep], n)

    done = Done.LINEAR
    if keep[1 + n_pad + given.shape[2] :].any():
        done = Done.AS_ASKED
    elif keep[1 + n_pad :].any():
        done = Done.SPEX
    return Fit(assemble(data.training), assemble(data.real), done, info)


def _directions(data: Data) -> Float[Array, "K k"]:
    """The leading principal directions of the outputs, over the coded masks if there are any."""
    sample = (data.values * data.training).T
    if data.coded is not None:
        sample = data.coded.T - jnp.mean(data.coded, axis=1)
    return spex.principal_directions(sample, min(DIRECTIONS, sample.shape[1]))


def _projected(data: Data, basis: Float[Array, "K k"]) -> Data:
    """The directions in place of the outputs."""
    coded = None if data.coded is None else matmul(basis.T, data.coded)
    return data._replace(values=matmul(basis.T, data.values), coded=coded)


def propose(
    table: Table,
    given: Int32[np.ndarray, "lanes S t"],
    config: Wider,
    design: Design,
    num_folds: int,
    key: Key,
) -> Int32[np.ndarray, "lanes Q t"]:
    """The sets of 2 to ``max_order`` inputs on which trees are strongest, in every lane.

    Args:
      table: the masks that may be fitted, and the directions there.
      given: sets that are fitted anyway, and are not proposed.
      config: settings; at most ``config.sets`` sets are proposed.
      design: says n and ``max_order``.
      num_folds: F; there are F + 1 lanes.
      key: of the trees.

    Returns:
      members, padded with −1 in front and at least as wide as ``given``, the strongest first; all
      −1 is no set.
    """
    n, order = design.n, min(design.max_order, design.n)
    t = max(order, given.shape[2])
    members = np.full((num_folds + 1, config.sets, t), -1, np.int32)
    if not config.boosts or order < 2:
        return members
    # Directions are in proportion to the outputs' energy, so that squares of coefficients add up.
    growing = [
        proposals.grow(table.masks, values, table.fold, num_folds, config, n, order, key)
        for values in table.values
    ]
    grown = []
    for place, one in enumerate(growing):
        with phases.part(0.1 + 0.6 * place / len(table.values), 0.7):
            grown.append(one.terms())
    pad, no_pairs = ((0, 0), (t - given.shape[2], 0)), np.zeros((0, 2), np.int32)
    for lane in range(num_folds + 1):
        sets = _strongest([lanes[lane] for lanes in grown], t)
        known = np.pad(given[lane], pad, constant_values=-1)
        members[lane], _ = proposals.rank(known, sets, np.zeros(len(sets)), no_pairs, config.sets)
    return members


def _strongest(parts: list[dict[int, Sets]], t: int) -> Int32[np.ndarray, "sets t"]:
    """Sets of 2 to t inputs by the energy that they have in all transforms together."""
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


def _nested(
    members: Int32[np.ndarray, "lanes S t"], given: int, n: int, n_pad: int
) -> Bool[np.ndarray, "lanes P T"]:
    """The columns of each support that is tried: single inputs, then the given sets, then more."""
    every = folds.allowed_columns(members, n, n_pad)
    proposed = members.shape[1] - given
    counts = sorted({0, members.shape[1], *(given + s for s in SIZES if s <= proposed)})
    first = np.arange(every.shape[1]) < 1 + n_pad + np.array(counts)[:, None]
    return every[:, None] & first


@jax.jit
def _errors(
    coded: CodedDesign | None,
    data: Data,
    members: Int32[Array, "lanes S t"],
    allowed: Bool[Array, "lanes P T"],
) -> Float[Array, "P A"]:
    """Squared errors on the folds, of all directions, by support and strength."""
    strengths = jnp.asarray(RIDGE_STRENGTHS, jnp.float32)
    P, A = allowed.shape[1], len(RIDGE_STRENGTHS)

    def one(lane: Array) -> Array:
        weights = jnp.where(data.fold == lane, jnp.float32(0.0), data.training)
        everywhere = jnp.any(allowed[lane], axis=0)

        def stated(values, coded_values):
            return folds.problem_of(
                coded, data, values, coded_values, members[lane], everywhere, weights, lane
            )

        p = stated(data.values[0], None if data.coded is None else data.coded[0])
        b = jax.vmap(lambda x: correlations(stated(*x)))((data.values, data.coded))
        w, _ = ridge_solve(
            operator(p, formed(p)),
            jnp.broadcast_to(b[:, None, None], (len(b), P, A, b.shape[1])),
            per_mask(p, strengths),
            penalty=jnp.ones(b.shape[1], jnp.float32).at[0].set(0.0),
            mask=allowed[lane][:, None],
            tol=1e-4,
            max_iter=100,
        )

        def tested(x):
            values, coded_values, w = x
            test = folds.left_out(stated(values, coded_values), data, weights)
            return residual_energies(test, w.reshape(P * A, -1)).reshape(P, A)

        return jnp.sum(jax.lax.map(tested, (data.values, data.coded, w)), axis=0)

    lanes = jnp.arange(members.shape[0] - 1, dtype=jnp.int32)
    return jnp.sum(jax.lax.map(one, lanes), axis=0)


@jax.jit
def _ridge(
    coded: CodedDesign | None,
    data: Data,
    weights: Float[Array, "rows"],
    members: Int32[Array, "S t"],
    allowed: Bool[Array, "T"],
    strength: Float[Array, ""],
) -> Float[Array, "K T"]:
    """Ridge with one support and strength for all outputs, a few at a time."""
    K = data.values.shape[0]
    penalty = jnp.ones(allowed.shape[0], jnp.float32).at[0].set(0.0)

    def stated(values, coded_values):
        return folds.problem_of(coded, data, values, coded_values, members, allowed, weights)

    first = stated(data.values[0], None if data.coded is None else data.coded[0])
    G, strength = operator(first, formed(first)), per_mask(first, strength)

    def several(outputs):
        b = jax.vmap(lambda one: correlations(stated(*one)))(outputs)
        return ridge_solve(G, b, strength, penalty=penalty, mask=allowed)[0]

    def split(x):
        x = jnp.pad(x, ((0, -K % _OUTPUTS_AT_ONCE), (0, 0)))
        return x.reshape(-1, _OUTPUTS_AT_ONCE, x.shape[1])

    w = jax.lax.map(several, jax.tree.map(split, (data.values, data.coded)))
    return w.reshape(-1, allowed.shape[0])[:K]
