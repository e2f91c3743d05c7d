"""How far numbers may be off: standard errors, intervals, tests, nulls and flags."""

from spexjax.inference.discoveries import Discoveries, benjamini_hochberg, discover
from spexjax.inference.estimates import Estimates
from spexjax.inference.evidence import Evidence, gather
from spexjax.inference.flags import Flag, flags
from spexjax.inference.functionals import coefficients
from spexjax.inference.nulls import ModelNull, explained_variance, model_null, strongest
from spexjax.inference.prediction import PredictionInterval, prediction_interval
from spexjax.inference.stability import Stability, stability

__all__ = [
    "Discoveries",
    "Estimates",
    "Evidence",
    "Flag",
    "ModelNull",
    "PredictionInterval",
    "Stability",
    "benjamini_hochberg",
    "coefficients",
    "discover",
    "explained_variance",
    "flags",
    "gather",
    "model_null",
    "prediction_interval",
    "stability",
    "strongest",
]
