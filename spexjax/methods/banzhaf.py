"""``method="banzhaf"``: Banzhaf values by least squares (Hammer, Holzman 1992)."""

import dataclasses

from spexjax.masks import sampling
from spexjax.masks.design import Design
from spexjax.spectra import subsets
from spexjax.surrogates import low_order
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key


@dataclasses.dataclass(frozen=True)
class Banzhaf:
    """Least squares of order 1 on uniform masks and their complements."""


def design(config: Banzhaf, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or the ends and pairs: single masks would bring back what pairs cancel."""
    return sampling.uniform(key, n, budget, max_order, held_out_pairs=True)


def fit(config: Banzhaf, design: Design, values: Standardised, key: Key) -> Fit:
    """The fit of order 1."""
    sets = subsets.terms(design.n, 1)
    if design.exhaustive:
        return low_order.exact(design, values, sets, "Fourier", 1)
    weights = low_order.uniform_weights(design)
    return low_order.least_squares(design, values, sets, weights, weights)
