"""Attention heads as features: masks of heads in, how likely the answers are out.

A masked head adds nothing; the heads that a layer keeps are scaled by H / kept, so that what they
add has the size it had (:func:`~spexjax.models.llama.head_factors`). No prefix can be shared,
since other heads leave other keys and values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.models.checkpoints.store_key import text_store_key
from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.model import LlamaConfig, head_factors
from spexjax.models.llama.prompts import Prompt
from spexjax.models.llama.teacher_forcing import Answer, AnswerScore, answer_values
from spexjax.models.nn.devices import Devices
from spexjax.models.text.masking import MaskedRows, TooLongError, bucket
from spexjax.models.values.answers import answer_tokens, padded_answer
from spexjax.models.values.batching import BatchedValue
from spexjax.models.values.devices import rows_for
from spexjax.typing import Array, ArrayLike

# One row of :class:`MaskedRows`: what its fields are to be, without the axis N.
_Row = tuple[Int[ArrayLike, "length"], Bool[ArrayLike, "length"], Int[ArrayLike, "length"]]


class Asked(NamedTuple):
    """A prompt and the answer that is scored; ``choices`` compete with it for log-odds.

    A prompt that :func:`~spexjax.models.llama.prompts.prompt` made may spell the tokens that begin
    it; to a text the tokenizer adds them.
    """

    prompt: str | Prompt
    answer: str
    choices: tuple[str, ...] = ()


@dataclass(eq=False)
class HeadValue(BatchedValue):
    """f(m): the mean score of answers with the heads that m keeps; made by :func:`head_value`.

    Attributes:
      model: the model.
      asked: what is scored.
      tokens: of each prompt with its answer but the last token.
      answers: the tokens of each answer, and its competitors.
      kind: the score.
      layers: the layers whose heads are features; the others stay whole.
      rows: rows per device and batch; halved when a device runs out of memory.
      dtype: computed in.
      program: one batch of masks and one prompt.
    """

    model: LanguageModel
    asked: tuple[Asked, ...]
    tokens: tuple[tuple[int, ...], ...]
    answers: tuple[Answer, ...]
    kind: AnswerScore
    layers: tuple[int, ...]
    rows: int
    dtype: Any
    program: Callable[..., Array]

    @property
    def n(self) -> int:
        """The number of heads."""
        return len(self.layers) * self.model.config.n_heads

    @property
    def words(self) -> tuple[str, ...]:
        """``L2 H5``: head 5 of layer 2, both from 0."""
        heads = range(self.model.config.n_heads)
        return tuple(f"L{layer} H{head}" for layer in self.layers for head in heads)

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        return f"{self.model.name}, mean {self.kind} of {len(self.asked)} answers, by heads"

    @property
    def store_key(self) -> str:
        """What a journal of calls knows this function by: all that its values depend on."""
        return text_store_key(
            self.model, self.description, tokens=self.tokens, answers=self.answers,
            kind=self.kind, layers=self.layers, dtype=str(self.dtype),
        )  # fmt: skip

    @property
    def longest(self) -> int:
        """Tokens of the longest row, with padding."""
        return bucket(max(len(ids) for ids in self.tokens))

    def lengths(self, masks: Bool[np.ndarray, "N n"]) -> Int[np.ndarray, "N"]:
        """Tokens of the longest prompt, whatever the mask."""
        return np.full(len(masks), self.longest)

    def batch(self, length: int, masks: Array) -> Array:
        """Values of a batch; see :class:`BatchedValue`."""
        values = [self.program(None, shared, masks) for shared in self._shared]
        return sum(values[1:], values[0])

    def trimmed(self, values: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows"]:
        """The mean, from the sum."""
        return values / np.float32(len(self.asked))

    @cached_property
    def _shared(self) -> list[tuple]:
        """For each prompt what the program needs beside masks, on the devices."""
        params, layers = self.model.placed, np.array(self.layers, np.int32)
        asked = zip(map(_row, self.tokens), self.answers, strict=True)
        return [(params, *self.devices.put((row, answer, layers))) for row, answer in asked]


def _row(tokens: Sequence[int]) -> _Row:
    """A prompt, padded."""
    length = bucket(len(tokens))
    there = np.arange(length) < len(tokens)
    ids = np.pad(np.array(tokens, np.int32), (0, length - len(tokens)))
    return ids, there, np.full(length, -1, np.int32)


def head_value(
    model: LanguageModel,
    asked: Sequence[Asked],
    score: AnswerScore = "log-probability",
    layers: Sequence[int] | None = None,
    dtype: Any = jnp.float32,
    rows: int | None = None,
) -> HeadValue:
    """The value function of a model's attention heads on some questions.

    Args:
      model: the model.
      asked: prompts and answers; f is the mean of their scores.
      score: a number for every answer: "log-probability", "mean-log-probability", or "log-odds" or
        "margin" among its choices.
      layers: whose heads are features; all if not given.
      dtype: to compute in, float32 or bfloat16.
      rows: rows per device and batch; chosen from the length if not given.

    Raises:
      TooLongError: if a prompt is too long for the model; it is a ValueError.
      ValueError: if nothing is asked, an answer is empty, a layer does not exist, or the score is
        a vector.
    """
    c = model.config
    if not asked:
        raise ValueError("there must be at least one prompt and answer.")
    if score == "token-log-probabilities":
        raise ValueError(f"score must be a number for every answer, not {score!r}.")
    chosen = tuple(range(c.n_layers) if layers is None else layers)
    if not chosen or not set(chosen) <= set(range(c.n_layers)) or len(set(chosen)) < len(chosen):
        raise ValueError(f"layers must be different ones of 0 to {c.n_layers - 1}, got {chosen}.")
    tokens, answers = [], []
    for one in asked:
        asks = one.prompt if isinstance(one.prompt, Prompt) else Prompt("", one.prompt, "")
        ids = answer_tokens(model, asks.text, asks.marked, one.answer)
        others: list[int] = []
        if score in ("log-odds", "margin"):
            ids = ids[:1]
            first = [answer_tokens(model, asks.text, asks.marked, c)[0] for c in one.choices]
            others = [token for token in first if token != ids[0]]
        row = (*model.encode(asks.text, asks.marked), *ids[:-1])
        if len(row) > c.max_position_embeddings:
            raise TooLongError(
                f"{len(row)} tokens of prompt and answer exceed the model's "
                f"{c.max_position_embeddings} positions."
            )
        tokens.append(row)
        answers.append(padded_answer(ids, others))
    length = bucket(max(len(row) for row in tokens))
    if rows is None:
        rows = rows_for(model, (c, length))
    return HeadValue(
        model, tuple(asked), tuple(tokens), tuple(answers), score, chosen, rows,
        jnp.dtype(dtype), _program(c, jnp.dtype(dtype), score, model.devices),
    )  # fmt: skip


@lru_cache(maxsize=32)
def _program(
    config: LlamaConfig, dtype: Any, kind: AnswerScore, devices: Devices
) -> Callable[..., Array]:
    """(None, (params, one row, answer, layers), masks) to values."""

    def run(_: None, params: Any, row: _Row, answer: Answer, layers: Array, masks: Array) -> Array:
        count = masks.shape[0]
        heads = masks[:, : layers.shape[0] * config.n_heads].reshape(count, -1, config.n_heads)
        kept = jnp.ones((count, config.n_layers, config.n_heads), bool)
        kept = kept.at[:, layers].set(heads)
        batch = MaskedRows(*(jnp.broadcast_to(a, (count, *jnp.shape(a))) for a in row))
        return answer_values(
            config, params, batch, answer, kind, 0, head_mask=head_factors(kept), dtype=dtype
        )

    return devices.compile(run)
