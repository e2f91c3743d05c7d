"""ProxySPEX: boosted trees stand in for the function, their spectrum names the sets to fit.

Butler et al. 2025 (arXiv 2505.17495): fit gradient-boosted trees to uniform masks, read off their
Fourier transform, keep its largest terms, refit their coefficients. Here the trees are fitted in
every fold of a cross-validation, and it is that which chooses how many terms to keep and how to
fit them (:mod:`spexjax.surrogates.cross_validation`); 95 % of the energy, the published rule, caps R² near 0.91 on
real text, however many masks one buys. ``recipe="paper"`` is the published rule.
"""

import dataclasses
from typing import Literal

from spexjax.surrogates.proposals import BOOSTS
from spexjax.trees.boosting import BoostConfig


@dataclasses.dataclass(frozen=True)
class ProxySpex:
    """Configuration of ``method="proxyspex"``.

    Attributes:
      recipe: "cv", or "paper" for the published grid of depths, trees and rates, 5 folds, the
        terms that hold 95 % of the energy, and ridge regression.
      proxy: "jax" (:mod:`spexjax.trees.boosting`), or "lightgbm" for the peer's trees (needs that
        package). With "jax" the paper's unlimited depth becomes 6.
      masks: "uniform", or "paired": every mask with its complement, so that terms of even and of
        odd degree do not disturb each other. The masks that measure faithfulness are uniform.
      boosts: settings of the trees, the mean of which proposes, for ``recipe="cv"``: half of
        those of ``auto``. Trees deeper than ``max_order`` are cut.
      terms: sets that the trees may propose.
      shared_support: one support for all outputs, found by :mod:`spexjax.surrogates.shared_support`; True for more
        than 64 outputs if None. Not for ``recipe="paper"``.
    """

    recipe: Literal["cv", "paper"] = "cv"
    proxy: Literal["jax", "lightgbm"] = "jax"
    masks: Literal["uniform", "paired"] = "uniform"
    boosts: tuple[BoostConfig, ...] = BOOSTS[1::2]
    terms: int = 512
    shared_support: bool | None = None

    def __post_init__(self):
        for name, value, known in (
            ("recipe", self.recipe, ("cv", "paper")),
            ("proxy", self.proxy, ("jax", "lightgbm")),
            ("masks", self.masks, ("uniform", "paired")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}.")
        if not self.boosts:
            raise ValueError("boosts must hold at least one setting.")
