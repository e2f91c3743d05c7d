"""Questions as files: the requests of a design for a batch service, and values from its answers.

The format is that of OpenAI's Batch API, one JSON object a line, which other hosted services take
too and vLLM's ``run-batch`` works off on GPUs of one's own.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from spexjax.masks.design import Design
from spexjax.models.api.question import Question
from spexjax.models.api.scorers import (
    AnswerLogprob,
    LogOdds,
    SampledShare,
    Scorer,
    Unusable,
    in_words,
)

_SCORERS: dict[str, Any] = {s.__name__: s for s in (LogOdds, AnswerLogprob, SampledShare)}


@dataclass(frozen=True)
class Batch:
    """What a model behind a batch service is asked about the masks of a design.

    Attributes:
      source: text, features and question.
      model: the model's name there.
      scorer: what to ask for and what a reply is worth.
      extra: further fields of every request's body; None removes one.
    """

    source: Question
    model: str
    scorer: Scorer
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        return f"{self.model} in a batch, {in_words(self.scorer)}"

    def to_json(self) -> dict[str, Any]:
        """All of it, as :meth:`from_json` takes it."""
        scorer: Any = self.scorer
        return {
            "source": dataclasses.asdict(self.source),
            "model": self.model,
            "scorer": [type(scorer).__name__, dataclasses.asdict(scorer)],
            "extra": dict(self.extra),
        }

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> "Batch":
        """What :meth:`to_json` gave.

        Raises:
          ValueError: if it is something else.
        """
        try:
            kind, settings = raw["scorer"]
            source = dict(raw["source"])
            source["spans"] = tuple((int(start), int(end)) for start, end in source["spans"])
            scorer = _SCORERS[kind](**settings)
            return Batch(Question(**source), raw["model"], scorer, raw["extra"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"the questions of a batch cannot be read: {error!r}.") from error

    def write(
        self, design: Design, path: str | Path, rows: Bool[np.ndarray, "N"] | None = None
    ) -> int:
        """Writes the requests for the masks of a design, or for some of them; their number.

        Raises:
          ValueError: if the design has another number of features.
          FileExistsError: if the file is there.
        """
        count = 0
        with Path(path).open("x", encoding="utf-8") as file:
            for line in self._requests(design, rows):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                count += 1
        return count

    def read(
        self, design: Design, paths: Iterable[str | Path]
    ) -> tuple[Float[np.ndarray, "N"], dict[str, int]]:
        """Values, float32, from files of answers in any order; NaN where there is none.

        Returns:
          The values, and why some lack, with the number of requests each.

        Raises:
          ValueError: if a file is not of answers, or of answers to another design.
        """
        name, replies = self._name(design), {}
        why: dict[str, int] = {}
        for path in paths:
            for number, line in enumerate(_lines(path), 1):
                identity = str(line.get("custom_id", ""))
                if not identity.startswith(name):
                    raise ValueError(
                        f"{path} line {number} answers another design or question: its custom_id "
                        f"is {identity[:40]!r}, here they begin with {name!r}."
                    )
                body, problem = _reply(line)
                if body is None:
                    why[problem] = why.get(problem, 0) + 1
                else:
                    replies[identity] = body
        values = np.full(len(design), np.nan, np.float32)
        for row, mask in enumerate(design.masks()):
            prompt = self.source.prompt(mask)
            count = len(self.scorer.requests(self.model, prompt))
            found = [replies.get(f"{name}{row}-{sample}") for sample in range(count)]
            there = [reply for reply in found if reply is not None]
            if len(there) == count:
                try:
                    values[row] = self.scorer.value(prompt, there).value
                except Unusable as error:
                    why[str(error)] = why.get(str(error), 0) + 1
        return values, why

    def _requests(
        self, design: Design, rows: Bool[np.ndarray, "N"] | None
    ) -> Iterator[dict[str, Any]]:
        name = self._name(design)
        for row, mask in enumerate(design.masks()):
            if rows is not None and not rows[row]:
                continue
            asked = self.scorer.requests(self.model, self.source.prompt(mask))
            for sample, request in enumerate(asked):
                body = {k: v for k, v in {**request.body, **self.extra}.items() if v is not None}
                yield {
                    "custom_id": f"{name}{row}-{sample}",
                    "method": "POST",
                    "url": f"/v1/{request.route}",
                    "body": body,
                }

    def _name(self, design: Design) -> str:
        """Begins every custom_id, so that no answer is taken for that to another question."""
        if design.n != len(self.source.spans):
            raise ValueError(
                f"the design has n = {design.n}, the text {len(self.source.spans)} features."
            )
        told = json.dumps(self.to_json(), sort_keys=True).encode()
        return f"{hashlib.sha256(told + design.packed.tobytes()).hexdigest()[:12]}-"


def _lines(path: str | Path) -> Iterator[Mapping[str, Any]]:
    with Path(path).open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                line = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path} line {number} is not JSON: {error}.") from error
            if not isinstance(line, Mapping):
                raise ValueError(f"{path} line {number} is not a JSON object.")
            yield line


def _reply(line: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """The body of an answer, or why there is none."""
    response, error = line.get("response"), line.get("error")
    if error or not isinstance(response, Mapping):
        return None, f"error {str(error)[:200]}"
    status, body = response.get("status_code", 200), response.get("body")
    if status != 200 or not isinstance(body, Mapping):
        return None, f"status {status}"
    return body, ""
