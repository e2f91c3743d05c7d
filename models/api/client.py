"""Requests to an OpenAI-compatible endpoint: bounded, retried, limited in cost, without secrets."""

import asyncio
import email.utils
import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from spexjax.models.api.scorers import COMPLETIONS, Request, Scored, Scorer, Unusable, tokens_used

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

_RETRIED = (408, 409, 425, 429)
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
_LONGEST_TOLD_WAIT = 600.0
_UNUSABLE_BEFORE_SUCCESS = 3
_BYTES_PER_TOKEN = 4


class ApiError(RuntimeError):
    """The endpoint refuses, fails for good, or would cost more than allowed; names no key."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, how hard, and how much it may cost.

    Attributes:
      base_url: such as ``https://api.openai.com/v1`` or ``http://localhost:8000/v1``.
      model: the model's name there.
      concurrency: requests under way at once.
      timeout: seconds for one request.
      attempts: tries per request before giving up.
      max_calls: stop before more requests than this have been answered, or may have been.
      max_tokens: stop before more tokens than this have been used, prompts and replies together.
      key_variable: the environment variable that holds the key; local servers need none.

    Raises:
      ValueError: if a number is out of range or the URL is not plain http(s).
    """

    base_url: str
    model: str
    concurrency: int = 16
    timeout: float = 60.0
    attempts: int = 8
    max_calls: int | None = None
    max_tokens: int | None = None
    key_variable: str = "OPENAI_API_KEY"

    def __post_init__(self) -> None:
        for name in ("concurrency", "timeout", "attempts", "max_calls", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}.")
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must begin with http:// or https:// and name a host.")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                "base_url must hold no password or query: the key is read from the environment "
                f"variable {self.key_variable}."
            )

    def client(self) -> "AsyncOpenAI":
        """A client with the key of the environment; retries and limits are ours.

        Raises:
          ApiError: if the ``openai`` package is not installed.
        """
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            raise ApiError(
                'endpoints need the openai package: pip install "spexjax[api]"'
            ) from error
        return AsyncOpenAI(
            api_key=os.environ.get(self.key_variable) or "none",
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=0,
        )

    def clean(self, message: str) -> str:
        """A message without the key."""
        key = os.environ.get(self.key_variable)
        message = message.replace(key, "***") if key else message
        return " ".join(message.split())[:500]


@dataclass
class Meter:
    """What has been asked and used so far."""

    calls: int = 0
    """Requests that were answered, or whose fate is unknown."""
    tokens: int = 0
    retries: int = 0
    values: int = 0
    floored: int = 0
    """Values for which an answer was missing."""


class _Outcome(NamedTuple):
    """What came of one attempt; by default its fate is unknown, and it may have been charged."""

    reply: Mapping[str, Any] | None = None
    why: str = ""
    charged: bool = True
    fatal: bool = False
    unusable: bool = False


