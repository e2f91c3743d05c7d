"""``method="shapley-taylor"``: STII from sampled permutations (Sundararajan et al. 2020)."""

import dataclasses

import numpy as np

from spexjax.masks import permutations, sampling
from spexjax.masks.budget import BudgetError, affords_all, held_out_size, with_held_out
from spexjax.masks.design import Design, Role
from spexjax.methods import orders
from spexjax.spectra import subsets
from spexjax.surrogates import low_order
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key


@dataclasses.dataclass(frozen=True)
class ShapleyTaylor:
    """Shapley-Taylor interactions of order k from sampled permutations.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) for which about two permutations
        are affordable.
    """

    order: int | None = None


def _order(config: ShapleyTaylor, n: int, budget: int, max_order: int) -> int:
    order = config.order
    if order is None:
        known = orders.orders(n, max_order)
        own = budget - held_out_size(budget)
        fitting = [k for k in known if 2 * permutations.least_budget(n, k) <= own]
        order = known[-1] if affords_all(n, budget) else max(fitting, default=1)
    orders.check_order(order, n)
    return order


def design(config: ShapleyTaylor, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or those of permutations and uniform ones that are held out.

    Raises:
      ValueError: if the order is out of range.
      BudgetError: if the budget is too small for it.
    """
    orders.needs_ends(budget, "shapley-taylor")
    order = _order(config, n, budget, max_order)
    if affords_all(n, budget):
        return sampling.everything(n, budget, max_order)
    own, least = budget - held_out_size(budget), permutations.least_budget(n, order)
    if own < least:
        raise BudgetError(
            f"budget must be at least {with_held_out(least)} for method 'shapley-taylor' of order "
            f"{order} with n = {n}, got {budget}."
        )
    plan = permutations.permutation_masks(key, n, order, own)
    found = sampling.sample(
        key, n, budget, max_order, None, own=plan.rows[2:], role=Role.PERMUTATION
    )
    return dataclasses.replace(found, permutations=plan)


def fit(config: ShapleyTaylor, design: Design, values: Standardised, key: Key) -> Fit:
    """Means of discrete derivatives, as the surrogate Σ_{S⊆m} STII(S)."""
    order = _order(config, design.n, design.budget, design.max_order)
    sets = subsets.terms(design.n, order)
    if design.permutations is None:
        return low_order.exact(design, values, sets, "STII", order)
    answers = np.asarray(values.values)[: len(design.permutations.rows)]
    mobius = permutations.values(design.permutations, answers, sets, order)
    w = subsets.fourier_from_mobius(sets, mobius, design.n)
    return low_order.fit_of(sets, w, w, design.n)
