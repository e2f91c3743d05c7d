"""Masks to numbers on local devices: of texts, of questions, of a model's attention heads."""

from spexjax.models.nn.readouts import Attention, Hidden
from spexjax.models.values.components import component_value, head_value
from spexjax.models.values.language import language_value
from spexjax.models.values.text import value_function

__all__ = [
    "Attention",
    "Hidden",
    "component_value",
    "head_value",
    "language_value",
    "value_function",
]
