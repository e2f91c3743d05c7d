"""HotpotQA as a task: sentences of ten titled paragraphs, two or more of which hold the answer.

Needs ``--data`` and ``--model``. Titles are never masked, a masked sentence becomes the
tokenizer's token for the unknown or, where it has none, nothing.
"""

from collections.abc import Iterator

from spexjax.experiments.data import datasets
from spexjax.experiments.data.hotpotqa import Example
from spexjax.experiments.tasks import questions
from spexjax.experiments.tasks.item import Item, TaskConfig
from spexjax.experiments.tasks.questions import GROUPS as GROUPS
from spexjax.experiments.tasks.questions import Question


def items(config: TaskConfig) -> Iterator[Item]:
    """Questions of every group of lengths."""

    model = questions.language_model(config)
    found = [question(e) for e in datasets.load_hotpotqa(config.data)]
    yield from questions.items(config, found, questions.own_answer(model, "hotpotqa"))


def question(example: Example) -> Question:
    """The context as the prompt shows it, ``Title: …`` and ``Content: …`` of each paragraph."""
    parts: list[tuple[str, bool]] = []
    place: list[int] = []  # of each sentence among the parts
    for paragraph in example.paragraphs:
        parts.append((f"Title: {paragraph.title}\nContent: ", False))
        for sentence in paragraph.sentences:
            place.append(len(parts))
            parts.append((sentence, True))
        parts.append(("\n\n", False))
    text, spans, numbers = questions.joined(parts[:-1])
    supporting = [numbers.index(place[s]) for s in example.supporting if place[s] in numbers]
    return Question(example.id, text, spans, example.question, tuple(supporting))
