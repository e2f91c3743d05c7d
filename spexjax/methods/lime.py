"""``method="lime"``: least squares of order 1 (Ribeiro et al. 2016)."""

import dataclasses
from typing import Literal, get_args

import numpy as np

from spexjax.masks import sampling
from spexjax.masks.budget import held_out_size
from spexjax.masks.design import Design
from spexjax.spectra import subsets
from spexjax.surrogates import low_order
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key

Kernel = Literal["uniform", "cosine"]


@dataclasses.dataclass(frozen=True)
class Lime:
    """Least squares of order 1 on uniform masks.

    Attributes:
      kernel: "uniform", as in the papers, or "cosine", LimeText's weights
        exp(−(100 d)²/width²)^½ of a mask at cosine distance d from 1…1.
      width: of the cosine kernel.
    """

    kernel: Kernel = "uniform"
    width: float = 25.0

    def __post_init__(self):
        if self.kernel not in get_args(Kernel):
            raise ValueError(f"kernel must be 'uniform' or 'cosine', got {self.kernel!r}.")
        if not self.width > 0:
            raise ValueError(f"width must be above 0, got {self.width}.")


def design(config: Lime, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks if they are to weigh alike and are affordable, else the ends and uniform masks."""
    if config.kernel == "uniform":
        return sampling.uniform(key, n, budget, max_order)
    return sampling.sample(key, n, budget, max_order, held_out_size(budget, n))


def fit(config: Lime, design: Design, values: Standardised, key: Key) -> Fit:
    """The weighted fit."""
    sets = subsets.terms(design.n, 1)
    if design.exhaustive:
        return low_order.exact(design, values, sets, "Fourier", 1)
    weights = low_order.uniform_weights(design)
    if config.kernel == "cosine":
        kept = np.bitwise_count(design.packed).sum(axis=1, dtype=int) / design.n
        distance = 100 * (1 - np.sqrt(kept))
        weights = weights * np.exp(-((distance / config.width) ** 2) / 2)
    return low_order.least_squares(design, values, sets, weights, weights)
