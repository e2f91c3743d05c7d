"""The options of ``spexjax explain`` for models behind an API."""

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from spexjax.models.cli.options import ApiOptions

if TYPE_CHECKING:  # JAX takes seconds to import; a wrong argument should not wait for it
    from spexjax.models.api.batch_files import Batch
    from spexjax.models.api.scorers import Scorer
    from spexjax.models.api.value import ApiValue

_REPLACEMENTS = {"unk": "[UNK]", "mask": "[MASK]", "delete": ""}


def add_arguments(parser: Any) -> None:
    """Adds the options to a parser or a group of one."""
    add = parser.add_argument
    add("--api-base", metavar="URL", help="ask an OpenAI-compatible endpoint instead of a local "
        "model, such as http://localhost:8000/v1")  # fmt: skip
    add("--api-model", metavar="NAME", help="the model's name there")
    add("--key-variable", metavar="NAME", default="OPENAI_API_KEY",
        help="environment variable of the key (default: OPENAI_API_KEY; '': none)")  # fmt: skip
    add("--question", metavar="Q", help="what to ask about the text, such as 'Is this review "
        "positive? Answer True or False.'")  # fmt: skip
    add("--answers", metavar="YES,NO", default="True,False",
        help="the value is the log-odds of these first tokens (default: True,False)")  # fmt: skip
    add("--continuation", metavar="TEXT",
        help="the value is the log-probability of this text after the question (vLLM)")  # fmt: skip
    add("--tokenizer", metavar="DIR_OR_ID", help="with --continuation: the model's tokenizer, so "
        "that vLLM or SGLang sends back the log-probabilities of this text alone")  # fmt: skip
    add("--samples", type=int, metavar="K",
        help="the value is the share of K replies that begin with YES: for chats without "
        "logprobs")  # fmt: skip
    add("--concurrency", type=int, default=16, metavar="N", help="requests at once (default: 16)")
    add("--timeout", type=float, default=60.0, metavar="S", help="seconds a request may take")
    add("--max-calls", type=int, metavar="N", help="stop before more requests are answered")
    add("--max-tokens", type=int, metavar="N", help="stop before more tokens are used")
    add("--price", metavar="IN,OUT", help="dollars for a million tokens sent and for a million "
        "received, for --dry-run")  # fmt: skip
    add("--api-extra", metavar="JSON", help="further fields of every request, such as "
        "'{\"max_tokens\": null, \"max_completion_tokens\": 1}'")  # fmt: skip


def read(given: argparse.Namespace, features: str) -> ApiOptions | None:
    """The options, if an endpoint or a batch service is to be asked.

    Raises:
      ValueError: naming what the user can put right.
    """
    in_batch = getattr(given, "prompts", None) is not None
    if given.api_base is None and not in_batch:
        for option in (
            "api_model", "question", "continuation", "tokenizer", "samples", "price", "api_extra"
        ):  # fmt: skip
            if getattr(given, option) is not None:
                raise ValueError(f"--{option.replace('_', '-')} needs --api-base URL")
        return None
    if given.api_model is None or given.question is None:
        option = "--prompts" if in_batch else "--api-base"
        raise ValueError(f"{option} needs --api-model NAME and --question Q")
    if given.continuation is not None and given.samples is not None:
        raise ValueError("give either --continuation or --samples")
    if given.tokenizer is not None and given.continuation is None:
        raise ValueError("--tokenizer needs --continuation TEXT")
    if given.tokenizer is not None and in_batch:
        raise ValueError("--tokenizer needs a server that answers at once, not a batch service")
    answers = [answer.strip() for answer in given.answers.split(",")]
    if len(answers) != 2 or not all(answers):
        raise ValueError(f"--answers must be two words with a comma between, got {given.answers!r}")
    if features not in ("words", "sentences"):
        raise ValueError(f"--features {features} needs the model's tokenizer, not an endpoint")
    replacement = given.replacement or "unk"
    if replacement not in _REPLACEMENTS:
        raise ValueError(f"--replacement {replacement} needs a local model")
    for option in ("samples", "concurrency", "timeout", "max_calls", "max_tokens"):
        value = getattr(given, option)
        if value is not None and not value > 0:
            raise ValueError(f"--{option.replace('_', '-')} must be above 0, got {value}")
    return ApiOptions(
        base=given.api_base,
        model=given.api_model,
        key_variable=given.key_variable or None,
        question=given.question,
        answers=(answers[0], answers[1]),
        continuation=given.continuation,
        tokenizer=given.tokenizer,
        samples=given.samples,
        concurrency=given.concurrency,
        timeout=given.timeout,
        max_calls=given.max_calls,
        max_tokens=given.max_tokens,
        price=_price(given.price),
        extra=_extra(given.api_extra),
        features="words" if features == "words" else "sentences",
        replacement=_REPLACEMENTS[replacement],
    )


def value_of(options: ApiOptions, text: str) -> "ApiValue":
    """The value function of a text that the options describe."""
    from spexjax.models.api.value import Endpoint, api_value

    assert options.base is not None  # else a batch service is asked
    endpoint = Endpoint(
        options.base,
        options.model,
        concurrency=options.concurrency,
        timeout=options.timeout,
        max_calls=options.max_calls,
        max_tokens=options.max_tokens,
        key_variable=options.key_variable,
    )
    return api_value(
        endpoint, text, options.question, options.features, _scorer(options), options.replacement,
        options.extra,
    )  # fmt: skip


def batch_of(options: ApiOptions, text: str) -> "Batch":
    """What a batch service is to be asked about a text."""
    from spexjax.models.api.batch_files import Batch
    from spexjax.models.api.question import Question, spans_of

    spans = spans_of(text, options.features)
    source = Question(text, spans, options.question, options.replacement)
    return Batch(source, options.model, _scorer(options), options.extra)


def _scorer(options: ApiOptions) -> "Scorer":
    from spexjax.models.api.answer_scorers import ServedLogprob
    from spexjax.models.api.scorers import AnswerLogprob, LogOdds, SampledShare

    if options.continuation is not None and options.tokenizer is not None:
        return ServedLogprob(options.continuation, options.tokenizer)
    if options.continuation is not None:
        return AnswerLogprob(options.continuation)
    if options.samples is not None:
        return SampledShare(options.answers[0], options.samples)
    return LogOdds(*options.answers)


def _price(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        sent, received = (float(part) for part in text.split(","))
    except ValueError:
        sent = received = -1.0
    if not (0 <= sent < math.inf and 0 <= received < math.inf):
        raise ValueError(f"--price must be two numbers with a comma between, got {text!r}")
    return sent, received


def _extra(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        extra = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--api-extra is not JSON: {error}") from error
    if not isinstance(extra, dict):
        raise ValueError("--api-extra must be a JSON object")
    return extra
