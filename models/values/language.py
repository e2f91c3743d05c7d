"""Value functions of questions: masks of a context in, how likely the answer is out.

What comes before the first feature is the same for all masks: its keys and values are computed
once. The rest of the prompt and the answer are batched over all local devices.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from spexjax.models.checkpoints.store_key import text_store_key
from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.model import Cache, Llama
from spexjax.models.llama.prompts import PromptTemplate, prompt
from spexjax.models.llama.teacher_forcing import (
    Answer,
    AnswerScore,
    answer_values,
    distributions,
)
from spexjax.models.nn.devices import Devices
from spexjax.models.text.masking import (
    Features,
    MaskableText,
    Template,
    bucket,
    masked_rows,
    warn_of_unknown,
)
from spexjax.models.text.spans import Span
from spexjax.models.values.answers import answer_span as span_of
from spexjax.models.values.answers import chosen_answer, padded_answer
from spexjax.models.values.batching import MaskedText
from spexjax.models.values.contexts import context_source, fitting, mask_token, masked_template
from spexjax.models.values.devices import rows_for
from spexjax.models.values.relaxed import derivatives, language_program
from spexjax.models.values.scores import Attention, Hidden
from spexjax.typing import Array

__all__ = ["LanguageValue", "language_value", "mask_token"]


@dataclass(eq=False)
class LanguageValue(MaskedText):
    """f(m): the score of an answer after a masked prompt; made by :func:`language_value`.

    Attributes:
      model: the model.
      source: the whole prompt, its features and tokens.
      answer: the text of the answer.
      span: the part of it that is scored; None for all of it.
      answer_ids: the tokens that are scored.
      others: first tokens of the answers it competes with.
      kind: what the value is.
      start: tokens of the shared prefix.
      template: the tokens behind it, those of the answer up to the last that is scored included,
        padded.
      rows: rows per device and batch; halved when a device runs out of memory.
      dtype: computed in.
      program: one batch, compiled once per length, shared by prompts of one bucket.
    """

    model: LanguageModel
    source: MaskableText
    answer: str
    span: str | None
    answer_ids: tuple[int, ...]
    others: tuple[int, ...]
    kind: AnswerScore | Hidden | Attention
    start: int
    template: Template
    rows: int
    dtype: Any
    program: Callable[..., Array]

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        kind = self.kind
        said = f"{self.answer!r}" if self.span is None else f"{self.span!r} in {self.answer!r}"
        what = f"{kind} of {said}" if isinstance(kind, str) else str(kind)
        return f"{self.model.name}, {what}"

    @property
    def store_key(self) -> str:
        """What a journal of calls knows this function by: all that its values depend on."""
        return text_store_key(
            self.model,
            f"{self.description}: {self.source.text[:40]}",
            text=self.source.text,
            spans=self.source.spans,
            template=self.template,
            prefix=self.source.ids[: self.start],
            answer=self.answer_ids,
            others=self.others,
            kind=self.kind,
            dtype=str(self.dtype),
        )

    def row_cost(self, length: int) -> float:
        """Those of the layers' matrix products, on CPUs."""
        on_cpus = self.devices.local[0].platform == "cpu"
        return 2.0 * self.model.config.weights_of_layers * length if on_cpus else 0.0

    @cached_property
    def shared(self) -> tuple:
        """What the program needs beside masks, on the devices."""
        answer = self.devices.put(padded_answer(self.answer_ids, self.others))
        template = self.devices.put(self.template)
        if self.kind == "negative-kl":
            config, params = self.model.config, self.model.placed_in(self.dtype)
            whole = self.devices.put(np.ones((1, bucket(self.n)), bool))
            made = _full_program(config, self.dtype, self.devices)
            answer = answer._replace(full=made(params, self._prefix, template, answer, whole))
        return (
            self.model.placed_in(self.dtype),
            self._prefix,
            template,
            answer,
        )

    def value_and_gradient(
        self, shares: Float[np.ndarray, "N n"], /
    ) -> tuple[Float[np.ndarray, "N *K"], Float[np.ndarray, "N n *K"]]:
        """See :mod:`~spexjax.models.values.relaxed`."""
        program = language_program(self.model.config, self.dtype, self.kind, self.devices)
        return derivatives(self, program, shares)

    def trimmed(self, values: Float[np.ndarray, "rows *K"]) -> Float[np.ndarray, "rows *K"]:
        """Values without what stands for padding."""
        if isinstance(self.kind, Attention):
            return values[..., : self.n]
        if self.kind == "token-log-probabilities":
            return values[..., : len(self.answer_ids)]
        return values

    @cached_property
    def _prefix(self) -> Cache | None:
        """Keys and values of what comes before the first feature, on the devices."""
        ids = self.source.ids[: self.start]
        params = self.model.placed_in(self.dtype)
        return prefix_cache(self.model.config, params, ids, self.dtype, self.devices)


