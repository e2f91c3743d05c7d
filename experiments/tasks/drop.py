"""DROP as a task: the words of a passage that asks for counting, sorting or arithmetic.

Needs ``--data`` and ``--model``. One question of each passage, the first.
"""

from collections.abc import Iterator

from spexjax.experiments.data import datasets
from spexjax.experiments.tasks import questions
from spexjax.experiments.tasks.item import Item, TaskConfig
from spexjax.experiments.tasks.questions import GROUPS as GROUPS
from spexjax.experiments.tasks.questions import Question
from spexjax.models.text.spans import words


def items(config: TaskConfig) -> Iterator[Item]:
    """Questions of every group of lengths."""

    model = questions.language_model(config)
    found = [
        Question(p.questions[0].id, p.passage, tuple(words(p.passage)), p.questions[0].question)
        for p in datasets.load_drop(config.data)
        if p.questions
    ]
    yield from questions.items(config, found, questions.own_answer(model, "drop"))
