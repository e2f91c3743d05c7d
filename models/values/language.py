"""Value functions of questions: masks of a context in, how likely the answer is out.

What comes before the first feature is the same for all masks: its keys and values are computed
once. The rest of the prompt and the answer are batched over all local devices.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool

from spexjax.models.checkpoints.store_key import text_store_key
from spexjax.models.llama.generate import greedy
from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.model import Cache, Llama, LlamaConfig, unembed
from spexjax.models.llama.prompts import Prompt, PromptTemplate, prompt
from spexjax.models.llama.sharding import on_mesh
from spexjax.models.llama.teacher_forcing import Answer, AnswerScore, answer_values
from spexjax.models.text.masking import (
    Features,
    MaskableText,
    Template,
    TooLongError,
    bucket,
    masked_rows,
    split_text,
)
from spexjax.models.text.spans import Span, sentences, words
from spexjax.models.values.batching import MaskedText
from spexjax.models.values.devices import default_rows
from spexjax.models.values.scores import Attention, Hidden
from spexjax.typing import Array

_ALWAYS, _NOTHING = -1, -2
_UNKNOWN = ("[UNK]", "<unk>", "<|unk|>")


@dataclass(eq=False)
class LanguageValue(MaskedText):
    """f(m): the score of an answer after a masked prompt; made by :func:`language_value`.

    Attributes:
      model: the model.
      source: the whole prompt, its features and tokens.
      answer: the text of the answer.
      answer_ids: its tokens.
      others: first tokens of the answers it competes with.
      kind: what the value is.
      start: tokens of the shared prefix.
      template: the tokens behind it, those of the answer but the last included, padded.
      rows: rows per device and batch; halved when a device runs out of memory.
      dtype: computed in.
      program: one batch, compiled once per length, shared by prompts of one bucket.
    """

    model: LanguageModel
    source: MaskableText
    answer: str
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
        what = f"{kind} of {self.answer!r}" if isinstance(kind, str) else str(kind)
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

    def batch(self, length: int, masks: Bool[np.ndarray, "devices rows n_pad"]) -> Array:
        """Values of a batch; see :class:`~spexjax.models.values.batching.BatchedValue`."""
        values = self.program(
            length, self.model.replicated, self._prefix, self.template, self._answer, masks
        )
        if isinstance(self.kind, Attention):
            return values[..., : self.n]
        if self.kind == "token-log-probabilities":
            return values[..., : len(self.answer_ids)]
        return values

    @cached_property
    def _answer(self) -> Answer:
        return padded_answer(self.answer_ids, self.others)

    @cached_property
    def _prefix(self) -> Cache | None:
        """Keys and values of what comes before the first feature, on every device."""
        if self.start == 0:
            return None
        ids = np.zeros((1, bucket(self.start)), np.int32)
        ids[0, : self.start] = self.source.ids[: self.start]
        valid = np.arange(ids.shape[1])[None] < self.start
        program = _prefix_program(self.model.config, self.dtype, self.model.mesh)
        return program(self.model.replicated, ids, valid)


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
    dtype: Any = jnp.float32,
    rows: int | None = None,
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
        of the perplexity), "token-log-probabilities" (a vector), or of its first token "log-odds"
        against all its competitors or the "margin" to the likeliest of them;
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
      dtype: to compute in, float32 or bfloat16.
      rows: rows per device and batch; chosen from the length if not given.

    Returns:
      f with ``f(masks)``, ``f.n``, ``f.words``, ``f.answer``; f(1…1) is the score given the whole
      prompt.

    Raises:
      TooLongError: for a context too long for the model; it is a ValueError.
      ValueError: for an empty context, question or answer, an unknown option, or a tokenizer
        without the token that replaces.
    """
    asked = prompt(model, context, question, template, system)
    source = _source(model, asked, features)
    if not isinstance(score, Hidden | Attention) and score not in get_args(AnswerScore):
        raise ValueError(f"score must be one of {get_args(AnswerScore)}, got {score!r}.")
    if choices and score not in ("log-odds", "margin"):
        raise ValueError("choices are for score = 'log-odds' or 'margin'.")
    text, ids, others = _answer(
        model, asked, source, answer, tuple(choices), truncate, max_new_tokens
    )
    source = _fitting(source, len(ids) - 1, model.config.max_position_embeddings, truncate)
    start = int(np.argmax(source.feature >= 0))
    made = _template(model, source, ids[:-1], start, replacement)
    length = len(np.asarray(made.ids))
    if rows is None:
        rows = default_rows(model.config, length + bucket(start), jax.local_devices()[0])
    return LanguageValue(
        model=model, source=source, answer=text, answer_ids=ids, others=others, kind=score,
        start=start, template=made, rows=rows, dtype=jnp.dtype(dtype),
        program=_program(model.config, jnp.dtype(dtype), score, model.mesh),
    )  # fmt: skip


