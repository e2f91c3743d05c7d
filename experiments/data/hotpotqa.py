"""HotpotQA: questions that need sentences of two paragraphs, which people have marked.

The official JSON of the distractor setting (``hotpot_dev_distractor_v1.json``; Yang et al. 2018,
HotpotQA, EMNLP): ten paragraphs, of which most have nothing to do with the question.
"""

from pathlib import Path
from typing import NamedTuple

from spexjax.experiments.data.records import Node, read_json

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


def read_hotpotqa(path: str | Path) -> list[Example]:
    """The examples of a file, in its order.

    Raises:
      DataError: if the file is not in the format; it names the record and the field.
      OSError: if the file cannot be read.
    """
    return [_example(node) for node in read_json(path).items()]


def _example(node: Node) -> Example:
    context = node.field("context")
    paragraphs = tuple(_paragraph(item) for item in context.items())
    titles = [paragraph.title for paragraph in paragraphs]
    if not any(paragraph.sentences for paragraph in paragraphs):
        context.fail("paragraphs with sentences")
    if len(set(titles)) < len(titles):
        context.fail("paragraphs with titles that differ")
    facts: dict[tuple[int, int], None] = {}
    astray: dict[tuple[str, int], None] = {}
    for item in node.field("supporting_facts").items():
        name, number = item.pair()
        title, sentence = name.text(), number.number()
        place = titles.index(title) if title in titles else -1
        if place >= 0 and sentence < len(paragraphs[place].sentences):
            facts[place, sentence] = None
        else:
            astray[title, sentence] = None
    return Example(
        id=node.field("_id").name(),
        question=node.field("question").filled(),
        answer=node.field("answer").filled(),
        kind=node.field("type").one_of(KINDS),
        level=node.field("level").one_of(LEVELS),
        paragraphs=paragraphs,
        facts=tuple(facts),
        astray=tuple(astray),
    )


def _paragraph(node: Node) -> Paragraph:
    title, sentences = node.pair()
    return Paragraph(title.filled(), tuple(item.text() for item in sentences.items()))
