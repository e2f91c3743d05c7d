"""The options of ``spexjax explain --task qa``: a question about a context, a local Llama."""

import argparse
from typing import TYPE_CHECKING, Any, cast

from spexjax.models.cli.options import CommandError, QuestionOptions

if TYPE_CHECKING:  # JAX takes seconds to import; a wrong argument should not wait for it
    from spexjax.models.values.language import LanguageValue

SCORES = ("log-probability", "mean-log-probability", "negative-kl")
_OTHERS = ("text", "file", "label", "api_base")


def add_arguments(parser: Any) -> None:
    """Adds the options to a parser or a group of one; ``--question`` is there already."""
    add = parser.add_argument
    add("--task", choices=("classify", "qa", "data"), default="classify",
        help="qa: which sentences of a context does the answer to --question rest on? The model "
        "is a folder or id of a Llama, by default the embedded two-hop model. data: which training "
        "images made a small model read a digit as it does?")  # fmt: skip
    add("--context", metavar="F", help="read the context from this file (UTF-8)")
    add("--truncate", action="store_true",
        help="drop the end of a context that is longer than the model's positions")  # fmt: skip
    add("--reasoning", metavar="F", help="instead of --context: read a chain of thought from this "
        "file; which of its steps does the answer rest on?")  # fmt: skip
    add("--answer", metavar="A", help="explain this answer (default: the model's own)")
    add("--answer-span", metavar="TEXT", help="explain this part of the answer alone")


def read(given: argparse.Namespace, features: str, score: str) -> QuestionOptions | None:
    """The options, if a question is to be answered by a local model.

    Raises:
      ValueError: naming what the user can put right.
    """
    if given.task != "qa":
        for option in ("context", "reasoning", "answer", "answer_span"):
            if getattr(given, option) is not None:
                raise ValueError(f"--{option.replace('_', '-')} needs --task qa")
        if given.truncate:
            raise ValueError("--truncate needs --task qa; of other texts the end is always dropped")
        return None
    if given.context is not None and given.reasoning is not None:
        raise ValueError("give either --context F or --reasoning F")
    if (given.context is None and given.reasoning is None) or given.question is None:
        raise ValueError("--task qa needs --context F (or --reasoning F) and --question Q")
    if not given.question.strip():
        raise ValueError("the question is empty")
    if given.answer is not None and not given.answer.strip():
        raise ValueError("the answer is empty")
    if given.answer_span is not None and not given.answer_span.strip():
        raise ValueError("the span of the answer is empty")
    for option in _OTHERS:
        if getattr(given, option) is not None:
            name = "a text" if option == "text" else f"--{option.replace('_', '-')}"
            raise ValueError(f"--task qa does not take {name}; the text is that of --context F")
    for option in ("per_line", "column", "class_column"):
        if getattr(given, option, None):
            raise ValueError(f"--task qa does not take --{option.replace('_', '-')}")
    if features == "tokens":
        raise ValueError("--task qa takes --features sentences or words")
    if given.replacement not in (None, "unk", "delete"):
        raise ValueError("--task qa takes --replacement unk or delete")
    return QuestionOptions(
        question=given.question,
        answer=given.answer,
        features="words" if features == "words" else "sentences",
        score=cast(Any, score),
        reasoning=given.reasoning is not None,
        answer_span=given.answer_span,
        dtype=given.dtype,
        replacement=given.replacement or "unk",
        truncate=given.truncate,
        model=given.model,
        revision=given.revision,
    )


def value_of(options: QuestionOptions, context: str) -> "LanguageValue":
    """The value function of the question that the options describe.

    Raises:
      CommandError: if the prompt is longer than the model's positions.
    """
    from spexjax.models.llama.language import load_language_model
    from spexjax.models.nn.precision import default_dtype
    from spexjax.models.text.masking import TooLongError
    from spexjax.models.values.language import language_value

    dtype = default_dtype() if options.dtype is None else options.dtype
    model = load_language_model(options.model, dtype, revision=options.revision)
    try:
        return language_value(
            model, context, options.question, options.answer, options.features,
            score=options.score, template="reasoning" if options.reasoning else None,
            replacement=options.replacement, answer_span=options.answer_span,
            truncate=options.truncate,
        )  # fmt: skip
    except TooLongError as error:
        raise CommandError(str(error).replace("pass truncate=True", "give --truncate")) from error
