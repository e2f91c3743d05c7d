"""``method="kernelshap"``: Shapley values by least squares (Lundberg, Lee 2017)."""

import dataclasses

from spexjax.masks.design import Design
from spexjax.methods import faith_shapley
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key


@dataclasses.dataclass(frozen=True)
class KernelShap:
    """Least squares of order 1 with the Shapley kernel, exact at 1…1 and 0…0."""


def design(config: KernelShap, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or the ends, masks of the Shapley kernel, and uniform ones that are held out."""
    return faith_shapley.kernel_design(n, budget, max_order, 1, "kernelshap", key)


def fit(config: KernelShap, design: Design, values: Standardised, key: Key) -> Fit:
    """The constrained weighted fit of order 1."""
    return faith_shapley.kernel_fit(design, values, 1)
