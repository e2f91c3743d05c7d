"""The value function and the explanation of one text, as the command's options say."""

from typing import TYPE_CHECKING, Any, cast

from spexjax.models.cli import api_arguments, question_arguments
from spexjax.models.cli.options import MaskOptions, TextOptions

if TYPE_CHECKING:  # JAX takes seconds to import; a wrong argument should not wait for it
    from spexjax.explanation import Explanation
    from spexjax.models.api.value import ApiValue
    from spexjax.models.bert.classifier import TextClassifier
    from spexjax.models.values.language import LanguageValue
    from spexjax.models.values.text import TextValue

_ROUNDS = 4  # masks per request at once, of an endpoint: what a sudden end may lose


def value_of(
    options: TextOptions, model: "TextClassifier | None", label: int | None, text: str
) -> "TextValue | ApiValue | LanguageValue":
    """The value function of one text as the options say: of a model, a question, an endpoint."""
    if options.question is not None:
        return question_arguments.value_of(options.question, text)
    if options.api is not None:
        return api_arguments.value_of(options.api, text)
    from spexjax.models.values.text import value_function

    assert model is not None  # text_arguments.classifier has read it
    return value_function(
        model, text, options.features, label, cast(Any, options.score), options.replacement,
        dtype=options.dtype or "float32",
    )  # fmt: skip


def explain_text(
    options: TextOptions,
    masks: MaskOptions,
    f: "TextValue | ApiValue | LanguageValue",
    store: str | None,
    progress: bool = False,
) -> "Explanation":
    """The explanation of one text as the options say."""
    from spexjax.explain import explain

    return explain(
        f, f.n, budget=masks.budget, method=masks.method, target=masks.target, seed=masks.seed,
        features=f.words, chunk_size=chunk_size(options), store=store, progress=progress,
    )  # fmt: skip


def chunk_size(options: TextOptions) -> int | None:
    """Masks per call of an endpoint that is asked several at once; a local model knows its own."""
    return None if options.api is None else _ROUNDS * options.api.concurrency
