"""Questions about contexts as items, for the tasks that ask a language model.

Items are grouped by their number of features. A context that is too long for the model is left
out. The value is the log-probability per token of the model's own answer to the whole prompt.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from spexjax.experiments.tasks.item import Item, TaskConfig, chosen
from spexjax.models.llama.language import LanguageModel, load_language_model
from spexjax.models.nn.precision import default_dtype
from spexjax.models.text.masking import TooLongError
from spexjax.models.text.spans import Span
from spexjax.models.values.language import LanguageValue, language_value, mask_token

SIZES = ((8, 15), (16, 31), (32, 63), (64, 127), (128, 255), (256, 511))
GROUPS = tuple(f"{low}-{high}" for low, high in SIZES)


class Question(NamedTuple):
    """A context, its features, and a question.

    Attributes:
      name: tells it from the others of its data set.
      context: the text that is masked.
      spans: its features.
      question: what is asked.
      supporting: the features known to support the answer; None if nobody marked them.
    """

    name: str
    context: str
    spans: tuple[Span, ...]
    question: str
    supporting: tuple[int, ...] | None = None


def language_model(config: TaskConfig) -> LanguageModel:
    """The model that a task asks for.

    Raises:
      ValueError: if none is named: the embedded model knows only the words of its own questions.
    """

    if config.model is None:
        raise ValueError(
            f"task {config.name!r} needs a language model: --model FOLDER, or its id on the hub."
        )
    return load_language_model(config.model, config.dtype or default_dtype())


def own_answer(model: LanguageModel, template: str) -> Callable[[Question], LanguageValue]:
    """The value functions of questions: the log-probability per token of the model's answer."""
    return lambda q: language_value(
        model, q.context, q.question, features=q.spans, score="mean-log-probability",
        template=template, replacement=mask_token(model),
    )  # fmt: skip


def items(
    config: TaskConfig,
    questions: Sequence[Question],
    value: Callable[[Question], LanguageValue],
) -> Iterator[Item]:
    """``per_group`` questions of every group, in an order drawn with the seed.

    Args:
      config: which are wanted.
      questions: all there are.
      value: the value function of one; one that is too long is left out.
    """
    order = np.random.default_rng(config.seed).permutation(len(questions))
    for group in chosen(config, GROUPS):
        low, high = SIZES[GROUPS.index(group)]
        left = config.per_group
        for place in order:
            one = questions[int(place)]
            if left == 0:
                break
            if not low <= len(one.spans) <= high:
                continue
            try:
                f = value(one)
            except TooLongError:
                continue
            if f.n != len(one.spans):  # two features share a token
                continue
            left -= 1
            yield Item(one.name, group, f.n, f, one.supporting, f.words)


def joined(parts: Sequence[tuple[str, bool]]) -> tuple[str, tuple[Span, ...], tuple[int, ...]]:
    """Texts one after the other, and the spans of those that are features.

    Args:
      parts: texts, and whether each is a feature. Blanks at the ends of a feature do not belong
        to it; one of nothing else is none.

    Returns:
      the text, the spans, and the number of the part that each belongs to.
    """
    at, spans, numbers = 0, [], []
    for number, (text, feature) in enumerate(parts):
        inner = text.strip()
        if feature and inner:
            start = at + text.index(inner)
            spans.append((start, start + len(inner)))
            numbers.append(number)
        at += len(text)
    return "".join(text for text, _ in parts), tuple(spans), tuple(numbers)
