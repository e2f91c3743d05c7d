"""What an explanation's interactions know of their errors, and of which of them stand."""

import dataclasses
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, UInt32

from spexjax.indices import index_weights
from spexjax.inference import functionals
from spexjax.inference.discoveries import Discoveries, discover
from spexjax.inference.estimates import Estimates, certain, unknown
from spexjax.typing import Explained


@dataclasses.dataclass(frozen=True, eq=False)
class Errors:
    """Of the interactions of one explanation, of one output."""

    e: Explained

    def __call__(
        self,
        name: str,
        max_order: int,
        sets: UInt32[np.ndarray, "L W"],
        values: Float[np.ndarray, "L"],
    ) -> Estimates:
        """:func:`~spexjax.inference.functionals.index` of packed sets, NaN for Joint-SV.

        The values themselves, with errors of 0, where every mask was asked for.
        """
        if self.e.method == "exact":
            return certain(values, f"{name} of the function")
        if name not in index_weights.INDICES:
            return unknown(len(sets), f"{name} of the function")
        spectrum = self.e.spectrum
        found = np.asarray(spectrum.supports)[np.asarray(spectrum.valid)]
        return functionals.index(self.e.evidence, name, max_order, sets, found)

    def stands(self, sets: UInt32[np.ndarray, "L W"], fdr: float) -> Bool[np.ndarray, "L"] | None:
        """Which sets :func:`~spexjax.inference.discover` finds among those of the surrogate.

        All where every mask was asked for: nothing is left to chance. None without evidence.

        Raises:
          ValueError: if the rate is not between 0 and 1.
        """
        if not 0 < fdr < 1:
            raise ValueError(f"fdr must be between 0 and 1, got {fdr}.")
        if self.e.method == "exact":
            return np.ones(len(sets), bool)
        if self.e.evidence is None:
            return None
        found = self._found
        return dataclasses.replace(found, fdr=fdr, stands=found.adjusted <= fdr).marks(sets)

    @cached_property
    def _found(self) -> Discoveries:
        """At any rate: a page asks a dozen times which of its sets stand."""
        return discover(self.e)
