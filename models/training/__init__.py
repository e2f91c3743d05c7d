"""Training points as features: masks → models trained on what they keep → how these answer."""

from spexjax.models.training.groups import check_budget, within_classes
from spexjax.models.training.learners import (
    Learner,
    cnn,
    flax_learner,
    logistic_regression,
    mlp,
    resnet9,
)
from spexjax.models.training.making import data_value
from spexjax.models.training.training import cross_entropy
from spexjax.models.training.value import DataValue, Diverged

__all__ = [
    "DataValue",
    "Diverged",
    "Learner",
    "check_budget",
    "cnn",
    "cross_entropy",
    "data_value",
    "flax_learner",
    "logistic_regression",
    "mlp",
    "resnet9",
    "within_classes",
]
