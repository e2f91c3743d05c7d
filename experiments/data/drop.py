"""DROP: questions on a passage whose answers are counted, added up, sorted or compared.

The official JSON (``drop_dataset_dev.json``; Dua et al. 2019, DROP, NAACL): passages by name, each
with its questions. The answer is a number, a date, or one or more spans of text; further people's
answers stand beside it.
"""

from pathlib import Path
from typing import Literal, NamedTuple

from spexjax.experiments.data.records import Node, read_json

Kind = Literal["number", "date", "span", "spans"]


class Date(NamedTuple):
    """A date of which parts may be unknown: blank here, blank or missing in the file."""

    day: str
    month: str
    year: str


class Answer(NamedTuple):
    """What one person answered; one of the three is filled."""

    number: str
    date: Date
    spans: tuple[str, ...]

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
        return self.spans or (" ".join(part for part in self.date if part),)


class Question(NamedTuple):
    """A question with its answer."""

    id: str
    question: str
    answer: Answer
    validated: tuple[Answer, ...]
    """What others answered; may be empty."""


class Passage(NamedTuple):
    """A text and what is asked about it."""

    name: str
    passage: str
    questions: tuple[Question, ...]


def read_drop(path: str | Path) -> list[Passage]:
    """The passages of a file, in its order.

    Raises:
      DataError: if the file is not in the format; it names the record and the field.
      OSError: if the file cannot be read.
    """
    return [_passage(name, node) for name, node in read_json(path).fields()]


def _passage(name: str, node: Node) -> Passage:
    questions = tuple(_question(item) for item in node.field("qa_pairs").items())
    return Passage(name, node.field("passage").filled(), questions)


def _question(node: Node) -> Question:
    others = node.optional("validated_answers")
    return Question(
        id=node.field("query_id").filled(),
        question=node.field("question").filled(),
        answer=_answer(node.field("answer")),
        validated=() if others is None else tuple(_answer(item) for item in others.items()),
    )


def _answer(node: Node) -> Answer:
    date = node.field("date")
    parts = [date.optional(name) for name in Date._fields]
    answer = Answer(
        number=node.field("number").text(),
        date=Date(*("" if part is None else part.text() for part in parts)),
        spans=tuple(item.filled() for item in node.field("spans").items()),
    )
    if not any(text.strip() for text in answer.texts):
        node.fail("an answer with a number, a date or spans")
    return answer
