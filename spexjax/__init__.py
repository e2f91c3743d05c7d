"""spexjax: which sets of inputs does a model's answer depend on?

``explain`` answers for any function of masks; below it everything is a pure function of arrays:
``masks`` designs what to ask, ``spex.decode`` turns values into a sparse ``Spectrum``,
``transforms``, ``bch``, ``chase``, ``peeling`` and ``regression`` are its parts.
"""

from spexjax import (
    baselines,
    bch,
    boosting,
    chase,
    gf2,
    gf2m,
    indices,
    masks,
    metrics,
    peeling,
    plot,
    regression,
    selection,
    spex,
    transforms,
    values,
)
from spexjax.cost import preview
from spexjax.explain import explain
from spexjax.explanation import Explanation
from spexjax.fingerprint import fingerprint
from spexjax.methods import Auto
from spexjax.peeling import PeelConfig
from spexjax.proxyspex import ProxySpex
from spexjax.spectrum import Spectrum
from spexjax.spex import Spex
from spexjax.store import Store, StoreError, StoreWarning
from spexjax.values import ValueFunctionError

__version__ = "0.1.0"

__all__ = [
    "Auto",
    "Explanation",
    "PeelConfig",
    "ProxySpex",
    "Spectrum",
    "Spex",
    "Store",
    "StoreError",
    "StoreWarning",
    "ValueFunctionError",
    "baselines",
    "bch",
    "boosting",
    "chase",
    "explain",
    "fingerprint",
    "gf2",
    "gf2m",
    "indices",
    "masks",
    "metrics",
    "peeling",
    "plot",
    "preview",
    "regression",
    "selection",
    "spex",
    "transforms",
    "values",
]
