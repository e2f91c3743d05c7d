"""Value functions of texts behind an API: masks become prompts, replies become numbers."""

import asyncio
import dataclasses
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from jaxtyping import Bool, Float

from spexjax.models.api.answer_scorers import ServedLogprob, SglangLogprob, VllmLogprob
from spexjax.models.api.client import Session
from spexjax.models.api.endpoint import ApiError, Endpoint, Meter, check_installed
from spexjax.models.api.in_thread import LOOK_SECONDS, in_thread
from spexjax.models.api.question import Question, spans_of
from spexjax.models.api.scorers import AnswerLogprob, LogOdds, SampledShare, Scorer, in_words
from spexjax.models.text.spans import Span
from spexjax.store.fingerprint import fingerprint
from spexjax.values.calling import PartialValues

__all__ = [
    "AnswerLogprob",
    "ApiError",
    "ApiValue",
    "Endpoint",
    "LogOdds",
    "Question",
    "SampledShare",
    "ServedLogprob",
    "SglangLogprob",
    "VllmLogprob",
    "api_value",
]

_GRACE_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class ApiValue:
    """f(m): the score of an endpoint's reply to a text masked by m; made by :func:`api_value`.

    A call makes requests for all its masks at once, ``endpoint.concurrency`` at a time; until the
    endpoint has given a value, for one mask alone. While requests fail, warnings of the logger
    "spexjax.models.api" say why, by default on stderr. If it breaks off (a ceiling, an error that
    retries do not cure, ctrl-C), what had come by then is handed over in
    :class:`~spexjax.values.PartialValues`, so that a store keeps it.

    Attributes:
      source: text, features and question.
      endpoint: where to ask.
      scorer: what to ask for and what a reply is worth.
      extra: further fields of every request's body; None removes one.
      meter: what has been asked and used so far.
    """

    source: Question
    endpoint: Endpoint
    scorer: Scorer
    extra: Mapping[str, Any] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)

    @property
    def n(self) -> int:
        """The number of features."""
        return len(self.source.spans)

    @property
    def words(self) -> tuple[str, ...]:
        """The features as they stand in the text."""
        return self.source.words

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        where = urlsplit(self.endpoint.base_url).netloc
        return f"{self.endpoint.model} at {where}, {in_words(self.scorer)}"

    @property
    def store_key(self) -> str:
        """Differs with endpoint, model, text, features, question and scoring; holds no key."""
        return fingerprint(
            self.description,
            base_url=self.endpoint.base_url,
            model=self.endpoint.model,
            source=dataclasses.asdict(self.source),
            scorer=[type(self.scorer).__name__, dataclasses.asdict(self.scorer)],  # type: ignore[call-overload]
            extra=self.extra,
        )

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N"]:
        """Values, float32, of masks; True keeps a feature.

        Raises:
          ApiError: if the ``openai`` package is not installed.
          PartialValues: if not all values could be had.
        """
        check_installed()
        values = np.full(len(masks), np.nan, np.float32)
        cause = in_thread(lambda stop: self._all(masks, values, stop))
        if cause is not None:
            raise PartialValues(values, cause)
        return values

    async def _all(
        self, masks: np.ndarray, values: np.ndarray, stop: asyncio.Event
    ) -> BaseException | None:
        """Fills in ``values``; returns what stopped it."""
        failures: list[BaseException] = []
        prompts = [self.source.prompt(mask) for mask in masks]

        async def work(session: Session, rows: Iterator[int]) -> None:
            for row in rows:
                try:
                    scored = await session.score(prompts[row])
                except Exception as error:
                    failures.append(error)
                    stop.set()
                else:
                    values[row] = scored.value
                if stop.is_set():
                    return

        # Neighbours in this order share the longest beginnings, which servers may have cached.
        rows = iter(sorted(range(len(masks)), key=prompts.__getitem__))
        async with Session(self.endpoint, self.scorer, self.extra, self.meter, stop) as session:
            if not self.meter.values:  # an endpoint that is dead, or refuses, shows it soon
                await _finish([work(session, islice(rows, 1))], stop)
            if not stop.is_set():
                size = min(self.endpoint.concurrency, len(masks))
                await _finish([work(session, rows) for _ in range(size)], stop)
        return failures[0] if failures else None

    def report(self) -> str:
        """What this function has cost, and how often an answer was missing, in words."""
        m = self.meter
        text = f"{m.calls:,} calls, {m.tokens:,} tokens, {m.retries:,} retries"
        if m.floored:
            share = m.floored / m.values
            text += (
                f"; in {share:.1%} of {m.values:,} masks an answer was not among the likeliest "
                "tokens and was given the floor"
            )
        return text


async def _finish(work: Iterable[Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Waits for all work; once stopped, for what is under way, which is paid for, but not long."""
    waiting = {asyncio.create_task(one) for one in work}
    while waiting and not stop.is_set():
        _, waiting = await asyncio.wait(waiting, timeout=LOOK_SECONDS)
    if waiting:
        _, waiting = await asyncio.wait(waiting, timeout=_GRACE_SECONDS)
    for left in waiting:
        left.cancel()


def api_value(
    endpoint: Endpoint,
    text: str,
    question: str,
    features: Literal["words", "sentences"] | Iterable[Span] = "words",
    scorer: Scorer | None = None,
    replacement: str = "[UNK]",
    extra: Mapping[str, Any] | None = None,
) -> ApiValue:
    """The value function of a text under a model behind an OpenAI-compatible endpoint.

    Args:
      endpoint: where to ask, and limits.
      text: the text whose features are masked.
      question: asked about it, such as "Is this review positive? Answer True or False."
      features: "words", "sentences", or character spans in order.
      scorer: :class:`LogOdds` of "True" over "False" if None; :class:`AnswerLogprob` or
        :class:`SampledShare` for endpoints and questions of other kinds; :class:`ServedLogprob`
        for an answer under a vLLM or SGLang server whose tokenizer is at hand.
      replacement: stands in for a masked feature.
      extra: further fields of the request's body, such as ``{"seed": 0}``; None as a value
        removes a field that the endpoint does not know.

    Raises:
      ValueError: if the text has no features, or spans are not in order.
    """
    source = Question(text, spans_of(text, features), question, replacement)
    return ApiValue(source, endpoint, scorer or LogOdds(), dict(extra or {}))
