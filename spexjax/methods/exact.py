"""``method="exact"``: all 2^n masks, transformed."""

import dataclasses

import numpy as np

from spexjax.masks import sampling
from spexjax.masks.budget import BudgetError, affords_all
from spexjax.masks.design import Design
from spexjax.spectra import spectrum, transforms
from spexjax.surrogates.fitted import Done, Fit, Standardised
from spexjax.typing import Key

# What a transform of values with mean square 1 leaves where the coefficient is 0, in units of the
# last place of 1.
_ROUNDING = 4.0


@dataclasses.dataclass(frozen=True)
class Exact:
    """All 2^n masks, transformed."""


def design(config: Exact, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks.

    Raises:
      BudgetError: if the budget does not buy them, or n > 30.
    """
    if not affords_all(n, budget):
        raise BudgetError(
            f"budget must be at least 2^n = {2**n} (and n at most 30) for method 'exact' with "
            f"n = {n}, got {budget}."
        )
    return sampling.everything(n, budget, max_order)


def fit(config: Exact, design: Design, values: Standardised, key: Key) -> Fit:
    """The Walsh–Hadamard transform of the values."""
    F = transforms.exact_ifwht(values.values).T
    F = np.where(np.abs(F) > _ROUNDING * np.finfo(F.dtype).eps, F, 0)
    found = spectrum.from_terms(design.packed, F, design.n)
    return Fit(found, found, Done.EXACT)
