"""The methods that SPEX is compared with, each on the masks and weights of its own literature.

=================  ==================================================================  ============
method             surrogate                                                           masks
=================  ==================================================================  ============
lime               least squares of order 1 (Ribeiro et al. 2016)                      uniform
banzhaf            the same: Banzhaf values (Hammer, Holzman 1992)                     paired
faith-banzhaf      least squares of order k: FBII (Tsai et al. 2023)                   uniform
lasso              L1 over all sets of at most k inputs (Tibshirani 1996)              uniform
kernelshap         least squares of order 1 with the Shapley kernel, exact at both     Shapley
                   ends: Shapley values (Lundberg, Lee 2017)                           kernel
faith-shapley      the same of order k: FSII (Tsai et al. 2023)                        the same
shapley-taylor     Σ_{S⊆m} STII(S) of order k (Sundararajan et al. 2020)               permutations
=================  ==================================================================  ============

Where the budget buys all 2^n masks the values are exact. Otherwise uniform masks are set aside, as
for every method: the faithfulness reported is that of a fit without them, and then least squares
and the lasso are fitted once more with them. An explanation holds the surrogate's spectrum, so its
``interactions`` in the method's own index are the values that the method defines.
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt32

from spexjax import (
    gf2,
    index_weights,
    low_order,
    masks,
    metrics,
    regression,
    shapley_masks,
    spectrum,
    taylor,
    transforms,
)
from spexjax.explanation import Explanation
from spexjax.low_order import Terms
from spexjax.purchase import Caller, Purchase, Samples, measured
from spexjax.typing import Key

LARGEST_ORDER = 4
_TINY = 1e-6  # ridge strength per mask: least squares, of least norm if masks are few
_MOST_CELLS = 1 << 26  # entries of the design matrix of an order that was not asked for
_FOLDS = 3


@dataclasses.dataclass(frozen=True)
class Lime:
    """Least squares of order 1 on uniform masks.

    Attributes:
      kernel: "uniform", as in the papers, or "cosine", LimeText's weights
        exp(−(100 d)²/width²)^½ of a mask at cosine distance d from 1…1.
      width: of the cosine kernel.
    """

    kernel: Literal["uniform", "cosine"] = "uniform"
    width: float = 25.0


@dataclasses.dataclass(frozen=True)
class Banzhaf:
    """Least squares of order 1 on uniform masks and their complements."""


@dataclasses.dataclass(frozen=True)
class FaithBanzhaf:
    """Least squares of order k on uniform masks.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) with two masks per set.
    """

    order: int | None = None


@dataclasses.dataclass(frozen=True)
class Lasso:
    """L1 regression over all sets of at most k inputs, strength by cross-validation.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) whose design matrix has at most
        2^26 entries.
    """

    order: int | None = None


@dataclasses.dataclass(frozen=True)
class KernelShap:
    """Least squares of order 1 with the Shapley kernel, exact at 1…1 and 0…0."""


@dataclasses.dataclass(frozen=True)
class FaithShapley:
    """Least squares of order k with the Shapley kernel, exact at 1…1 and 0…0.

    Attributes:
      order: k; as in :class:`FaithBanzhaf`.
    """

    order: int | None = None


@dataclasses.dataclass(frozen=True)
class ShapleyTaylor:
    """Shapley-Taylor interactions of order k from sampled permutations.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) for which about two permutations
        are affordable.
    """

    order: int | None = None


def run_lime(call: Caller, budget: int, config: Lime, max_order: int, key: Key) -> Explanation:
    if config.kernel not in ("uniform", "cosine"):
        raise ValueError(f"kernel must be 'uniform' or 'cosine', got {config.kernel!r}.")
    if not config.width > 0:
        raise ValueError(f"width must be above 0, got {config.width}.")
    sets = low_order.terms(call.n, 1)
    if _affords_all(call.n, budget) and config.kernel == "uniform":
        return _exact(call, sets, "lime", "Fourier", 1)
    bought = _buy_uniform(call, budget, key)
    weights = _uniform_weights(bought)
    if config.kernel == "cosine":
        kept = np.bitwise_count(bought.samples.rows).sum(axis=1, dtype=int) / call.n
        distance = 100 * (1 - np.sqrt(kept))
        weights = weights * np.exp(-((distance / config.width) ** 2) / 2)
    return _least_squares(bought, sets, weights, weights, "lime", key)


def run_banzhaf(
    call: Caller, budget: int, config: Banzhaf, max_order: int, key: Key
) -> Explanation:
    sets = low_order.terms(call.n, 1)
    if _affords_all(call.n, budget):
        return _exact(call, sets, "banzhaf", "Fourier", 1)
    bought = _buy(call, budget, _no_masks(call.n), key, paired=True)
    weights = _uniform_weights(bought)
    return _least_squares(bought, sets, weights, weights, "banzhaf", key)


def run_faith_banzhaf(
    call: Caller, budget: int, config: FaithBanzhaf, max_order: int, key: Key
) -> Explanation:
    order = _order(call.n, budget, config.order, max_order, "faith-banzhaf")
    sets = low_order.terms(call.n, order)
    if _affords_all(call.n, budget):
        return _exact(call, sets, "faith-banzhaf", "Fourier", order)
    bought = _buy_uniform(call, budget, key)
    weights = _uniform_weights(bought)
    return _least_squares(bought, sets, weights, weights, "faith-banzhaf", key)


def run_lasso(call: Caller, budget: int, config: Lasso, max_order: int, key: Key) -> Explanation:
    order = _order(call.n, budget, config.order, max_order, "lasso", sparse=True)
    sets = low_order.terms(call.n, order)
    if _affords_all(call.n, budget):
        return _exact(call, sets, "lasso", "Fourier", order)
    bought = _buy_uniform(call, budget, key)
    weights = _uniform_weights(bought)
    honest, strength = _lasso(bought, sets, np.where(bought.samples.held_out, 0.0, weights), None)
    final, _ = _lasso(bought, sets, weights, strength)
    return _measured(bought, sets, honest, final, "lasso", key)


def run_kernelshap(
    call: Caller, budget: int, config: KernelShap, max_order: int, key: Key
) -> Explanation:
    return _shapley(call, budget, 1, "kernelshap", key)


def run_faith_shapley(
    call: Caller, budget: int, config: FaithShapley, max_order: int, key: Key
) -> Explanation:
    order = _order(call.n, budget, config.order, max_order, "faith-shapley")
    return _shapley(call, budget, order, "faith-shapley", key)


def _shapley(call: Caller, budget: int, order: int, name: str, key: Key) -> Explanation:
    n = call.n
    _needs_ends(budget, name)
    sets = low_order.terms(n, order)
    if _affords_all(n, budget):
        return _exact(call, sets, name, "FSII", order)
    own = budget - 2 - masks.held_out_size(budget)
    odd = int((sets.sizes % 2).sum())
    paired = own // 2 >= 2 * max(odd, len(sets.sizes) - odd)
    rows, plan = shapley_masks.shapley_masks(key, n, own, paired)
    bought = _buy(call, budget, rows, key, paired)
    sizes = np.bitwise_count(bought.samples.rows).sum(axis=1, dtype=int)
    held_out = bought.samples.held_out
    honest = np.zeros(len(sizes))
    honest[~held_out] = shapley_masks.kernel_weights(sizes[~held_out], plan, 0, n)
    final = shapley_masks.kernel_weights(sizes, plan, int(held_out.sum()), n)
    return _least_squares(bought, sets, honest, final, name, key, constrained=True)


def run_shapley_taylor(
    call: Caller, budget: int, config: ShapleyTaylor, max_order: int, key: Key
) -> Explanation:
    n = call.n
    _needs_ends(budget, "shapley-taylor")
    every = _affords_all(n, budget)
    own = budget - masks.held_out_size(budget)
    order = config.order
    if order is None:
        fitting = [k for k in _orders(n, max_order) if 2 * taylor.least_budget(n, k) <= own]
        order = _orders(n, max_order)[-1] if every else max(fitting, default=1)
    _check_order(order, n)
    sets = low_order.terms(n, order)
    if every:
        return _exact(call, sets, "shapley-taylor", "STII", order)
    least = taylor.least_budget(n, order)
    if own < least:
        raise ValueError(
            f"budget must be at least {_with_held_out(least)} for method 'shapley-taylor' of order "
            f"{order} with n = {n}, got {budget}."
        )
    design = taylor.design(key, n, order, own)
    bought = _buy(call, budget, design.rows[2:], key)
    answers = bought.samples.values[: len(design.rows)]
    mobius = taylor.values(design, answers, sets, order)
    w = low_order.fourier_from_mobius(sets, mobius, n)
    return _measured(bought, sets, w, w, "shapley-taylor", key)


Baseline = tuple[type, Any]

BASELINES: dict[str, Baseline] = {
    "lasso": (Lasso, run_lasso),
    "lime": (Lime, run_lime),
    "kernelshap": (KernelShap, run_kernelshap),
    "banzhaf": (Banzhaf, run_banzhaf),
    "faith-banzhaf": (FaithBanzhaf, run_faith_banzhaf),
    "faith-shapley": (FaithShapley, run_faith_shapley),
    "shapley-taylor": (ShapleyTaylor, run_shapley_taylor),
}
"""Name → (class of its configuration, function (call, budget, config, max_order, key))."""


# --- orders and budgets ------------------------------------------------------------------------


def _affords_all(n: int, budget: int) -> bool:
    return n <= 30 and 2**n <= budget


def _needs_ends(budget: int, name: str) -> None:
    if budget < 2:
        raise ValueError(f"budget must be at least 2 for method {name!r}, got {budget}.")


def _orders(n: int, max_order: int) -> range:
    return range(1, min(max_order, LARGEST_ORDER, n) + 1)


def _check_order(order: int, n: int) -> None:
    if not 1 <= order <= min(LARGEST_ORDER, n):
        raise ValueError(f"order must be from 1 to {min(LARGEST_ORDER, n)}, got {order}.")


def _with_held_out(own: int) -> int:
    """The smallest budget that leaves ``own`` masks."""
    budget = own
    while budget - masks.held_out_size(budget) < own:
        budget += 1
    return budget


def _order(
    n: int, budget: int, wanted: int | None, max_order: int, name: str, sparse: bool = False
) -> int:
    """The order to fit: as wanted, or the largest that the masks are enough for."""
    rows = max(budget - 2, 1)
    if wanted is None:
        if _affords_all(n, budget):
            return _orders(n, max_order)[-1]
        cells = spectrum.bucket(rows) * (1 if sparse else 2)
        enough = [
            k
            for k in _orders(n, max_order)
            if cells * spectrum.bucket(low_order.count(n, k)) <= _MOST_CELLS
            and (sparse or 2 * low_order.count(n, k) <= rows - masks.held_out_size(budget))
        ]
        return max(enough, default=1)
    _check_order(wanted, n)
    if not sparse and wanted > 1 and low_order.count(n, wanted) > rows:
        raise ValueError(
            f"budget must be at least {low_order.count(n, wanted) + 2}, the number of sets, for "
            f"method {name!r} of order {wanted} with n = {n}, got {budget}."
        )
    return wanted


# --- masks -------------------------------------------------------------------------------------


def _no_masks(n: int) -> UInt32[np.ndarray, "0 W"]:
    return np.zeros((0, gf2.num_words(n)), np.uint32)


def _buy_uniform(call: Caller, budget: int, key: Key) -> Purchase:
    return _buy(call, budget, _no_masks(call.n), key)


def _buy(
    call: Caller,
    budget: int,
    own: UInt32[np.ndarray, "rows W"],
    key: Key,
    paired: bool = False,
) -> Purchase:
    """The ends, a method's own masks, and uniform ones; without own masks all are uniform.

    The last uniform ones are held out: the number that every method sets aside, and what a
    method's own masks left over. ``paired``: uniform ones come with their complements, since
    single ones would bring back the noise that pairs cancel.
    """
    n = call.n
    ends = np.stack([gf2.pack_numpy(np.full(n, k), own.shape[1]) for k in (True, False)])
    taken = np.concatenate([ends[: min(2, budget)], own])
    fresh = min(budget, 2**n if n < 63 else budget) - len(taken)
    draw = shapley_masks.paired_uniform if paired else masks.fresh_uniform
    rows = np.concatenate([taken, draw(key, n, fresh, taken)])
    aside = fresh if len(own) else min(masks.held_out_size(budget), fresh)
    if paired and aside < fresh:
        aside += (fresh - aside) % 2
    answers = np.asarray(call(rows), np.float32)
    scalar = answers.ndim == 1
    answers = answers.reshape(len(rows), -1)
    samples = Samples(None, rows, answers, np.arange(len(rows)) >= len(rows) - aside)
    empty = answers[1] if budget > 1 else np.full_like(answers[0], np.nan)
    return Purchase(n, None, samples, answers[0], empty, len(rows), scalar)


def _uniform_weights(bought: Purchase) -> Float[np.ndarray, "rows"]:
    """1, but for the ends, which were not drawn: their share of a uniform sample."""
    n, rows = bought.n, len(bought.samples.rows)
    ends = min(2, rows)
    weights = np.ones(rows)
    weights[:ends] = (rows - ends) / (2**n - 2) if 1 < n < 63 and rows > ends else 0.0
    return weights if weights.any() else np.ones(rows)


# --- fits --------------------------------------------------------------------------------------


def _least_squares(
    bought: Purchase,
    sets: Terms,
    honest: Float[np.ndarray, "rows"],
    final: Float[np.ndarray, "rows"],
    name: str,
    key: Key,
    constrained: bool = False,
) -> Explanation:
    """Weighted least squares, without the held-out masks and with them."""
    honest = np.where(bought.samples.held_out, 0.0, honest)
    p = low_order.padded(bought.samples.rows, sets, bought.n)
    fill = ((0, p.bits.shape[0] - len(honest)), (0, 0))
    y = jnp.asarray(np.pad(bought.samples.values, fill))
    ends = jnp.asarray(np.stack([bought.full, bought.empty]))
    fits = []
    for weights in (honest, final):
        padded = jnp.asarray(np.pad(weights, fill[0]), jnp.float32)
        w = _constrained(p, y, padded, ends) if constrained else _plain(p, y, padded)
        fits.append(np.asarray(w)[: len(sets.sizes)])
    return _measured(bought, sets, fits[0], fits[1], name, key)


@jax.jit
def _plain(p: low_order.Padded, y, weights):
    X = low_order.columns(p.bits, p.members)
    strength = _TINY * jnp.sum(weights)
    fit = regression.ridge(X, y, strength, weights=weights, valid=p.valid)
    return fit.coefficients.at[0].add(fit.intercept)


@jax.jit
def _constrained(p: low_order.Padded, y, weights, ends):
    """Least squares subject to f̂ = f at both ends.

    There the sets of even size add up to (f(1) + f(0))/2, the odd ones to (f(0) − f(1))/2: one
    equation for each half. Coefficients equal within a half solve them; what is left to fit is
    orthogonal to these, so each half's columns are centred row by row. The rows are mirrored to
    keep the regression's intercept at 0.
    """
    X = jnp.where(p.valid, low_order.columns(p.bits, p.members), 0.0)
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
    w = fit.coefficients - spread.T @ (halves @ fit.coefficients)
    return w + spread.T @ level


def _lasso(bought: Purchase, sets: Terms, weights, strength) -> tuple[np.ndarray, Any]:
    p = low_order.padded(bought.samples.rows, sets, bought.n)
    fill = ((0, p.bits.shape[0] - len(weights)), (0, 0))
    y = jnp.asarray(np.pad(bought.samples.values, fill))
    padded = jnp.asarray(np.pad(weights, fill[0]), jnp.float32)
    X = low_order.columns(p.bits, p.members)
    if strength is None:
        fit = regression.lasso_cv(X, y, folds=_FOLDS, weights=padded, valid=p.valid)
        strength = fit.strength
    else:
        fit = regression.lasso(X, y, strength, weights=padded, valid=p.valid)
    return np.asarray(fit.coefficients.at[0].add(fit.intercept))[: len(sets.sizes)], strength


def _measured(bought: Purchase, sets: Terms, honest, final, name: str, key: Key) -> Explanation:
    def surrogate(w: Float[np.ndarray, "S K"]) -> spectrum.Spectrum:
        keep = w.any(axis=1) | (sets.sizes == 0)
        return spectrum.from_terms(sets.packed[keep], np.asarray(w, np.float32)[keep].T, bought.n)

    return measured(bought, surrogate(honest), surrogate(final), name, key)


# --- exact -------------------------------------------------------------------------------------


def _exact(call: Caller, sets: Terms, name: str, index: str, order: int) -> Explanation:
    """The index of all 2^n values, and the surrogate Σ_{S⊆m} I(S) (for "Fourier", F itself)."""
    n = call.n
    rows = masks.all_packed(n)
    answers = jnp.asarray(call(rows), jnp.float32)
    scalar = answers.ndim == 1
    table = answers.reshape(2**n, -1)
    fourier = transforms.ifwht(table, axis=0)
    place = sets.packed[:, 0]
    if index == "Fourier":
        w = np.asarray(fourier[place])
    else:
        weights = np.zeros((n + 1, n + 1), np.float32)
        found = index_weights.weights(index_weights.INDICES[index], order, n)
        weights[: len(found)] = found
        own = low_order.superset_tables(fourier, jnp.asarray(weights), n)[place]
        w = low_order.fourier_from_mobius(sets, np.asarray(own, float), n).astype(np.float32)
    surrogate = spectrum.from_terms(sets.packed, w.T, n)
    score = metrics.r2(table, surrogate.predict_packed(rows))

    def output(x: Any) -> Any:
        return x[0] if scalar else x

    return Explanation(
        spectrum=output(surrogate), n=n, method=name, calls=2**n, full=output(table[-1]),
        empty=output(table[0]), faithfulness=output(score),
        faithfulness_interval=(output(score), output(score)),
    )  # fmt: skip
