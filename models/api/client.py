"""Requests to an OpenAI-compatible endpoint: bounded, retried, limited in cost, without secrets."""

import asyncio
import email.utils
import inspect
import json
import logging
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from spexjax.models.api.endpoint import ApiError, Endpoint, Meter
from spexjax.models.api.scorers import COMPLETIONS, Request, Scored, Scorer, Unusable, tokens_used

if TYPE_CHECKING:
    from openai import APIStatusError

_RETRIED = (408, 409, 425, 429)
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
_LONGEST_TOLD_WAIT = 600.0
_ATTEMPTS_BEFORE_SUCCESS = 3
_BYTES_PER_TOKEN = 4
_WAIT_WORTH_TELLING = 1.0
_BETWEEN_LINES = 5.0
_NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached")

# Unless the user configures it, a warning is a line on stderr.
_log = logging.getLogger("spexjax.models.api")


class _Outcome(NamedTuple):
    """What came of one attempt; by default its fate is unknown, and it may have been charged."""

    reply: Mapping[str, Any] | None = None
    why: str = ""
    charged: bool = True
    fatal: bool = False
    wait: float | None = None
    """Seconds to wait before anything more is asked, if the endpoint is only busy."""


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
    _told_at: float = float("-inf")
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
        ways: Sequence[Scorer] = getattr(self.scorer, "ways", (self.scorer,))
        if self.meter.way is not None or len(ways) == 1:
            scored = await self._scored(prompt, ways[self.meter.way or 0], None)
        else:
            scored = await self._first(prompt, ways)
        self.meter.values += 1
        self.meter.floored += scored.floored
        return scored

    async def _scored(self, prompt: str, scorer: Scorer, attempts: int | None) -> Scored:
        requests = scorer.requests(self.endpoint.model, prompt)
        replies = [await self._answered(prompt, one, scorer, attempts) for one in requests]
        return scorer.value(prompt, replies)

    async def _first(self, prompt: str, ways: Sequence[Scorer]) -> Scored:
        """The value by the first way that the endpoint knows, which is remembered."""
        why = []
        for i, way in enumerate(ways):
            try:
                scored = await self._scored(prompt, way, None if i + 1 == len(ways) else 1)
            except ApiError as error:
                why.append(f"{type(way).__name__}: {error}")
                if self.stop.is_set():
                    break
                continue
            self.meter.way = i
            return scored
        raise ApiError("; ".join(why))

    async def _answered(
        self, prompt: str, request: Request, scorer: Scorer, attempts: int | None
    ) -> Mapping[str, Any]:
        """A usable reply to one request, after as many attempts as that takes, or as are given."""
        for attempt in range(1, self.endpoint.attempts + 1):
            self.meter.retries += attempt > 1
            await self._wait_for_limits(prompt)
            outcome = await self._attempt(prompt, request, scorer)
            if outcome.reply is not None:
                return outcome.reply
            limit = self.endpoint.attempts if attempts is None else attempts
            if outcome.wait is None and not self.meter.values:
                # An endpoint that has never given what is needed would only cost more.
                limit = min(limit, _ATTEMPTS_BEFORE_SUCCESS)
            if outcome.fatal or attempt >= limit:
                break
            backoff = min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT)
            backoff *= self._chance.uniform(0.5, 1.0)
            self._tell(outcome, attempt + 1, limit, max(backoff, outcome.wait or 0.0))
            await self._pause(backoff)
        tries = f" ({attempt} attempts)" if attempt > 1 else ""
        raise ApiError(self.endpoint.clean(outcome.why) + tries)

    def _tell(self, outcome: _Outcome, attempt: int, limit: int, seconds: float) -> None:
        """A line on why nothing seems to happen, but not one for every request."""
        now = time.monotonic()
        once_and_short = attempt == 2 and seconds < _WAIT_WORTH_TELLING
        if once_and_short or now < self._told_at + _BETWEEN_LINES:
            return
        self._told_at = now
        why = self.endpoint.clean(outcome.why)
        _log.warning("spexjax: %s; attempt %d of %d in %.1f s", why, attempt, limit, seconds)

    async def _attempt(self, prompt: str, request: Request, scorer: Scorer) -> _Outcome:
        self._under_way += 1
        outcome = _Outcome()
        try:
            outcome = await self._tried(prompt, request, scorer)
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

    async def _tried(self, prompt: str, request: Request, scorer: Scorer) -> _Outcome:
        import openai

        try:
            reply = await self._send(request)
            scorer.check(prompt, reply)
        except Unusable as error:
            return _Outcome(why=str(error))
        except openai.APIStatusError as error:
            return self._refused(error)
        except openai.APITimeoutError as error:
            why = f"no answer within {self.endpoint.timeout:g} s"
            return _Outcome(why=why, charged=not isinstance(error.__cause__, _not_sent()))
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            why = f"no connection to {self.endpoint.base_url}: {cause}"
            return _Outcome(why=why, charged=not isinstance(cause, _not_sent()))
        except openai.OpenAIError as error:
            return _Outcome(why=str(error), charged=False, fatal=True)
        return _Outcome(reply=reply)

    def _refused(self, error: "APIStatusError") -> _Outcome:
        status = error.status_code
        message = str(error.message).removeprefix(f"Error code: {status} - ")
        wait = _retry_after(error.response.headers)
        if wait is not None and wait > _LONGEST_TOLD_WAIT:
            why = f"the endpoint asks to wait for {wait:.0f} s: {message}"
            return _Outcome(why=why, charged=False, fatal=True)
        again = status in _RETRIED or status >= 500
        if status == 429 and wait is None:
            wait = 0.0
        if again and wait is not None:
            self._resume_at = max(self._resume_at, time.monotonic() + wait)
        fatal = not again or error.code in _NO_CREDIT or error.type in _NO_CREDIT
        why = f"the endpoint answers {status}: {message}"
        return _Outcome(why=why, charged=False, fatal=fatal, wait=wait)

    async def _send(self, request: Request) -> Mapping[str, Any]:
        body = {**request.body, **self.extra}
        body = {name: value for name, value in body.items() if value is not None}
        if request.route.startswith("/"):  # a server's own route, beside the OpenAI-compatible ones
            root = self.endpoint.base_url.rstrip("/").removesuffix("/v1")
            reply = await self._client.post(root + request.route, body=body, cast_to=object)
            if not isinstance(reply, Mapping):
                raise Unusable("the reply is not a JSON object")
            return reply
        route = self._client.chat.completions
        if request.route == COMPLETIONS:
            route = self._client.completions
        accepted = inspect.signature(route.create).parameters  # the rest are a server's own
        known = {name: body.pop(name) for name in request.body if name in body and name in accepted}
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


def _not_sent() -> tuple[type[Exception], ...]:
    """Errors before a request has left; openai stands on httpx, from version 3 on httpx2."""
    there = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    names = ("ConnectError", "ConnectTimeout", "PoolTimeout")
    return tuple(getattr(module, name) for module in there for name in names)


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
