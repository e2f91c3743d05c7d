"""``method="spex"``: masks from an error-correcting code, decoded, then refitted to all values.

Kang et al. 2025 (arXiv 2502.13870). The refit is ours: see
:mod:`spexjax.surrogates.cross_validation`.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

from spexjax.compiling import Program
from spexjax.decoding.peeling import PeelConfig
from spexjax.masks import sampling
from spexjax.masks.budget import BudgetError, affords_all, plan_budget
from spexjax.masks.coded import coded_design
from spexjax.masks.design import Design
from spexjax.methods import exact
from spexjax.surrogates import sets
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key


@dataclasses.dataclass(frozen=True)
class Spex:
    """Configuration of ``method="spex"``.

    Attributes:
      b: log2 of the bins per group; the largest that the budget affords if None.
      t: degree the code corrects, from 1; ``max_order`` of the call if None.
      groups: C, independent groups of masks, from 1.
      decoder: "soft" (Chase) or "hard"; that of ``peel`` if None.
      shared_support: one support for all outputs; True for more than 64 outputs if None.
      peel: settings of the search.
    """

    b: int | None = None
    t: int | None = None
    groups: int = 3
    decoder: Literal["soft", "hard"] | None = None
    shared_support: bool | None = None
    peel: PeelConfig = PeelConfig()  # noqa: RUF009 (frozen)

    def __post_init__(self):
        for name, value, least in (("b", self.b, 0), ("t", self.t, 1), ("groups", self.groups, 1)):
            if value is not None and (type(value) is not int or value < least):
                raise ValueError(f"{name} must be an int from {least}, got {value!r}.")
        if self.decoder == "soft" and self.peel.decoder == "hard":
            raise ValueError("decoder is 'soft' and peel.decoder 'hard': name one of them.")

    @property
    def search(self) -> PeelConfig:
        """``peel`` with the decoder that was asked for; the one place that decides."""
        return dataclasses.replace(self.peel, decoder=self.decoder or self.peel.decoder)


def design(config: Spex, n: int, budget: int, max_order: int, key: Key) -> Design:
    """The ends, the largest coded design affordable and uniform masks; or all masks.

    Raises:
      BudgetError: if the budget is below the smallest design; the message says what would do.
    """
    if affords_all(n, budget):
        return sampling.everything(n, budget, max_order)
    t = max_order if config.t is None else config.t
    plan = plan_budget(n, budget, t, config.groups, config.b)
    if plan.b is None:
        least = min(least for _, degree, least in plan.costs if degree == t)
        raise BudgetError(
            f"budget must be at least {least} for method 'spex' with n = {n}, t = {t}, "
            f"{config.groups} groups{'' if config.b is None else f', b = {config.b}'}; got "
            f"{budget}. A smaller max_order, or method 'auto' or 'linear', needs less."
        )
    coded = coded_design(key, n, plan.b, t, config.groups)
    return sampling.sample(key, n, budget, max_order, plan.held_out, coded=coded)


def fit(config: Spex, design: Design, values: Standardised, key: Key) -> Fit:
    """Decodes the sets in every fold, and fits them to all values."""
    if design.exhaustive:
        return exact.fit(exact.Exact(), design, values, key)
    return sets.fit(design, values, key, config.search, shared_support=config.shared_support)


def programs(config: Spex, design: Design, key: Key) -> Iterator[Program]:
    """What :func:`fit` will compile."""
    return sets.programs(design, key, config.search)
