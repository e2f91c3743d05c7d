"""``method="auto"``: every way to find sets, fed from one design."""

import dataclasses
from collections.abc import Iterator

from spexjax.compiling import Program
from spexjax.decoding.peeling import PeelConfig
from spexjax.masks import sampling
from spexjax.masks.budget import affords_all, plan_budget
from spexjax.masks.coded import coded_design
from spexjax.masks.design import Design
from spexjax.methods import exact
from spexjax.surrogates import sets
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.surrogates.proposals import Wider
from spexjax.typing import Key


@dataclasses.dataclass(frozen=True)
class Auto:
    """Exact where 2^n ≤ budget, else one design that feeds every way to find sets.

    Coded masks are asked for where the smallest design is affordable, uniform ones with the rest.
    Sets that SPEX decodes, supports of boosted trees and screened pairs are fitted together, by
    ridge and by L1 under several priors; cross-validation, in every fold of which the sets were
    found without the fold, says in which shares these fits are averaged
    (:mod:`spexjax.surrogates.cross_validation`, :mod:`spexjax.surrogates.stacking`). More than 64
    outputs share one support, of decoded sets and trees' supports, fitted by ridge regression
    (:mod:`spexjax.surrogates.shared_support`): screened pairs and L1 fits are of one output.

    Attributes:
      wider: what is proposed besides the decoded sets.
      fewest: with fewer masks to fit, nothing is proposed besides the decoded sets
        (``python -m spexjax.experiments budget --budgets 60 100``).
    """

    wider: Wider = Wider()  # noqa: RUF009 (frozen)
    fewest: int = 100


def design(config: Auto, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or the ends, the largest coded design affordable, if any, and uniform masks."""
    if affords_all(n, budget):
        return sampling.everything(n, budget, max_order)
    plan = plan_budget(n, budget, max_order)
    coded = None if plan.b is None else coded_design(key, n, plan.b, plan.t, plan.groups)
    return sampling.sample(key, n, budget, max_order, plan.held_out, coded=coded)


def fit(config: Auto, design: Design, values: Standardised, key: Key) -> Fit:
    """Stacks the fits of all sets found."""
    if design.exhaustive:
        return exact.fit(exact.Exact(), design, values, key)
    return sets.fit(design, values, key, PeelConfig(), _wider(config, design))


def programs(config: Auto, design: Design, key: Key) -> Iterator[Program]:
    """What :func:`fit` will compile."""
    return sets.programs(design, key, PeelConfig(), _wider(config, design))


def _wider(config: Auto, design: Design) -> Wider | None:
    enough = design.asked - int(design.held_out.sum()) >= config.fewest
    return config.wider if enough else None
