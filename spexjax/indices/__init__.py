"""From a spectrum to an interaction index: Shapley, Banzhaf, Möbius, Sobol and their kin."""

from spexjax.indices.index_weights import INDICES
from spexjax.indices.interaction_values import Interactions
from spexjax.indices.of_spectrum import from_terms, interactions

__all__ = ["INDICES", "Interactions", "from_terms", "interactions"]
