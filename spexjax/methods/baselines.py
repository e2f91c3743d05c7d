"""The methods that SPEX is compared with, each on the masks and weights of its own literature.

=================  ==================================================================  ============
method             surrogate                                                           masks
=================  ==================================================================  ============
lime               least squares of order 1 (Ribeiro et al. 2016)                      uniform
banzhaf            the same: Banzhaf values (Hammer, Holzman 1992)                     paired
faith-banzhaf      least squares of order k: FBII (Tsai et al. 2023)                   paired
lasso              L1 over all sets of at most k inputs (Tibshirani 1996)              paired
kernelshap         least squares of order 1 with the Shapley kernel, exact at both     paired, by
                   ends: Shapley values (Lundberg, Lee 2017)                           size
faith-shapley      the same of order k: FSII (Tsai et al. 2023)                        the same
shapley-taylor     Σ_{S⊆m} STII(S) of order k (Sundararajan et al. 2020)               permutations
=================  ==================================================================  ============

``integrated-gradients`` (Sundararajan et al. 2017) is none of them: it asks for derivatives, see
:mod:`spexjax.methods.integrated_gradients`.

Where the budget buys all 2^n masks the values are exact. Otherwise uniform masks are set aside, as
for every method: the faithfulness reported is that of a fit without them, and then least squares
and the lasso are fitted once more with them. An explanation holds the surrogate's spectrum, so its
``interactions`` in the method's own index are the values that the method defines.
"""

from spexjax.methods.banzhaf import Banzhaf
from spexjax.methods.faith_banzhaf import FaithBanzhaf
from spexjax.methods.faith_shapley import FaithShapley
from spexjax.methods.integrated_gradients import IntegratedGradients
from spexjax.methods.kernelshap import KernelShap
from spexjax.methods.lasso import Lasso
from spexjax.methods.lime import Lime
from spexjax.methods.shapley_taylor import ShapleyTaylor

__all__ = [
    "BASELINES",
    "Banzhaf",
    "FaithBanzhaf",
    "FaithShapley",
    "IntegratedGradients",
    "KernelShap",
    "Lasso",
    "Lime",
    "ShapleyTaylor",
]

BASELINES = (
    "lasso",
    "lime",
    "kernelshap",
    "banzhaf",
    "faith-banzhaf",
    "faith-shapley",
    "shapley-taylor",
)
"""The names of those that are fitted to masks."""
