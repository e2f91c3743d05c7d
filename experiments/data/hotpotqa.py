"""HotpotQA: questions that need sentences of two paragraphs, which people have marked.

The official JSON of the distractor setting (``hotpot_dev_distractor_v1.json``; Yang et al. 2018,
HotpotQA, EMNLP): ten paragraphs, of which most have nothing to do with the question.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from spexjax.experiments.data.records import Count, Filled, read_json

KINDS = ("bridge", "comparison")
LEVELS = ("easy", "medium", "hard")


class Paragraph(NamedTuple):
    """A paragraph of the context."""

    title: str
    sentences: tuple[str, ...]
    """As in the file: joined without anything between them they are the paragraph."""


class Example(NamedTuple):
    """A question with its context and what supports the answer."""

    id: str
    question: str
    answer: str
    kind: str
    """"bridge" or "comparison"."""
    level: str
    paragraphs: tuple[Paragraph, ...]
    """With titles that differ."""
    facts: tuple[tuple[int, int], ...]
    """(paragraph, sentence) of each supporting sentence, each once, in the order of the file."""
    astray: tuple[tuple[str, int], ...]
    """Supporting facts (title, sentence) not in the context, as in the files of the full wiki."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of all paragraphs, one after the other."""
        return tuple(s for paragraph in self.paragraphs for s in paragraph.sentences)

    @property
    def supporting(self) -> tuple[int, ...]:
        """Positions in :attr:`sentences` of the supporting ones, ascending."""
        starts = [0]
        for paragraph in self.paragraphs:
            starts.append(starts[-1] + len(paragraph.sentences))
        return tuple(sorted(starts[paragraph] + sentence for paragraph, sentence in self.facts))


class _Raw(msgspec.Struct):
    """An example as the file has it."""

    id: Filled | Count = msgspec.field(name="_id")
    question: Filled
    answer: Filled
    type: Literal["bridge", "comparison"]
    level: Literal["easy", "medium", "hard"]
    supporting_facts: list[tuple[str, Count]]
    context: list[tuple[Filled, tuple[str, ...]]]

    def __post_init__(self):
        titles = [title for title, _ in self.context]
        if not any(sentences for _, sentences in self.context):
            raise ValueError("There must be paragraphs with sentences")
        if len(set(titles)) < len(titles):
            raise ValueError("Titles of paragraphs must differ")


def read_hotpotqa(path: str | Path) -> list[Example]:
    """The examples of a file, in its order.

    Raises:
      DataError: if the file is not in the format; it names the record and the field.
      OSError: if the file cannot be read.
    """
    return [_example(raw) for raw in read_json(path, list[_Raw])]


def _example(raw: _Raw) -> Example:
    paragraphs = tuple(Paragraph(title, sentences) for title, sentences in raw.context)
    places = {paragraph.title: i for i, paragraph in enumerate(paragraphs)}
    facts: dict[tuple[int, int], None] = {}
    astray: dict[tuple[str, int], None] = {}
    for title, sentence in raw.supporting_facts:
        place = places.get(title)
        if place is not None and sentence < len(paragraphs[place].sentences):
            facts[place, sentence] = None
        else:
            astray[title, sentence] = None
    return Example(
        str(raw.id), raw.question, raw.answer, raw.type, raw.level, paragraphs, tuple(facts),
        tuple(astray),
    )  # fmt: skip
