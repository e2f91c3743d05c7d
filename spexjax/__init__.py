"""spexjax: which sets of inputs does a model's answer depend on?

``explain`` answers for any function of masks, in three steps that can be taken one by one:
``design`` chooses what to ask, ``evaluate`` asks, ``fit`` explains the values. Below them all is a
pure function of arrays: ``spex.decode`` turns the values of coded ``masks`` into a sparse
``Spectrum``; ``transforms``, ``bch``, ``chase``, ``peeling`` and ``regression`` are its parts.
"""

from spexjax import (
    bridges,
    corpus,
    indices,
    inference,
    masks,
    metrics,
    plot,
    regression,
    selection,
    values,
)
from spexjax.codes import bch, chase, gf2, gf2m
from spexjax.decoding import peeling, spex
from spexjax.decoding.peeling import PeelConfig
from spexjax.evaluate import evaluate
from spexjax.explain import explain
from spexjax.explanation import Explanation
from spexjax.many import Explanations, explain_many
from spexjax.masks.design import Design
from spexjax.methods import baselines
from spexjax.methods.auto import Auto
from spexjax.methods.proxyspex import ProxySpex
from spexjax.methods.spex import Spex
from spexjax.methods.targeted import Targeted
from spexjax.preview import preview
from spexjax.spectra import spectrum, transforms
from spexjax.spectra.spectrum import Spectrum
from spexjax.steps import design, fit
from spexjax.store import Store, StoreError, StoreWarning
from spexjax.store.fingerprint import fingerprint
from spexjax.trees import boosting
from spexjax.values import ValueFunctionError

__version__ = "0.2.0"

__all__ = [
    "Auto",
    "Design",
    "Explanation",
    "Explanations",
    "PeelConfig",
    "ProxySpex",
    "Spectrum",
    "Spex",
    "Store",
    "StoreError",
    "StoreWarning",
    "Targeted",
    "ValueFunctionError",
    "baselines",
    "bch",
    "boosting",
    "bridges",
    "chase",
    "corpus",
    "design",
    "evaluate",
    "explain",
    "explain_many",
    "fingerprint",
    "fit",
    "gf2",
    "gf2m",
    "indices",
    "inference",
    "masks",
    "metrics",
    "peeling",
    "plot",
    "preview",
    "regression",
    "selection",
    "spectrum",
    "spex",
    "transforms",
    "values",
]


def __dir__() -> list[str]:
    return __all__
