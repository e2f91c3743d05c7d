"""``method="faith-shapley"``: least squares with the Shapley kernel: FSII (Tsai et al. 2023).

Order 1 is ``method="kernelshap"`` (Lundberg, Lee 2017).
"""

import dataclasses

import jax
import numpy as np

from spexjax.masks import sampling, shapley_kernel
from spexjax.masks.budget import affords_all, held_out_size
from spexjax.masks.design import Design, Role
from spexjax.methods import orders
from spexjax.spectra import subsets
from spexjax.surrogates import low_order
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key


@dataclasses.dataclass(frozen=True)
class FaithShapley:
    """Least squares of order k with the Shapley kernel, exact at 1…1 and 0…0.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) with two masks per set.
    """

    order: int | None = None


def _order(config: FaithShapley, n: int, budget: int, max_order: int) -> int:
    return orders.choose_order(n, budget, config.order, max_order, "faith-shapley")


def design(config: FaithShapley, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or the ends, masks of the Shapley kernel, and uniform ones that are held out.

    Raises:
      ValueError: if the order is out of range, or the budget is too small for it.
    """
    order = _order(config, n, budget, max_order)
    return kernel_design(n, budget, max_order, order, "faith-shapley", key)


def kernel_design(n: int, budget: int, max_order: int, order: int, name: str, key: Key) -> Design:
    """The design of order k, and of KernelSHAP (k = 1); ``name`` is the method's, for errors."""
    orders.needs_ends(budget, name)
    if affords_all(n, budget):
        return sampling.everything(n, budget, max_order)
    own = budget - 2 - held_out_size(budget)
    paired = orders.pairs_help(n, budget, order)
    mass = shapley_kernel.root_mass(n)
    rows, sizes = shapley_kernel.shapley_masks(key, n, own, paired, mass)
    aside = None if len(rows) else held_out_size(budget)
    found = sampling.sample(
        key, n, budget, max_order, aside, own=rows, role=Role.SHAPLEY_KERNEL,
        held_out_pairs=paired,
    )  # fmt: skip
    return dataclasses.replace(found, sizes=sizes)


def fit(config: FaithShapley, design: Design, values: Standardised, key: jax.Array) -> Fit:
    """The constrained weighted fit."""
    return kernel_fit(design, values, _order(config, design.n, design.budget, design.max_order))


def kernel_fit(design: Design, values: Standardised, order: int) -> Fit:
    """The fit of order k, and of KernelSHAP (k = 1)."""
    n, plan, held_out = design.n, design.sizes, design.held_out
    sets = subsets.terms(n, order)
    if plan is None:
        return low_order.exact(design, values, sets, "FSII", order)
    sizes = np.bitwise_count(design.packed).sum(axis=1, dtype=int)
    tested = np.zeros(len(sizes))
    tested[~held_out] = shapley_kernel.kernel_weights(sizes[~held_out], plan, 0, n)
    final = shapley_kernel.kernel_weights(sizes, plan, int(held_out.sum()), n)
    return low_order.least_squares(
        design, values, sets, tested, final, constrained=True, shrunk=order > 1
    )
