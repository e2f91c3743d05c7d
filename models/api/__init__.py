"""Value functions of texts behind an API."""

from spexjax.models.api.answer_scorers import ServedLogprob, SglangLogprob, VllmLogprob
from spexjax.models.api.endpoint import Endpoint
from spexjax.models.api.scorers import AnswerLogprob, LogOdds, SampledShare
from spexjax.models.api.value import api_value

__all__ = [
    "AnswerLogprob",
    "Endpoint",
    "LogOdds",
    "SampledShare",
    "ServedLogprob",
    "SglangLogprob",
    "VllmLogprob",
    "api_value",
]
