"""What to ask a chat or completion endpoint about a prompt, and the number its reply means."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

CHAT, COMPLETIONS = "chat/completions", "completions"
# What the OpenAI API reports for "very unlikely" instead of a log-probability.
_UNLIKELY = -9999.0


class Unusable(Exception):
    """A reply without what was asked for."""


class Request(NamedTuple):
    """One HTTP request."""

    route: str
    body: dict[str, Any]


class Scored(NamedTuple):
    """The value of one prompt."""

    value: float
    floored: bool = False
    """Whether an answer was missing from the reply and was given the floor."""


class Scorer(Protocol):
    """Turns prompts into requests and replies into numbers. A frozen dataclass."""

    def requests(self, model: str, prompt: str) -> Sequence[Request]:
        """The requests to make for one prompt."""

    def value(self, prompt: str, replies: Sequence[Mapping[str, Any]]) -> Scored:
        """The value of the prompt; raises :class:`Unusable`."""

    def check(self, prompt: str, reply: Mapping[str, Any]) -> None:
        """Raises :class:`Unusable` if one reply lacks what :meth:`value` needs."""


@dataclass(frozen=True)
class LogOdds:
    """log p(yes) − log p(no) of a chat's first token, from its ``top_logprobs``.

    The spellings of an answer ("True", " true") are added up. An answer that is not among the
    ``top`` likeliest tokens is given the smallest log-probability that the reply lists, which is
    an upper bound of its own, or ``floor`` if that is smaller.

    Attributes:
      yes, no: the answers; they should be single tokens of the model.
      top: tokens listed; 20 is the most that hosted endpoints give.
      floor: the most that a missing answer's log-probability is taken for, or None.
    """

    yes: str = "True"
    no: str = "False"
    top: int = 20
    floor: float | None = None

    def requests(self, model: str, prompt: str) -> Sequence[Request]:
        body = _chat(model, prompt, 1) | {"logprobs": True, "top_logprobs": self.top}
        return [Request(CHAT, body)]

    def check(self, prompt: str, reply: Mapping[str, Any]) -> None:
        self.value(prompt, [reply])

    def value(self, prompt: str, replies: Sequence[Mapping[str, Any]]) -> Scored:
        content = part(only_choice(replies[0]).get("logprobs"), "logprobs").get("content")
        if not isinstance(content, list) or not content:
            raise Unusable("the reply has no logprobs")
        listed = part(content[0], "logprobs").get("top_logprobs")
        if not isinstance(listed, list) or not listed:
            raise Unusable("the reply has no top_logprobs")
        found: dict[str, list[float]] = {self.yes.casefold(): [], self.no.casefold(): []}
        smallest = 0.0
        for entry in listed:
            token, logprob = _entry(entry)
            if logprob <= _UNLIKELY:
                continue
            smallest = min(smallest, logprob)
            found.get(token.strip().casefold(), []).append(logprob)
        floor = smallest if self.floor is None else min(smallest, self.floor)
        yes, no = (_logsumexp(v) if v else floor for v in found.values())
        return Scored(yes - no, floored=not all(found.values()))


@dataclass(frozen=True)
class AnswerLogprob:
    """log p(answer | prompt), from a completion endpoint that echoes the prompt's logprobs.

    The sum over the tokens that lie, in whole or in part, within the answer. Served by vLLM;
    hosted chat endpoints do not echo.

    Attributes:
      answer: the continuation, with its leading space if it has one.
    """

    answer: str

    def requests(self, model: str, prompt: str) -> Sequence[Request]:
        body = {
            "model": model,
            "prompt": prompt + self.answer,
            "max_tokens": 1,
            "echo": True,
            "logprobs": 1,
            "temperature": 1,
        }
        return [Request(COMPLETIONS, body)]

    def check(self, prompt: str, reply: Mapping[str, Any]) -> None:
        self.value(prompt, [reply])

    def value(self, prompt: str, replies: Sequence[Mapping[str, Any]]) -> Scored:
        logprobs = part(only_choice(replies[0]).get("logprobs"), "logprobs")
        tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
        if not isinstance(tokens, list) or not isinstance(values, list):
            raise Unusable("the reply has no token_logprobs")
        if len(tokens) != len(values) or not all(isinstance(t, str) for t in tokens):
            raise Unusable("the reply's tokens and token_logprobs do not fit together")
        starts = _offsets(tokens, prompt + self.answer, logprobs.get("text_offset"))
        low, high = len(prompt), len(prompt) + len(self.answer)
        chosen = [
            i
            for i, (start, token) in enumerate(zip(starts, tokens, strict=True))
            if start < high and start + len(token) > low
        ]
        if self.answer.strip() not in "".join(tokens[i] for i in chosen):
            raise Unusable("the reply does not echo the answer's tokens")
        return Scored(math.fsum(number(values[i]) for i in chosen))


@dataclass(frozen=True)
class SampledShare:
    """The share of ``samples`` replies, at temperature 1, that begin with an answer.

    For chats without logprobs. Its standard error is √(p(1 − p)/samples), at most
    0.5/√samples; every sample is a call of its own.

    Attributes:
      answer: what a reply must begin with, in any case.
      samples: replies per mask.
      length: tokens per reply at most.
    """

    answer: str = "True"
    samples: int = 8
    length: int = 8

    def requests(self, model: str, prompt: str) -> Sequence[Request]:
        return [Request(CHAT, _chat(model, prompt, self.length))] * self.samples

    def check(self, prompt: str, reply: Mapping[str, Any]) -> None:
        self._agrees(reply)

    def value(self, prompt: str, replies: Sequence[Mapping[str, Any]]) -> Scored:
        return Scored(sum(map(self._agrees, replies)) / len(replies))

    def _agrees(self, reply: Mapping[str, Any]) -> bool:
        content = part(only_choice(reply).get("message"), "message").get("content")
        if not isinstance(content, str):
            raise Unusable("the reply has no text")
        return content.strip(" \n\t\"'*`(").casefold().startswith(self.answer.casefold())


def in_words(scorer: Scorer) -> str:
    """What a scorer's value is."""
    if isinstance(scorer, LogOdds):
        return f"log-odds of {scorer.yes!r} over {scorer.no!r}"
    if isinstance(scorer, AnswerLogprob):
        return f"log-probability of {scorer.answer!r}"
    if isinstance(scorer, SampledShare):
        return f"share of {scorer.answer!r} in {scorer.samples} samples"
    answer = getattr(scorer, "answer", None)
    return type(scorer).__name__ if answer is None else f"log-probability of {answer!r}"


