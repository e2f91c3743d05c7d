"""The value function and the explanation of one text, as the command's options say."""

import argparse
from typing import TYPE_CHECKING, Any

from spexjax.models.cli import api_arguments, question_arguments

if TYPE_CHECKING:  # JAX takes seconds to import; a wrong argument should not wait for it
    from spexjax.explanation import Explanation
    from spexjax.models.api.value import ApiValue
    from spexjax.models.bert.classifier import TextClassifier
    from spexjax.models.values.language import LanguageValue
    from spexjax.models.values.text import TextValue

_ROUNDS = 4  # masks per request at once, of an endpoint: what a sudden end may lose


class CommandError(Exception):
    """What the user can put right; shown in one line."""


def value_of(
    given: argparse.Namespace, model: "TextClassifier | None", label: int | None, text: str
) -> Any:
    """The value function of one text as the options say: of a model, a question, an endpoint."""
    if question_arguments.wanted(given):
        return question_arguments.value_of(given, text)
    if model is None:
        return api_arguments.value_of(given, text)
    from spexjax.models.values.text import value_function

    return value_function(model, text, given.features, label, given.score, given.replacement)


def explain_text(
    given: argparse.Namespace, f: "TextValue | ApiValue | LanguageValue", progress: bool = False
) -> "Explanation":
    """The explanation of one text as the options say."""
    from spexjax.explain import explain

    return explain(
        f, f.n, budget=given.budget, method=given.method, seed=given.seed, features=f.words,
        chunk_size=chunk_size(given), store=given.store, progress=progress,
    )  # fmt: skip


def chunk_size(given: argparse.Namespace) -> int | None:
    """Masks per call of an endpoint that is asked several at once; a local model knows its own."""
    return _ROUNDS * given.concurrency if api_arguments.wanted(given) else None