@dataclass
class Session:
    """One round of requests; lives within one event loop.

    Attributes:
      endpoint, scorer, extra: as of :class:`~spexjax.models.api.ApiValue`.
      meter: counts, shared with earlier rounds.
      stop: once set, nothing is waited for or tried again.
    """

    endpoint: Endpoint
    scorer: Scorer
    extra: Mapping[str, Any]
    meter: Meter
    stop: asyncio.Event
    _client: Any = None
    _under_way: int = 0
    _resume_at: float = 0.0
    _largest: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _chance: random.Random = field(default_factory=random.Random)

    async def __aenter__(self) -> "Session":
        self._client = self.endpoint.client()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def score(self, prompt: str) -> Scored:
        """The value of one prompt.

        Raises:
          ApiError: if it cannot be had.
        """
        requests = self.scorer.requests(self.endpoint.model, prompt)
        replies = [await self._answered(prompt, request) for request in requests]
        scored = self.scorer.value(prompt, replies)
        self.meter.values += 1
        self.meter.floored += scored.floored
        return scored

    async def _answered(self, prompt: str, request: Request) -> Mapping[str, Any]:
        """A usable reply to one request, after as many attempts as that takes."""
        outcome, attempt = _Outcome(), 0
        for attempt in range(self.endpoint.attempts):
            self.meter.retries += attempt > 0
            await self._wait_for_limits(prompt)
            outcome = await self._attempt(prompt, request)
            if outcome.reply is not None:
                return outcome.reply
            # An endpoint that has never given what is needed would only cost more.
            hopeless = not self.meter.values and attempt + 1 >= _UNUSABLE_BEFORE_SUCCESS
            if outcome.fatal or (outcome.unusable and hopeless):
                break
            backoff = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)
            await self._pause(backoff * self._chance.uniform(0.5, 1.0))
        tries = f" ({attempt + 1} attempts)" if attempt else ""
        raise ApiError(self.endpoint.clean(outcome.why) + tries)

    async def _attempt(self, prompt: str, request: Request) -> "_Outcome":
        self._under_way += 1
        outcome = _Outcome()
        try:
            outcome = await self._tried(prompt, request)
        finally:  # also when cancelled: then the fate of the request is unknown
            self._under_way -= 1
            if outcome.charged:
                used = tokens_used(outcome.reply) if outcome.reply else None
                used = self._estimate(prompt) if used is None else used
                self.meter.calls += 1
                self.meter.tokens += used
                self._largest = max(self._largest, used)
            async with self._changed:
                self._changed.notify_all()
        return outcome

    async def _tried(self, prompt: str, request: Request) -> "_Outcome":
        import openai

        try:
            reply = await self._send(request)
            self.scorer.check(prompt, reply)
        except Unusable as error:
            return _Outcome(why=str(error), unusable=True)
        except openai.APIStatusError as error:
            return self._refused(error)
        except openai.APITimeoutError:
            return _Outcome(why=f"no answer within {self.endpoint.timeout:g} s")
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            sent = "Connect" not in type(cause).__name__
            why = f"no connection to {self.endpoint.base_url}: {cause}"
            return _Outcome(why=why, charged=sent)
        except openai.OpenAIError as error:
            return _Outcome(why=str(error), charged=False, fatal=True)
        return _Outcome(reply=reply)

    def _refused(self, error: "APIStatusError") -> "_Outcome":
        status, message = error.status_code, str(error.message)
        wait = _retry_after(error.response.headers)
        if wait is not None and wait > _LONGEST_TOLD_WAIT:
            why = f"the endpoint asks to wait for {wait:.0f} s: {message}"
            return _Outcome(why=why, charged=False, fatal=True)
        again = status in _RETRIED or status >= 500
        if again and (wait is not None or status == 429):
            self._resume_at = max(self._resume_at, time.monotonic() + (wait or 0.0))
        fatal = not again or error.code == "insufficient_quota"
        return _Outcome(why=f"the endpoint answers {status}: {message}", charged=False, fatal=fatal)

    async def _send(self, request: Request) -> Mapping[str, Any]:
        body = {**request.body, **self.extra}
        body = {name: value for name, value in body.items() if value is not None}
        route = self._client.chat.completions
        if request.route == COMPLETIONS:
            route = self._client.completions
        known = {name: body.pop(name) for name in request.body if name in body}
        response = await route.with_raw_response.create(**known, extra_body=body or None)
        try:
            reply = json.loads(response.http_response.content)
        except (ValueError, RecursionError) as error:
            raise Unusable("the reply is not JSON") from error
        if not isinstance(reply, Mapping):
            raise Unusable("the reply is not a JSON object")
        return reply

    async def _wait_for_limits(self, prompt: str) -> None:
        """Waits out a rate limit that any request met, and stops before a ceiling is passed."""
        while (pause := self._resume_at - time.monotonic()) > 0:
            await self._pause(pause + self._chance.uniform(0, 0.1))
        async with self._changed:
            while ceiling := self._ceiling(prompt):
                if not self._under_way:
                    raise ApiError(f"the ceiling of {ceiling} is reached")
                await self._changed.wait()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stop.wait(), seconds)
        except TimeoutError:
            return
        raise ApiError("stopped")

    def _ceiling(self, prompt: str) -> str:
        """What one more request would exceed if all under way count, or nothing."""
        limits, meter = self.endpoint, self.meter
        if limits.max_calls is not None and meter.calls + self._under_way >= limits.max_calls:
            return f"{limits.max_calls:,} calls"
        ahead = (self._under_way + 1) * max(self._largest, self._estimate(prompt))
        if limits.max_tokens is not None and meter.tokens + ahead > limits.max_tokens:
            return f"{limits.max_tokens:,} tokens"
        return ""

    def _estimate(self, prompt: str) -> int:
        return len(prompt.encode()) // _BYTES_PER_TOKEN + 1


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from ``retry-after-ms`` or ``Retry-After``, a number or a date."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * scale
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if seconds == seconds:
            return max(seconds, 0.0)
    return None
