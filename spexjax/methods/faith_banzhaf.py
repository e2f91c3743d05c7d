"""``method="faith-banzhaf"``: least squares of order k: FBII (Tsai et al. 2023)."""

import dataclasses

from spexjax.masks import sampling
from spexjax.masks.budget import affords_all
from spexjax.masks.design import Design
from spexjax.methods import orders
from spexjax.spectra import subsets
from spexjax.surrogates import low_order
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key


@dataclasses.dataclass(frozen=True)
class FaithBanzhaf:
    """Least squares of order k on uniform masks.

    Attributes:
      order: k; if None the largest up to 4 (and ``max_order``) with two masks per set.
    """

    order: int | None = None


def _order(config: FaithBanzhaf, n: int, budget: int, max_order: int) -> int:
    return orders.choose_order(n, budget, config.order, max_order, "faith-banzhaf")


def design(config: FaithBanzhaf, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or the ends and uniform masks, in pairs where these are better.

    Raises:
      ValueError: if the order is out of range, or the budget is too small for it.
    """
    order = _order(config, n, budget, max_order)
    pairs = not affords_all(n, budget) and orders.pairs_help(n, budget, order)
    return sampling.uniform(key, n, budget, max_order, held_out_pairs=pairs)


def fit(config: FaithBanzhaf, design: Design, values: Standardised, key: Key) -> Fit:
    """The fit on all sets of at most k inputs."""
    order = _order(config, design.n, design.budget, design.max_order)
    sets = subsets.terms(design.n, order)
    if design.exhaustive:
        return low_order.exact(design, values, sets, "Fourier", order)
    weights = low_order.uniform_weights(design)
    return low_order.least_squares(design, values, sets, weights, weights, shrunk=order > 1)
