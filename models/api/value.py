"""Value functions of texts behind an API: masks become prompts, replies become numbers."""

import asyncio
import dataclasses
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from jaxtyping import Bool, Float

from spexjax.models.api.client import ApiError, Endpoint, Meter, Session
from spexjax.models.api.scorers import AnswerLogprob, LogOdds, SampledShare, Scorer
from spexjax.models.text.spans import Span, sentences, words
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
    "api_value",
]

_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Question:
    """A text whose features can be masked, and what is asked about it.

    Attributes:
      text: the text.
      spans: the characters [start, end) of each feature, in order.
      question: follows the text after an empty line; nothing if empty.
      replacement: stands in for a masked feature; the empty string deletes it, and one space.
    """

    text: str
    spans: tuple[Span, ...]
    question: str
    replacement: str = "[UNK]"

    @property
    def words(self) -> tuple[str, ...]:
        """The features as they stand in the text."""
        return tuple(self.text[start:end] for start, end in self.spans)

    @property
    def cut(self) -> tuple[Span, ...]:
        """Features beyond the model's last position; an endpoint does not say, so none."""
        return ()

    def prompt(self, mask: Bool[np.ndarray, "n"]) -> str:
        """The prompt in which the features that ``mask`` switches off are replaced."""
        out, at = [], 0
        for (start, end), kept in zip(self.spans, mask.tolist(), strict=True):
            out.append(self.text[at:start])
            piece = self.text[start:end] if kept else self.replacement
            if not piece and out[-1].endswith(" "):
                out[-1] = out[-1][:-1]
            out.append(piece)
            at = end
        text = "".join([*out, self.text[at:]])
        return f"{text}\n\n{self.question}" if self.question else text


@dataclass(frozen=True, eq=False)
class ApiValue:
    """f(m): the score of an endpoint's reply to a text masked by m; made by :func:`api_value`.

    A call makes requests for all its masks at once, ``endpoint.concurrency`` at a time. If it
    breaks off (a ceiling, an error that retries do not cure, ctrl-C), what had come by then is
    handed over in :class:`~spexjax.values.PartialValues`, so that a store keeps it.

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
        scorer = self.scorer
        if isinstance(scorer, LogOdds):
            what = f"log-odds of {scorer.yes!r} over {scorer.no!r}"
        elif isinstance(scorer, AnswerLogprob):
            what = f"log-probability of {scorer.answer!r}"
        elif isinstance(scorer, SampledShare):
            what = f"share of {scorer.answer!r} in {scorer.samples} samples"
        else:
            what = type(scorer).__name__
        return f"{self.endpoint.model} at {urlsplit(self.endpoint.base_url).netloc}, {what}"

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
          PartialValues: if not all values could be had.
        """
        values = np.full(len(masks), np.nan, np.float32)
        cause = _in_thread(lambda stop: self._all(masks, values, stop))
        if cause is not None:
            raise PartialValues(values, cause)
        return values

    async def _all(
        self, masks: np.ndarray, values: np.ndarray, stop: asyncio.Event
    ) -> BaseException | None:
        """Fills in ``values``; returns what stopped it."""
        left = iter(range(len(masks)))
        failures: list[BaseException] = []

        async def work(session: Session) -> None:
            while not stop.is_set():
                row = next(left, None)
                if row is None:
                    return
                try:
                    scored = await session.score(self.source.prompt(masks[row]))
                except Exception as error:
                    failures.append(error)
                    stop.set()
                else:
                    values[row] = scored.value

        async with Session(self.endpoint, self.scorer, self.extra, self.meter, stop) as session:
            size = min(self.endpoint.concurrency, len(masks))
            workers = [asyncio.create_task(work(session)) for _ in range(size)]
            waiting = set(workers)
            while waiting and not stop.is_set():
                _, waiting = await asyncio.wait(waiting, timeout=_LOOK_SECONDS)
            if waiting:  # these requests have been paid for: let them finish, within reason
                _, waiting = await asyncio.wait(waiting, timeout=_GRACE_SECONDS)
            for worker in waiting:
                worker.cancel()
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


def _in_thread(
    run: Callable[[asyncio.Event], Any],
) -> BaseException | None:
    """Runs a coroutine in a thread of its own, since the caller's may have a loop already.

    Ctrl-C sets the event; a second one does not wait for requests under way.
    """
    outcome: list[BaseException | None] = [None]
    started, finished = threading.Event(), threading.Event()
    handle: dict[str, Any] = {}

    async def main() -> None:
        handle["stop"], handle["loop"] = asyncio.Event(), asyncio.get_running_loop()
        handle["task"] = asyncio.current_task()
        started.set()
        outcome[0] = await run(handle["stop"])

    def target() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            outcome[0] = error
        started.set()
        finished.set()

    threading.Thread(target=target, daemon=True).start()
    interrupted: KeyboardInterrupt | None = None
    # Not Thread.join: interrupted, it takes the thread for ended on Python 3.11.
    while not finished.is_set():
        try:
            while not finished.wait(_LOOK_SECONDS):
                pass
        except KeyboardInterrupt as error:
            started.wait()
            action = handle["task"].cancel if interrupted else handle["stop"].set
            interrupted = error
            with suppress(RuntimeError):  # the loop has just ended by itself
                handle["loop"].call_soon_threadsafe(action)
    return interrupted or outcome[0]


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
        :class:`SampledShare` for endpoints and questions of other kinds.
      replacement: stands in for a masked feature.
      extra: further fields of the request's body, such as ``{"seed": 0}``; None as a value
        removes a field that the endpoint does not know.

    Raises:
      ValueError: if the text has no features, or spans are not in order.
    """
    if isinstance(features, str):
        if features not in ("words", "sentences"):
            raise ValueError(f"features must be 'words', 'sentences' or spans, got {features!r}.")
        spans = (words if features == "words" else sentences)(text)
    else:
        spans = [(int(span[0]), int(span[1])) for span in features]
    if not spans or not re.search(r"\S", text):
        raise ValueError("the text has no features to mask.")
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    ordered = all(a <= b for a, b in zip(ends, starts, strict=True))
    if not ordered or any(a >= b for a, b in spans):
        raise ValueError("features must be spans of the text, in order, that do not overlap.")
    source = Question(text, tuple(spans), question, replacement)
    return ApiValue(source, endpoint, scorer or LogOdds(), dict(extra or {}))