def padded_answer(ids: Sequence[int], others: Sequence[int] = ()) -> Answer:
    """An answer's tokens, padded so that answers of similar length share compiled programs."""
    fill = (0, bucket(len(ids), least=1) - len(ids))
    rest = list(others) + [-1] * (bucket(len(others), least=1) - len(others))
    return Answer(
        np.pad(np.array(ids, np.int32), fill),
        np.array(len(ids), np.int32),
        np.array(rest, np.int32),
    )


def answer_tokens(model: LanguageModel, text: str, marked: bool, answer: str) -> tuple[int, ...]:
    """The tokens that an answer adds to a prompt.

    A space is put between them where neither has one.

    Raises:
      ValueError: if the answer is empty, or adds no token.
    """
    if not answer.strip():
        raise ValueError("the answer is empty; give one, or None for the model's own.")
    joint = "" if text[-1:].isspace() or answer[0].isspace() or marked else " "
    encode = model.tokenizer.encode
    alone = encode(text, add_special_tokens=not marked).ids
    both = encode(text + joint + answer, add_special_tokens=not marked).ids
    # A tokenizer may merge across the joint; then the answer's own tokens follow the prompt's.
    joined = both[: len(alone)] == alone
    ids = both[len(alone) :] if joined else encode(answer, add_special_tokens=False).ids
    if not ids:
        raise ValueError(f"the tokenizer of {model.name} has no token for the answer {answer!r}.")
    return tuple(ids)


def mask_token(model: LanguageModel) -> str:
    """The replacement "unk" where the tokenizer has a token for the unknown, else "delete"."""
    named = (model.special or {}).get("unk_token")
    known = any(model.tokenizer.token_to_id(t) is not None for t in (named, *_UNKNOWN) if t)
    return "unk" if known else "delete"


def _source(
    model: LanguageModel, asked: Prompt, features: Features | Iterable[Span]
) -> MaskableText:
    """The prompt's tokens, those of the context assigned to features."""
    if isinstance(features, str) and features in ("words", "sentences"):
        spans = (words if features == "words" else sentences)(asked.context)
    elif isinstance(features, str) and features == "tokens":
        found = model.tokenizer.encode(asked.text, add_special_tokens=not asked.marked).offsets
        first, last = len(asked.before), len(asked.before) + len(asked.context)
        spans = [(s - first, e - first) for s, e in found if first <= s < e <= last]
    elif isinstance(features, str):
        raise ValueError(f"features must be one of {get_args(Features)}, got {features!r}.")
    else:
        spans = sorted(features)
        for span in spans:
            if not 0 <= span[0] < span[1] <= len(asked.context):
                raise ValueError(
                    f"Span {span} is not within the context's {len(asked.context)} characters."
                )
    whole = asked.shifted(spans)
    return split_text(asked.text, model.tokenizer, whole, add_special_tokens=not asked.marked)


