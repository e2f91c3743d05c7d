"""The interactions of a target, which bring their own errors."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, UInt32

from spexjax.codes import gf2
from spexjax.indices.interaction_values import Interactions, ranking
from spexjax.indices.target import Target
from spexjax.inference.discoveries import among, benjamini_hochberg
from spexjax.inference.estimates import Estimates


@dataclasses.dataclass(frozen=True, eq=False)
class OfTarget:
    """Knows the errors of the sets of a target (:class:`spexjax.typing.Errors`)."""

    target: Target

    def __call__(
        self,
        name: str,
        max_order: int,
        sets: UInt32[np.ndarray, "L W"],
        values: Float[np.ndarray, "L"],
    ) -> Estimates:
        """The errors of sets that are the target's, or some of them."""
        rows = gf2.places_among(sets, self.target.supports)
        return Estimates(
            estimate=self.target.values[rows],
            standard_error=self.target.standard_error[rows],
            units=self.target.units,
            estimand=f"{name} of the function",
        )

    def stands(self, sets: UInt32[np.ndarray, "L W"], fdr: float) -> Bool[np.ndarray, "L"]:
        """Which sets have a value that is not 0: all sets of the order are a family named before.

        By Benjamini and Hochberg's procedure.

        Raises:
          ValueError: if the rate is not between 0 and 1.
        """
        if not 0 < fdr < 1:
            raise ValueError(f"fdr must be between 0 and 1, got {fdr}.")
        every = self("", self.target.order, self.target.supports, self.target.values)
        chosen = benjamini_hochberg(every.p_value) <= fdr
        return among(sets, self.target.supports[chosen])


def of_target(target: Target, n: int, features: tuple[str, ...]) -> Interactions:
    """The values of a target of one output, those of 0 left out."""
    order = ranking(target.values)
    order = order[target.values[order] != 0]
    return Interactions(
        target.supports[order],
        target.values[order],
        n,
        target.index,
        target.order,
        features,
        float(target.baseline),
        OfTarget(target),
    )
