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
from spexjax.surrogates import sets, smooth
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.surrogates.proposals import Wider
from spexjax.typing import Key


@dataclasses.dataclass(frozen=True)
class Auto:
    """Exact where 2^n ≤ budget, else one design that feeds every way to find sets.

    Coded masks are asked for where the smallest design is affordable, uniform ones with the rest.
    Sets that SPEX decodes, supports of boosted trees and screened pairs are fitted together, by
    ridge and by L1 under several priors; up to 2 048 masks a Gaussian process is fitted, too
    (:mod:`spexjax.surrogates.process_candidate`). Cross-validation, in every fold of which the sets
    were found without the fold, says in which shares these fits are averaged
    (:mod:`spexjax.surrogates.cross_validation`, :mod:`spexjax.surrogates.stacking`). More than 64
    outputs share one support, of decoded sets and trees' supports, fitted by ridge regression
    (:mod:`spexjax.surrogates.shared_support`): screened pairs and L1 fits are of one output.
    With few masks, uniform ones in pairs, a Gaussian process is fitted
    (:mod:`spexjax.surrogates.smooth`): cross-validation has nothing to choose by. None of them is
    held out then.

    Attributes:
      wider: what is proposed besides the decoded sets.
      fewest: with fewer masks the process alone is fitted
        (``python -m spexjax.experiments budget --budgets 60 100``).
    """

    wider: Wider = Wider(process=2048)  # noqa: RUF009 (frozen)
    fewest: int = 132


def design(config: Auto, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or the ends, the largest coded design affordable, if any, and uniform masks."""
    if affords_all(n, budget):
        return sampling.everything(n, budget, max_order)
    if budget < config.fewest:
        return sampling.sample(key, n, budget, max_order, 0, held_out_pairs=True)
    plan = plan_budget(n, budget, max_order)
    coded = None if plan.b is None else coded_design(key, n, plan.b, plan.t, plan.groups)
    return sampling.sample(key, n, budget, max_order, plan.held_out, coded=coded)


def fit(config: Auto, design: Design, values: Standardised, key: Key) -> Fit:
    """Stacks the fits of all sets found."""
    if design.exhaustive:
        return exact.fit(exact.Exact(), design, values, key)
    if _smooth(config, design):
        return smooth.fit(design, values)
    return sets.fit(design, values, key, PeelConfig(), _wider(config, design))


def programs(config: Auto, design: Design, key: Key) -> Iterator[Program]:
    """What :func:`fit` will compile."""
    if _smooth(config, design):
        return iter(())
    return sets.programs(design, key, PeelConfig(), _wider(config, design))


def _smooth(config: Auto, design: Design) -> bool:
    """Whether the masks are few, the ends among them, and none is of a store: these lack pairs."""
    return len(design) < config.fewest and len(design) == design.asked >= 2


def _wider(config: Auto, design: Design) -> Wider | None:
    return None if design.asked < config.fewest else config.wider
