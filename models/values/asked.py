"""Questions of which components are explained: prompts and answers as padded rows of tokens."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.prompts import Prompt
from spexjax.models.llama.teacher_forcing import Answer, AnswerScore
from spexjax.models.text.answers import answer_tokens
from spexjax.models.text.masking import TooLongError, bucket
from spexjax.models.values.answers import padded_answer
from spexjax.typing import ArrayLike

# What the fields of :class:`MaskedRows` are to be, without the axis N.
Row = tuple[Int[ArrayLike, "length"], Bool[ArrayLike, "length"], Int[ArrayLike, "length"]]


class Asked(NamedTuple):
    """A prompt and the answer that is scored.

    A prompt that :func:`~spexjax.models.llama.prompts.prompt` made may spell the tokens that begin
    it; to a text the tokenizer adds them.

    Attributes:
      prompt, answer: what is read and what is scored.
      choices: compete with the answer for log-odds.
      other: the prompt from which ablated activations are taken, with ``ablation="resample"``.
    """

    prompt: str | Prompt
    answer: str
    choices: tuple[str, ...] = ()
    other: str | Prompt | None = None


class Rows(NamedTuple):
    """Questions as tokens.

    Attributes:
      tokens: of each prompt with its answer but the last token.
      answers: the tokens of each answer, and its competitors.
      prompts: how many tokens each prompt has.
    """

    tokens: tuple[tuple[int, ...], ...]
    answers: tuple[Answer, ...]
    prompts: tuple[int, ...]


def questions_of(model: LanguageModel, asked: Sequence[Asked], score: AnswerScore) -> Rows:
    """The tokens of questions.

    Raises:
      TooLongError: if a prompt is too long for the model; it is a ValueError.
      ValueError: if nothing is asked, an answer is empty, or the score is a vector.
    """
    if not asked:
        raise ValueError("there must be at least one prompt and answer.")
    if score == "token-log-probabilities":
        raise ValueError(f"score must be a number for every answer, not {score!r}.")
    tokens, answers, prompts = [], [], []
    for one in asked:
        asks = prompt_of(one.prompt)
        ids = answer_tokens(model, asks.text, asks.marked, one.answer)
        others: list[int] = []
        if score in ("log-odds", "margin"):
            ids = ids[:1]
            first = [answer_tokens(model, asks.text, asks.marked, c)[0] for c in one.choices]
            others = [token for token in first if token != ids[0]]
        before = model.encode(asks.text, asks.marked)
        row = (*before, *ids[:-1])
        if len(row) > model.config.max_position_embeddings:
            raise TooLongError(
                f"{len(row)} tokens of prompt and answer exceed the model's "
                f"{model.config.max_position_embeddings} positions."
            )
        tokens.append(row)
        answers.append(padded_answer(ids, others))
        prompts.append(len(before))
    return Rows(tuple(tokens), tuple(answers), tuple(prompts))


def prompt_of(given: str | Prompt) -> Prompt:
    """A prompt of which all is one text."""
    return given if isinstance(given, Prompt) else Prompt("", given, "")


def row_of(tokens: Sequence[int]) -> Row:
    """One row, padded."""
    length = bucket(len(tokens))
    there = np.arange(length) < len(tokens)
    ids = np.pad(np.array(tokens, np.int32), (0, length - len(tokens)))
    return ids, there, np.full(length, -1, np.int32)
