"""DROP: questions on a passage whose answers are counted, added up, sorted or compared.

The official JSON (``drop_dataset_dev.json``; Dua et al. 2019, DROP, NAACL): passages by name, each
with its questions. The answer is a number, a date, or one or more spans of text; further people's
answers stand beside it.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from spexjax.experiments.data.records import Filled, read_named

Kind = Literal["number", "date", "span", "spans"]


class Date(msgspec.Struct, frozen=True):
    """A date of which parts may be unknown: blank here, blank or missing in the file."""

    day: str = ""
    month: str = ""
    year: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What one person answered; one of the three is filled."""

    number: str
    date: Date
    spans: tuple[Filled, ...]

    def __post_init__(self):
        if not any(text.strip() for text in self.texts):
            raise ValueError("An answer must have a number, a date or spans")

    @property
    def kind(self) -> Kind:
        """What it is: the first of number, spans and date that is filled, as in DROP's scorer."""
        if self.number:
            return "number"
        if self.spans:
            return "spans" if len(self.spans) > 1 else "span"
        return "date"

    @property
    def texts(self) -> tuple[str, ...]:
        """The answer as text: one, or one per span."""
        if self.number:
            return (self.number,)
        date = (self.date.day, self.date.month, self.date.year)
        return self.spans or (" ".join(part for part in date if part),)


class Question(msgspec.Struct, frozen=True):
    """A question with its answer."""

    id: Filled = msgspec.field(name="query_id")
    question: Filled
    answer: Answer
    validated: tuple[Answer, ...] = msgspec.field(name="validated_answers", default=())
    """What others answered; may be empty."""


class Passage(NamedTuple):
    """A text and what is asked about it."""

    name: str
    passage: str
    questions: tuple[Question, ...]


class _Raw(msgspec.Struct):
    passage: Filled
    qa_pairs: tuple[Question, ...]


def read_drop(path: str | Path) -> list[Passage]:
    """The passages of a file, in its order.

    Raises:
      DataError: if the file is not in the format; it names the record and the field.
      OSError: if the file cannot be read.
    """
    found = read_named(path, _Raw)
    return [Passage(name, raw.passage, raw.qa_pairs) for name, raw in found.items()]
