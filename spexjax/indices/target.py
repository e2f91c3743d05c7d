"""An interaction index that was estimated for its own sake, beside a surrogate."""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt32

from spexjax.indices import index_weights


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """Values of one index on all sets of at most ``order`` inputs; leading axis K for K outputs.

    Attributes:
      index: its name.
      order: ℓ.
      supports: uint32 (L, W), the sets, none empty.
      values: float64 (L,), the best guess.
      standard_error: float64 (L,), of ``values``.
      baseline: float64 (), the value on ∅.
      units: how many independent units of masks the errors are made of.
    """

    index: str
    order: int
    supports: UInt32[np.ndarray, "L W"]
    values: Float[np.ndarray, "*K L"]
    standard_error: Float[np.ndarray, "*K L"]
    baseline: Float[np.ndarray, "*K"]
    units: int

    def __getitem__(self, output: int) -> "Target":
        """Those of one output."""
        return dataclasses.replace(
            self,
            values=self.values[output],
            standard_error=self.standard_error[output],
            baseline=self.baseline[output],
        )

    def moved(self, level: Float[np.ndarray, "K"], spread: Float[np.ndarray, "K"]) -> "Target":
        """Of level + spread · f: every index is linear, and a constant's lies on ∅."""
        return dataclasses.replace(
            self,
            values=self.values * spread[:, None],
            standard_error=self.standard_error * spread[:, None],
            baseline=level + self.baseline * spread,
        )

    def answers(self, name: str, max_order: int | None) -> bool:
        """Whether these are the values of an index, at an order if one is given."""
        if index_weights.plain(name) != index_weights.plain(self.index):
            return False
        return index_weights.find(name).singles or max_order in (None, self.order)