def language_value(
    model: LanguageModel,
    context: str,
    question: str,
    answer: str | None = None,
    features: Features | Iterable[Span] = "sentences",
    score: AnswerScore | Hidden | Attention = "log-probability",
    template: str | PromptTemplate | None = None,
    replacement: str = "unk",
    choices: Sequence[str] = (),
    system: str | None = None,
    truncate: bool = False,
    max_new_tokens: int = 32,
    dtype: Any = None,
    rows: int | None = None,
    answer_span: str | None = None,
) -> LanguageValue:
    """The value function of a question about a context under a language model.

    Args:
      model: the model.
      context: what is masked.
      question: what is asked about it.
      answer: whose likelihood is the value; the model's own greedy one to the whole prompt if not
        given (with ``choices``: the likeliest of them).
      features: "sentences" or "words" of the context, "tokens", or character spans of it; what no
        span covers is never masked.
      score: "log-probability" of the answer, "mean-log-probability" per token (minus the logarithm
        of the perplexity), "token-log-probabilities" (a vector), "negative-kl" (−Σ KL(p ‖ p_m) of
        the distribution of each of its tokens, p being that given the whole prompt), or of its
        first token "log-odds" against all its competitors or the "margin" to the likeliest of them;
        :class:`~spexjax.models.nn.readouts.Hidden` or
        :class:`~spexjax.models.nn.readouts.Attention` for the inside, see
        :func:`~spexjax.models.llama.teacher_forcing.answer_values`. Higher is likelier.
      template: how to ask; see :func:`~spexjax.models.llama.prompts.prompt`.
      replacement: what a masked feature becomes: "unk", the tokenizer's token for the unknown;
        "delete", nothing, what follows moves up; or the text of any one token.
      choices: the answers that compete in "log-odds" or "margin", of different first tokens; the
        rest of the vocabulary if not given.
      system: a system message, for models that chat.
      truncate: drop the last features of a context that is too long for the model, instead of
        refusing it.
      max_new_tokens: at most so many are generated where no answer is given.
      dtype: to compute in, float32 or bfloat16; that of the parameters if not given.
      rows: rows per device and batch; chosen from the length if not given.
      answer_span: score this part of the answer alone, which must be in it once, given the rest
        up to there.

    Returns:
      f with ``f(masks)``, ``f.n``, ``f.words``, ``f.answer``; f(1…1) is the score given the whole
      prompt.

    Raises:
      TooLongError: for a context too long for the model; it is a ValueError.
      ValueError: for an empty context, question or answer, an unknown option, or a tokenizer
        without the token that replaces.
    """
    dtype = jnp.dtype(model.dtype if dtype is None else dtype)
    asked = prompt(model, context, question, template, system)
    source = context_source(model, asked, features)
    if not isinstance(score, Hidden | Attention) and score not in get_args(AnswerScore):
        raise ValueError(f"score must be one of {get_args(AnswerScore)}, got {score!r}.")
    if choices and score not in ("log-odds", "margin"):
        raise ValueError("choices are for score = 'log-odds' or 'margin'.")
    warn_of_unknown(source, model.tokenizer, model.name)
    text, ids, others = chosen_answer(
        model, asked, source, answer, tuple(choices), truncate, max_new_tokens, dtype
    )
    known: tuple[int, ...] = ()
    if answer_span is not None:
        if choices:
            raise ValueError("answer_span is not for choices, of which one token is scored.")
        first, last = span_of(model, ids, answer_span, text)
        known, ids = ids[:first], ids[first:last]
    tail = (*known, *ids[:-1])
    source = fitting(source, len(tail), model.config.max_position_embeddings, truncate)
    start = int(np.argmax(source.feature >= 0))
    made = masked_template(model, source, tail, start, replacement)
    length = len(np.asarray(made.ids))
    if rows is None:
        rows = rows_for(model, (model.config, length + bucket(start)), dtype=dtype)
    return LanguageValue(
        model=model, source=source, answer=text, span=answer_span, answer_ids=ids,
        others=others, kind=score, start=start, template=made, rows=rows, dtype=dtype,
        program=_program(model.config, dtype, score, model.devices),
    )  # fmt: skip


@lru_cache(maxsize=32)
def _program(
    config: LlamaConfig, dtype: Any, kind: AnswerScore | Hidden | Attention, devices: Devices
) -> Callable[..., Array]:
    """One batch: (length, (params, prefix, template, answer), masks) to values."""

    def run(
        length: int, params: Any, prefix: Cache | None, template: Template, answer: Answer,
        masks: Array,
    ) -> Array:  # fmt: skip
        rows = masked_rows(template, masks, length)
        return answer_values(
            config, params, rows, answer, kind, masks.shape[-1], prefix, dtype=dtype
        )

    return devices.compile(run)


@lru_cache(maxsize=32)
def _full_program(config: LlamaConfig, dtype: Any, devices: Devices) -> Callable[..., Array]:
    """What is said of the whole prompt: (params, prefix, template, answer, mask) to (A, V)."""

    def run(
        params: Any, prefix: Cache | None, template: Template, answer: Answer, mask: Array
    ) -> Array:
        return distributions(config, params, masked_rows(template, mask), answer, prefix, dtype)

    return devices.compile_once(run)


def prefix_cache(
    config: LlamaConfig, params: Any, ids: Int[np.ndarray, "S"], dtype: Any, devices: Devices
) -> Cache | None:
    """Keys and values of tokens that all rows begin with, on the devices; None if there are none.

    Args:
      config: the geometry.
      params: the parameters on the devices.
      ids: the tokens.
      dtype: to compute in.
      devices: where.
    """
    if len(ids) == 0:
        return None
    padded = np.zeros((1, bucket(len(ids))), np.int32)
    padded[0, : len(ids)] = ids
    valid = np.arange(padded.shape[1])[None] < len(ids)
    return _prefix_program(config, dtype, devices)(params, *devices.put((padded, valid)))


@lru_cache(maxsize=32)
def _prefix_program(config: LlamaConfig, dtype: Any, devices: Devices) -> Callable[..., Cache]:
    def run(params: Any, ids: Array, valid: Array) -> Cache:
        # flax types what ``apply`` returns as if collections could come with it.
        out: Any = Llama(config, dtype).apply({"params": params}, ids, valid=valid, packed=True)
        return out[1]

    return devices.compile_once(run)
