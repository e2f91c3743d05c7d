"""``method="lasso"``: L1 over all sets of at most k inputs (Tibshirani 1996)."""

import dataclasses

from spexjax.masks import sampling
from spexjax.masks.design import Design
from spexjax.methods import orders
from spexjax.spectra import subsets
from spexjax.surrogates import low_order
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key


@dataclasses.dataclass(frozen=True)
class Lasso:
    """L1 regression over all sets of at most k inputs, strength by cross-validation.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) whose design matrix has at most
        2^26 entries.
    """

    order: int | None = None


def _order(config: Lasso, n: int, budget: int, max_order: int) -> int:
    return orders.choose_order(n, budget, config.order, max_order, "lasso", sparse=True)


def design(config: Lasso, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or the ends and pairs of uniform masks, which keep odd and even sets apart.

    Raises:
      ValueError: if the order is out of range, or the budget is too small for it.
    """
    _order(config, n, budget, max_order)
    return sampling.uniform(key, n, budget, max_order, held_out_pairs=True)


def fit(config: Lasso, design: Design, values: Standardised, key: Key) -> Fit:
    """The fit on all sets of at most k inputs."""
    order = _order(config, design.n, design.budget, design.max_order)
    sets = subsets.terms(design.n, order)
    if design.exhaustive:
        return low_order.exact(design, values, sets, "Fourier", order)
    return low_order.lasso(design, values, sets)
