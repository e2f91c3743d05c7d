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

from typing import Any

import numpy as np

from spexjax import masks
from spexjax.explanation import Explanation
from spexjax.masks import permutations, shapley_kernel
from spexjax.methods import baseline_fits, baseline_masks
from spexjax.methods.baseline_configs import (
    Banzhaf,
    FaithBanzhaf,
    FaithShapley,
    KernelShap,
    Lasso,
    Lime,
    ShapleyTaylor,
)
from spexjax.methods.purchase import Caller
from spexjax.spectra import subsets
from spexjax.typing import Key

__all__ = [
    "BASELINES",
    "Banzhaf",
    "FaithBanzhaf",
    "FaithShapley",
    "KernelShap",
    "Lasso",
    "Lime",
    "ShapleyTaylor",
]

_MOST_CELLS = 1 << 26  # entries of the design matrix of an order that was not asked for


def run_lime(call: Caller, budget: int, config: Lime, max_order: int, key: Key) -> Explanation:
    if config.kernel not in ("uniform", "cosine"):
        raise ValueError(f"kernel must be 'uniform' or 'cosine', got {config.kernel!r}.")
    if not config.width > 0:
        raise ValueError(f"width must be above 0, got {config.width}.")
    sets = subsets.terms(call.n, 1)
    if baseline_masks.affords_all(call.n, budget) and config.kernel == "uniform":
        return baseline_fits.exact(call, sets, "lime", "Fourier", 1)
    bought = baseline_masks.buy_uniform(call, budget, key)
    weights = baseline_masks.uniform_weights(bought)
    if config.kernel == "cosine":
        kept = np.bitwise_count(bought.samples.rows).sum(axis=1, dtype=int) / call.n
        distance = 100 * (1 - np.sqrt(kept))
        weights = weights * np.exp(-((distance / config.width) ** 2) / 2)
    return baseline_fits.least_squares(bought, sets, weights, weights, "lime", key)


def run_banzhaf(
    call: Caller, budget: int, config: Banzhaf, max_order: int, key: Key
) -> Explanation:
    sets = subsets.terms(call.n, 1)
    if baseline_masks.affords_all(call.n, budget):
        return baseline_fits.exact(call, sets, "banzhaf", "Fourier", 1)
    bought = baseline_masks.buy(call, budget, baseline_masks.no_masks(call.n), key, paired=True)
    weights = baseline_masks.uniform_weights(bought)
    return baseline_fits.least_squares(bought, sets, weights, weights, "banzhaf", key)


def run_faith_banzhaf(
    call: Caller, budget: int, config: FaithBanzhaf, max_order: int, key: Key
) -> Explanation:
    order = baseline_masks.choose_order(
        call.n, budget, config.order, max_order, "faith-banzhaf", _MOST_CELLS
    )
    sets = subsets.terms(call.n, order)
    if baseline_masks.affords_all(call.n, budget):
        return baseline_fits.exact(call, sets, "faith-banzhaf", "Fourier", order)
    bought = baseline_masks.buy_uniform(call, budget, key)
    weights = baseline_masks.uniform_weights(bought)
    return baseline_fits.least_squares(bought, sets, weights, weights, "faith-banzhaf", key)


def run_lasso(call: Caller, budget: int, config: Lasso, max_order: int, key: Key) -> Explanation:
    order = baseline_masks.choose_order(
        call.n, budget, config.order, max_order, "lasso", _MOST_CELLS, sparse=True
    )
    sets = subsets.terms(call.n, order)
    if baseline_masks.affords_all(call.n, budget):
        return baseline_fits.exact(call, sets, "lasso", "Fourier", order)
    bought = baseline_masks.buy_uniform(call, budget, key)
    weights = baseline_masks.uniform_weights(bought)
    honest, strength = baseline_fits.lasso(
        bought, sets, np.where(bought.samples.held_out, 0.0, weights), None
    )
    final, _ = baseline_fits.lasso(bought, sets, weights, strength)
    return baseline_fits.score(bought, sets, honest, final, "lasso", key)


def run_kernelshap(
    call: Caller, budget: int, config: KernelShap, max_order: int, key: Key
) -> Explanation:
    return _shapley(call, budget, 1, "kernelshap", key)


def run_faith_shapley(
    call: Caller, budget: int, config: FaithShapley, max_order: int, key: Key
) -> Explanation:
    order = baseline_masks.choose_order(
        call.n, budget, config.order, max_order, "faith-shapley", _MOST_CELLS
    )
    return _shapley(call, budget, order, "faith-shapley", key)


def _shapley(call: Caller, budget: int, order: int, name: str, key: Key) -> Explanation:
    n = call.n
    baseline_masks.needs_ends(budget, name)
    sets = subsets.terms(n, order)
    if baseline_masks.affords_all(n, budget):
        return baseline_fits.exact(call, sets, name, "FSII", order)
    own = budget - 2 - masks.held_out_size(budget)
    odd = int((sets.sizes % 2).sum())
    paired = own // 2 >= 2 * max(odd, len(sets.sizes) - odd)
    rows, plan = shapley_kernel.shapley_masks(key, n, own, paired)
    bought = baseline_masks.buy(call, budget, rows, key, paired)
    sizes = np.bitwise_count(bought.samples.rows).sum(axis=1, dtype=int)
    held_out = bought.samples.held_out
    honest = np.zeros(len(sizes))
    honest[~held_out] = shapley_kernel.kernel_weights(sizes[~held_out], plan, 0, n)
    final = shapley_kernel.kernel_weights(sizes, plan, int(held_out.sum()), n)
    return baseline_fits.least_squares(bought, sets, honest, final, name, key, constrained=True)


def run_shapley_taylor(
    call: Caller, budget: int, config: ShapleyTaylor, max_order: int, key: Key
) -> Explanation:
    n = call.n
    baseline_masks.needs_ends(budget, "shapley-taylor")
    every = baseline_masks.affords_all(n, budget)
    own = budget - masks.held_out_size(budget)
    order = config.order
    if order is None:
        fitting = [
            k
            for k in baseline_masks.orders(n, max_order)
            if 2 * permutations.least_budget(n, k) <= own
        ]
        order = baseline_masks.orders(n, max_order)[-1] if every else max(fitting, default=1)
    baseline_masks.check_order(order, n)
    sets = subsets.terms(n, order)
    if every:
        return baseline_fits.exact(call, sets, "shapley-taylor", "STII", order)
    least = permutations.least_budget(n, order)
    if own < least:
        raise ValueError(
            f"budget must be at least {baseline_masks.with_held_out(least)} for method "
            f"'shapley-taylor' of order {order} with n = {n}, got {budget}."
        )
    design = permutations.design(key, n, order, own)
    bought = baseline_masks.buy(call, budget, design.rows[2:], key)
    answers = bought.samples.values[: len(design.rows)]
    mobius = permutations.values(design, answers, sets, order)
    w = subsets.fourier_from_mobius(sets, mobius, n)
    return baseline_fits.score(bought, sets, w, w, "shapley-taylor", key)


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