def _answer(
    model: LanguageModel,
    asked: Prompt,
    source: MaskableText,
    answer: str | None,
    choices: tuple[str, ...],
    truncate: bool,
    max_new_tokens: int,
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The answer's text and tokens, and the first tokens of its competitors."""
    if choices:
        first = [answer_tokens(model, asked.text, asked.marked, c)[0] for c in choices]
        if len(set(first)) < max(len(choices), 2):
            raise ValueError(f"choices must be two or more of different first tokens: {choices}.")
        if answer is None:
            seen = _fitting(source, 0, model.config.max_position_embeddings, truncate)
            answer = choices[int(np.argmax(_next(model, seen.ids)[first]))]
        elif answer not in choices:
            raise ValueError(f"answer must be one of the choices {choices}, got {answer!r}.")
        token = first[choices.index(answer)]
        return answer, (token,), tuple(t for t in first if t != token)
    if answer is not None:
        return answer, answer_tokens(model, asked.text, asked.marked, answer), ()
    room = model.config.max_position_embeddings
    seen = _fitting(source, max_new_tokens, room, truncate)
    ids = tuple(greedy(model.config, model.params, [seen.ids.tolist()], max_new_tokens)[0])
    if not ids:
        raise ValueError(f"{model.name} ends without an answer; give one.")
    return model.tokenizer.decode(list(ids)).strip(), ids, ()


def _next(model: LanguageModel, ids: np.ndarray) -> np.ndarray:
    """Log-probabilities, up to a constant, of the token that follows."""
    padded = np.zeros((1, bucket(len(ids))), np.int32)
    padded[0, : len(ids)] = ids
    return np.asarray(_logits_at(model.config, model.params, padded, len(ids) - 1))


@partial(jax.jit, static_argnums=0)
def _logits_at(config: LlamaConfig, params: Any, ids: Array, place: Array) -> Array:
    hidden, _ = Llama(config).apply({"params": params}, ids)
    return unembed(config, params, hidden[0, place])


def _fitting(source: MaskableText, extra: int, positions: int, truncate: bool) -> MaskableText:
    """The prompt as the model can see it, its last features dropped if need be and allowed."""
    over = len(source.ids) + extra - positions
    if over <= 0:
        return source
    own = np.bincount(source.feature[source.feature >= 0], minlength=source.n)
    from_end = np.cumsum(own[::-1])
    lost = int(np.searchsorted(from_end, over)) + 1
    if not truncate or lost >= source.n:
        fate = "none would be left" if lost >= source.n else f"{lost} would be lost"
        hint = "shorten it" if lost >= source.n else "shorten it, or pass truncate=True"
        raise TooLongError(
            f"the prompt of {len(source.ids)} tokens and its answer exceed the model's {positions} "
            f"positions: of the context's {source.n} features {fate}; {hint}."
        )
    n = source.n - lost
    kept = source.feature < n
    return replace(
        source, spans=source.spans[:n], cut=source.spans[n:], ids=source.ids[kept],
        feature=source.feature[kept], first=source.first[kept],
    )  # fmt: skip


def _template(
    model: LanguageModel, source: MaskableText, tail: Sequence[int], start: int, replacement: str
) -> Template:
    ids = np.concatenate([source.ids[start:], np.array(tail, np.int32)])
    fill = (0, bucket(len(ids)) - len(ids))
    delete = replacement == "delete"
    feature = np.pad(source.feature[start:], (0, len(tail)), constant_values=_ALWAYS)
    first = np.pad(source.first[start:] & (not delete), (0, len(tail)))
    return Template(
        ids=np.pad(ids, fill),
        feature=np.pad(feature, fill, constant_values=_NOTHING),
        first=np.pad(first, fill),
        replacement=np.array(0 if delete else _token(model, replacement), np.int32),
        pad=np.array(0, np.int32),
        attended=np.array(True),
    )


def _token(model: LanguageModel, replacement: str) -> int:
    """The token that replaces a feature."""
    if replacement == "unk":
        named = (model.special or {}).get("unk_token")
        names = (named,) if named else _UNKNOWN
        for name in names:
            token = model.tokenizer.token_to_id(name)
            if token is not None:
                return token
        raise ValueError(
            f"the tokenizer of {model.name} has no token for the unknown; replacement must be "
            "'delete' or the text of a token."
        )
    token = model.tokenizer.token_to_id(replacement)
    if token is not None:
        return token
    ids = model.tokenizer.encode(replacement, add_special_tokens=False).ids
    if len(ids) != 1:
        raise ValueError(f"replacement must be one token, {replacement!r} is {len(ids)}.")
    return ids[0]


@lru_cache(maxsize=32)
def _program(
    config: LlamaConfig, dtype: Any, kind: AnswerScore | Hidden | Attention, mesh: Mesh | None
) -> Callable[..., Array]:
    """One batch: (length, params, prefix, template, answer, masks) to values."""

    def run(
        length: int, params: Any, prefix: Cache | None, template: Template, answer: Answer,
        masks: Array,
    ) -> Array:  # fmt: skip
        rows = masked_rows(template, masks, length)
        return answer_values(
            config, params, rows, answer, kind, masks.shape[-1], prefix, dtype=dtype
        )

    if mesh is not None:
        return on_mesh(run, mesh, 5, 0)
    return jax.pmap(
        run,
        in_axes=(None, 0, 0, None, None, 0),
        static_broadcasted_argnums=0,
        devices=jax.local_devices(),
    )


@lru_cache(maxsize=32)
def _prefix_program(config: LlamaConfig, dtype: Any, mesh: Mesh | None) -> Callable[..., Cache]:
    def run(params: Any, ids: Array, valid: Array) -> Cache:
        # flax types what ``apply`` returns as if collections could come with it.
        out: Any = Llama(config, dtype).apply({"params": params}, ids, valid=valid)
        return out[1]

    if mesh is not None:
        return jax.jit(run)
    return jax.pmap(run, in_axes=(0, None, None), devices=jax.local_devices())
