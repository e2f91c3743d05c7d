"""The options of ``spexjax explain`` for models behind an API."""

import argparse
import json
from typing import TYPE_CHECKING, Any

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
    add("--samples", type=int, metavar="K",
        help="the value is the share of K replies that begin with YES: for chats without "
        "logprobs")  # fmt: skip
    add("--concurrency", type=int, default=16, metavar="N", help="requests at once (default: 16)")
    add("--timeout", type=float, default=60.0, metavar="S", help="seconds a request may take")
    add("--max-calls", type=int, metavar="N", help="stop before more requests are answered")
    add("--max-tokens", type=int, metavar="N", help="stop before more tokens are used")
    add("--api-extra", metavar="JSON", help="further fields of every request, such as "
        "'{\"max_tokens\": null, \"max_completion_tokens\": 1}'")  # fmt: skip


def wanted(given: argparse.Namespace) -> bool:
    """Whether an endpoint is to be asked, now or in a batch."""
    return given.api_base is not None or _in_batch(given)


def check(given: argparse.Namespace) -> None:
    """Finds what is wrong with the options before anything slow is imported.

    Raises:
      ValueError: naming what the user can put right.
    """
    if not wanted(given):
        for option in ("api_model", "question", "continuation", "samples", "api_extra"):
            if getattr(given, option) is not None:
                raise ValueError(f"--{option.replace('_', '-')} needs --api-base URL")
        return
    if given.api_model is None or given.question is None:
        option = "--prompts" if _in_batch(given) else "--api-base"
        raise ValueError(f"{option} needs --api-model NAME and --question Q")
    if given.continuation is not None and given.samples is not None:
        raise ValueError("give either --continuation or --samples")
    if len(_answers(given)) != 2 or not all(_answers(given)):
        raise ValueError(f"--answers must be two words with a comma between, got {given.answers!r}")
    if given.features not in ("words", "sentences"):
        raise ValueError(
            f"--features {given.features} needs the model's tokenizer, not an endpoint"
        )
    if given.replacement not in _REPLACEMENTS:
        raise ValueError(f"--replacement {given.replacement} needs a local model")
    for option in ("samples", "concurrency", "timeout", "max_calls", "max_tokens"):
        value = getattr(given, option)
        if value is not None and not value > 0:
            raise ValueError(f"--{option.replace('_', '-')} must be above 0, got {value}")
    _extra(given)


def value_of(given: argparse.Namespace, text: str) -> "ApiValue":
    """The value function of a text that the options describe."""
    from spexjax.models.api.value import Endpoint, api_value

    endpoint = Endpoint(
        given.api_base,
        given.api_model,
        concurrency=given.concurrency,
        timeout=given.timeout,
        max_calls=given.max_calls,
        max_tokens=given.max_tokens,
        key_variable=given.key_variable or None,
    )
    replacement = _REPLACEMENTS[given.replacement]
    return api_value(
        endpoint, text, given.question, given.features, _scorer(given), replacement, _extra(given)
    )


def batch_of(given: argparse.Namespace, text: str) -> "Batch":
    """What a batch service is to be asked about a text."""
    from spexjax.models.api.batch_files import Batch
    from spexjax.models.api.question import Question, spans_of

    replacement = _REPLACEMENTS[given.replacement]
    source = Question(text, spans_of(text, given.features), given.question, replacement)
    return Batch(source, given.api_model, _scorer(given), _extra(given))


def _in_batch(given: argparse.Namespace) -> bool:
    return getattr(given, "prompts", None) is not None


def _scorer(given: argparse.Namespace) -> "Scorer":
    from spexjax.models.api.scorers import AnswerLogprob, LogOdds, SampledShare

    yes, no = _answers(given)
    if given.continuation is not None:
        return AnswerLogprob(given.continuation)
    return LogOdds(yes, no) if given.samples is None else SampledShare(yes, given.samples)


def _answers(given: argparse.Namespace) -> list[str]:
    return [answer.strip() for answer in given.answers.split(",")]


def _extra(given: argparse.Namespace) -> dict[str, Any]:
    if given.api_extra is None:
        return {}
    try:
        extra = json.loads(given.api_extra)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--api-extra is not JSON: {error}") from error
    if not isinstance(extra, dict):
        raise ValueError("--api-extra must be a JSON object")
    return extra