def tokens_used(reply: Mapping[str, Any]) -> int | None:
    """``usage.total_tokens``, or None if the endpoint does not tell."""
    usage = reply.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    return total if type(total) is int and total >= 0 else None


def _chat(model: str, prompt: str, length: int) -> dict[str, Any]:
    # Temperature 1: some servers report log-probabilities after scaling by it.
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": length,
        "temperature": 1,
    }


def only_choice(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice of a reply; raises :class:`Unusable`."""
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Unusable("the reply has no choices")
    return part(choices[0], "choices")


def part(found: Any, name: str) -> Mapping[str, Any]:
    """A part of a reply that must be an object; raises :class:`Unusable`."""
    if not isinstance(found, Mapping):
        raise Unusable(f"the reply has no {name}")
    return found


def _entry(entry: Any) -> tuple[str, float]:
    token = part(entry, "top_logprobs").get("token")
    if not isinstance(token, str):
        raise Unusable("the reply's top_logprobs have no token")
    return token, number(entry.get("logprob"))


def number(value: Any) -> float:
    """A log-probability of a reply; raises :class:`Unusable`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unusable(f"the reply has {str(value)[:20]!r} for a log-probability")
    return float(value)


def _offsets(tokens: list[str], text: str, told: Any) -> list[int]:
    """Where each token begins in the text; special tokens before it count as before 0."""
    at = "".join(tokens).find(text)
    if at >= 0:
        ends = [-at]
        for token in tokens:
            ends.append(ends[-1] + len(token))
        return ends[:-1]
    if isinstance(told, list) and len(told) == len(tokens) and all(type(o) is int for o in told):
        return told
    raise Unusable("the reply does not echo the prompt")


def _logsumexp(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(v - top) for v in values))
