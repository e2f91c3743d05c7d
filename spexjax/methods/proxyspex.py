"""``method="proxyspex"``: boosted trees stand in for the function, their spectrum names the sets.

Butler et al. 2025 (arXiv 2505.17495): fit gradient-boosted trees to uniform masks, read off their
Fourier transform, keep its largest terms, refit their coefficients. Here the trees are fitted in
every fold of a cross-validation, and it is that which chooses how many terms to keep and how to
fit them; 95 % of the energy, the published rule, caps R² near 0.91 on real text, however many
masks one asks for. ``recipe="paper"`` is the published rule.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal, get_args

from spexjax.compiling import Program
from spexjax.decoding.peeling import PeelConfig
from spexjax.masks import sampling
from spexjax.masks.design import Design
from spexjax.methods import exact, proxyspex_paper
from spexjax.surrogates import sets
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.surrogates.proposals import BOOSTS, Wider
from spexjax.trees.boosting import BoostConfig
from spexjax.typing import Key

Recipe = Literal["cv", "paper"]
Proxy = Literal["jax", "lightgbm"]
Masks = Literal["uniform", "paired"]


@dataclasses.dataclass(frozen=True)
class ProxySpex:
    """Configuration of ``method="proxyspex"``.

    Attributes:
      recipe: "cv", or "paper" for the published grid of depths, trees and rates, 5 folds, the
        terms that hold 95 % of the energy, and ridge regression.
      proxy: "jax" (:mod:`spexjax.trees.boosting`), or "lightgbm" for the peer's trees (needs that
        package, and recipe "paper"). With "jax" the paper's unlimited depth becomes 6.
      masks: "uniform", or "paired": every mask with its complement, so that terms of even and of
        odd degree do not disturb each other. The masks that measure faithfulness are uniform.
      boosts: settings of the trees, the mean of which proposes, for ``recipe="cv"``: half of
        those of ``auto``. Trees deeper than ``max_order`` are cut.
      terms: sets that the trees may propose.
      shared_support: one support for all outputs (:mod:`spexjax.surrogates.shared_support`); True
        for more than 64 outputs if None. Not for ``recipe="paper"``.
    """

    recipe: Recipe = "cv"
    proxy: Proxy = "jax"
    masks: Masks = "uniform"
    boosts: tuple[BoostConfig, ...] = BOOSTS[1::2]
    terms: int = 512
    shared_support: bool | None = None

    def __post_init__(self):
        for name, value, known in (
            ("recipe", self.recipe, get_args(Recipe)),
            ("proxy", self.proxy, get_args(Proxy)),
            ("masks", self.masks, get_args(Masks)),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}.")
        if not self.boosts:
            raise ValueError("boosts must hold at least one setting.")
        if self.proxy == "lightgbm" and self.recipe != "paper":
            raise ValueError(
                "proxy='lightgbm' needs recipe='paper'; recipe='cv' grows its own trees."
            )


def design(config: ProxySpex, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or the ends and uniform masks, in pairs if so configured."""
    return sampling.uniform(key, n, budget, max_order, paired=config.masks == "paired")


def fit(config: ProxySpex, design: Design, values: Standardised, key: Key) -> Fit:
    """Fits the sets that the trees name."""
    if design.exhaustive:
        return exact.fit(exact.Exact(), design, values, key)
    if config.recipe == "paper":
        return proxyspex_paper.fit(design, values, config.proxy == "lightgbm", key)
    return sets.fit(design, values, key, PeelConfig(), _wider(config), config.shared_support)


def programs(config: ProxySpex, design: Design, key: Key) -> Iterator[Program]:
    """What :func:`fit` will compile."""
    if config.recipe == "paper":
        return iter(())
    return sets.programs(design, key, PeelConfig(), _wider(config))


def _wider(config: ProxySpex) -> Wider:
    return Wider(config.terms, pairs=False, boosts=config.boosts)
