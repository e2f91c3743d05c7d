"""Riddles as a task: which words make a model call a statement true or false?

Needs ``--data`` and ``--model``. The value is the log-odds of "True" against "False", so that
positive coefficients speak for "True".
"""

from collections.abc import Iterator

from spexjax.experiments.data import datasets
from spexjax.experiments.tasks import questions
from spexjax.experiments.tasks.item import Item, TaskConfig
from spexjax.experiments.tasks.questions import GROUPS as GROUPS
from spexjax.experiments.tasks.questions import Question
from spexjax.models.text.spans import words
from spexjax.models.values.language import language_value, mask_token


def items(config: TaskConfig) -> Iterator[Item]:
    """Riddles of every group of lengths."""

    model = questions.language_model(config)
    found = [
        Question(f"riddle-{i}", r.context, tuple(words(r.context)), r.question)
        for i, r in enumerate(datasets.load_riddles(config.data))
    ]
    yield from questions.items(
        config,
        found,
        lambda q: language_value(
            model, q.context, q.question, "True", features=q.spans, score="log-odds",
            template="true-false", choices=("True", "False"), replacement=mask_token(model),
        ),
    )  # fmt: skip
