"""A support and a fit for each output, chosen by cross-validation of search and fit together.

In every fold the sets were decoded, and proposed, without it; every candidate fit
(:mod:`spexjax.surrogates.fits`) is made without the fold and tested on it. The best mean of a few
of them (:mod:`spexjax.surrogates.stacking`) is fitted to everything but the held-out masks; its
coefficients, not its support, once more with them. Linear fits are among the candidates, so that
the search can only help.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32

from spexjax.codes import gf2
from spexjax.decoding.peeling import PeelConfig
from spexjax.masks.coded import CodedDesign
from spexjax.masks.design import Design
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.surrogates import fits, folds, penalties, proposals, stacking
from spexjax.surrogates.fits import FitSpec
from spexjax.surrogates.fitted import Done, Fit
from spexjax.surrogates.folds import Data
from spexjax.surrogates.problem import correlations, residual_products
from spexjax.surrogates.proposals import Wider
from spexjax.surrogates.stacking import Stack
from spexjax.typing import Array, ArrayLike, Key

Weights = dict[str, Float[Array, "K lanes T"]]


def fit(
    design: Design,
    values: Float[ArrayLike, "N K"],
    peel: PeelConfig,
    wider: Wider | None,
    key: Key,
) -> Fit:
    """Finds and fits a support for each output.

    Args:
      design: the masks.
      values: float32 (N, K), standardised.
      peel: settings of the search, where masks are coded.
      wider: what to propose besides the decoded sets, in each fold without it.
      key: of the trees.
    """
    n, n_pad = design.n, gf2.num_words(design.n) * gf2.WORD
    data = folds.data_of(design, values)
    members, info = folds.decoded_sets(design.coded, data, peel, design.max_order, shared=False)
    decoded = 1 + n_pad + members.shape[2]
    weights: Weights = {}
    if wider is not None:
        members, weights = _proposed(design, data, members, wider, key)
    allowed = folds.allowed_columns(members, n, n_pad)
    specs = fits.fit_specs(proposed=wider is not None)
    lists, columns = jnp.asarray(members), jnp.asarray(allowed)
    products, w = _cross_validate(design.coded, data, lists, columns, weights, specs, decoded)
    count = float(jnp.sum(data.training)) + (0 if data.coded is None else data.coded.shape[1])
    stacks = [stacking.stack(p, count, specs) for p in np.asarray(products)]
    places = np.stack([s.places for s in stacks])
    shares = jnp.asarray(np.stack([s.shares for s in stacks]))
    parts = jnp.take_along_axis(w, jnp.asarray(places, jnp.int32)[..., None], axis=1)
    strengths = _strengths(specs, places, weights)
    again = _refit(design.coded, data, lists[:, -1], columns[:, -1], parts, *strengths)
    tested, final = (
        np.array(jnp.einsum("km,kmt->kt", shares, x, precision="highest")) for x in (parts, again)
    )
    keep = tested != 0
    keep[:, 0] = True
    supports = [folds.column_supports(m, n_pad) for m in members[:, -1]]

    def assemble(w: Float[np.ndarray, "K T"]) -> Spectrum:
        kept = zip(supports, w, keep, strict=True)
        return spectrum.stack([spectrum.from_terms(s[k], v[k], n) for s, v, k in kept])

    return Fit(assemble(tested), assemble(final), _done(stacks, specs, design), info)


def _done(stacks: Sequence[Stack], specs: Sequence[FitSpec], design: Design) -> Done:
    used = {specs[p] for s in stacks for p in s.places[s.shares > 0]}
    if any(spec.columns == "all" for spec in used):
        return Done.AS_ASKED
    found = any(spec.columns == "decoded" for spec in used)
    return Done.SPEX if found and design.coded is not None else Done.LINEAR


def _proposed(
    design: Design, data: Data, decoded: Int32[np.ndarray, "K lanes S t"], wider: Wider, key: Key
) -> tuple[Int32[np.ndarray, "K lanes S_plus_Q t"], Weights]:
    """The decoded sets and those proposed for each output, with the weights of the columns."""
    table = folds.table_of(design.coded, data)
    order = min(design.max_order, design.n)
    width = max(0, order - decoded.shape[3])
    decoded = np.pad(decoded, ((0, 0), (0, 0), (0, 0), (width, 0)), constant_values=-1)
    members, parts = [], []
    for output, sets in zip(table.values, decoded, strict=True):
        found = proposals.propose(
            table.masks, output, table.fold, folds.num_folds(design.coded), sets, wider,
            design.n, order, key,
        )  # fmt: skip
        every = np.concatenate([sets, found.members], axis=1)
        members.append(every)
        parts.append(penalties.penalties(every, found))
    weights = {s: jnp.asarray(np.stack([w[s] for w in parts])) for s in penalties.SCHEMES}
    return np.stack(members), weights


@functools.partial(jax.jit, static_argnames=("specs", "decoded"))
def _cross_validate(
    coded: CodedDesign | None,
    data: Data,
    members: Int32[Array, "K lanes S t"],
    allowed: Bool[Array, "K lanes T"],
    weights: Weights,
    specs: tuple[FitSpec, ...],
    decoded: int,
) -> tuple[Float[Array, "K L L"], Float[Array, "K L T"]]:
    """Products of held-out residuals of all L candidates, and their fits to all training rows."""
    lanes = jnp.arange(members.shape[1], dtype=jnp.int32)
    sets = jnp.arange(decoded, dtype=jnp.int32) >= 1 + data.bits.shape[1]

    def output(args):
        values, coded_values, members, columns, priors = args

        def one(lane):
            rows = jnp.where(data.fold == lane, jnp.float32(0.0), data.training)
            p = folds.problem_of(
                coded, data, values, coded_values, members[lane], columns[lane], rows, lane
            )
            own = {scheme: prior[lane] for scheme, prior in priors.items()}
            w = fits.solve(p, specs, own, decoded, sets)
            return residual_products(folds.left_out(p, data, rows), w), w

        products, w = jax.lax.map(one, lanes)
        return jnp.sum(products[:-1], axis=0), w[-1]

    return jax.lax.map(output, (data.values, data.coded, members, allowed, weights))


def _strengths(
    specs: Sequence[FitSpec], places: np.ndarray, weights: Weights
) -> tuple[np.ndarray, np.ndarray | None, Array | None]:
    """Ridge strengths, L1 strengths and column weights (K, M, …) of the candidates at places."""
    chosen = [[specs[p] for p in row] for row in places]
    ridge = np.array([[s.ridge or 0.0 for s in row] for row in chosen], np.float32)
    if not weights:
        return ridge, None, None
    pure = [[(s.l1 or 0.0) * (s.ridge is None) for s in row] for row in chosen]
    columns = jnp.stack(
        [jnp.stack([weights[s.scheme][k, -1] for s in row]) for k, row in enumerate(chosen)]
    )
    return ridge, np.array(pure, np.float32), columns


@jax.jit
def _refit(coded, data: Data, members, allowed, w, ridge, lasso, penalty):
    """Every output's fits once more, their supports kept, with all rows."""

    def output(args):
        values, coded_values, members, columns, w, ridge, lasso, penalty = args
        p = folds.problem_of(coded, data, values, coded_values, members, columns, data.training)
        level = None
        if penalty is not None:
            level = lasso * fits.vanishing(correlations(p), penalty)
        p = p._replace(rows=p.rows._replace(weights=data.real))
        return fits.refit(p, w, ridge, level, penalty)

    outputs = data.values, data.coded, members, allowed, w, ridge, lasso, penalty
    return jax.lax.map(output, outputs)
