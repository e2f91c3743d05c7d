"""How likely an answer is after a masked prompt, in one teacher-forced pass.

A row holds the prompt and all tokens of the answer but the last; the states before each answer
token give its conditional probability. Only those states meet the vocabulary, so many at a time
that their logits fit a fixed memory.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from spexjax.models.llama.edits import NOTHING, Edits
from spexjax.models.llama.model import Cache, Llama, LlamaConfig, unembed
from spexjax.models.nn.readouts import Attention, Hidden
from spexjax.models.text.masking import MaskedRows
from spexjax.typing import Array, ArrayLike

AnswerScore = Literal[
    "log-probability", "mean-log-probability", "token-log-probabilities", "log-odds", "margin",
    "negative-kl",
]  # fmt: skip

# Logits that are formed at once: 256 MB of float32, in the two parts of narrow parameters.
_LOGITS = 1 << 26


class Answer(NamedTuple):
    """The tokens that are scored.

    Attributes:
      ids: int32 (A,), padded.
      length: how many of them count; may be traced.
      others: int32 (O,), the first tokens of the answers it competes with for "log-odds" and
        "margin", −1 fills up; if there are none it competes with the rest of the vocabulary.
      full: float32 (A, V), log-probabilities of all tokens at each place of the answer given the
        whole input, for "negative-kl"; see :func:`distributions`.
    """

    ids: Int[ArrayLike, "A"]
    length: Int[ArrayLike, ""]
    others: Int[ArrayLike, "O"]
    full: Float[ArrayLike, "A V"] | None = None


def token_log_probabilities(
    config: LlamaConfig,
    params: Mapping[str, Any],
    states: Float[Array, "N A dim"],
    ids: Int[ArrayLike, "A"],
) -> Float[Array, "N A"]:
    """log p(token a | all before), float32, from the state before each token."""

    ids = jnp.broadcast_to(jnp.asarray(ids), states.shape[:2])

    def one(state: Array, token: Array) -> Array:
        logits = unembed(config, params, state)
        return jnp.take(logits, token, axis=-1) - jax.nn.logsumexp(logits, axis=-1)

    at_once = max(_LOGITS // (2 * config.vocab_size), 1)
    flat = (states.reshape(-1, states.shape[-1]), ids.reshape(-1))
    if ids.size <= at_once:
        return jax.vmap(one)(*flat).reshape(ids.shape)
    each = jax.lax.map(lambda pair: one(*pair), flat, batch_size=at_once)
    return each.reshape(ids.shape)


def negative_divergence(
    config: LlamaConfig,
    params: Mapping[str, Any],
    states: Float[Array, "N A dim"],
    full: Float[ArrayLike, "A V"],
) -> Float[Array, "N A"]:
    """−KL(p ‖ q) of each next token: p given the whole input, q from these states; float32."""
    full = jnp.asarray(full)

    def one(state: Array, place: Array) -> Array:
        log_p, log_q = full[place], jax.nn.log_softmax(unembed(config, params, state))
        return -jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)

    places = jnp.broadcast_to(jnp.arange(states.shape[1]), states.shape[:2])
    flat = (states.reshape(-1, states.shape[-1]), places.reshape(-1))
    at_once = max(_LOGITS // (4 * config.vocab_size), 1)
    each = jax.lax.map(lambda pair: one(*pair), flat, batch_size=min(at_once, places.size))
    return each.reshape(places.shape)


def distributions(
    config: LlamaConfig,
    params: Mapping[str, Any],
    row: MaskedRows,
    answer: Answer,
    prefix: Cache | None = None,
    dtype: Any = jnp.float32,
) -> Float[Array, "A V"]:
    """Log-probabilities of all tokens at each place of the answer, float32, of one row."""
    out: Any = Llama(config, dtype).apply(
        {"params": params}, row.ids, valid=row.keep, cache=prefix, packed=True
    )
    states = jnp.take_along_axis(out[0], _places(row, answer)[..., None], axis=1)[0]
    return jax.nn.log_softmax(unembed(config, params, states))


def against_others(
    config: LlamaConfig,
    params: Mapping[str, Any],
    states: Float[Array, "N dim"],
    answer: Answer,
    kind: Literal["log-odds", "margin"],
) -> Float[Array, "N"]:
    """log p(answer) − log Σ p(others) of first tokens, or − max log p(others) for "margin"."""
    logits = unembed(config, params, states)
    token, others = jnp.asarray(answer.ids)[0], jnp.asarray(answer.others)
    vocabulary = jnp.arange(logits.shape[-1])
    named = jnp.any(vocabulary[:, None] == others, axis=1)
    against = jnp.where(jnp.any(others >= 0), named, True) & (vocabulary != token)
    left = jnp.where(against, logits, -jnp.inf)
    rest = jax.nn.logsumexp(left, axis=-1) if kind == "log-odds" else jnp.max(left, axis=-1)
    return jnp.take(logits, token, axis=-1) - rest


def answer_values(
    config: LlamaConfig,
    params: Mapping[str, Any],
    rows: MaskedRows,
    answer: Answer,
    kind: AnswerScore | Hidden | Attention,
    n: int,
    prefix: Cache | None = None,
    edits: Edits = NOTHING,
    dtype: Any = jnp.float32,
    embeddings: Float[Array, "N length dim"] | None = None,
) -> Float[Array, "N *K"]:
    """What ``kind`` asks for of a batch of masked prompts, float32, (N,) or (N, K).

    Args:
      config, params: the model.
      rows: prompts with all tokens of the answer but the last, padding behind; all of their tokens
        are attended to.
      answer: its tokens, A of them with padding.
      kind: a score of the answer: its log-probability, the mean per token, one per token (K = A,
        0 at padding), log-odds or margin, or −Σ KL to the whole input's distribution of each of
        its tokens; or, from the prompt's last token, the residual stream
        after ``layer`` layers (:class:`Hidden`: K = dim, ``position`` counted from the prompt's
        end: 0 is its last token, 1 the one before), or a head's attention to each feature
        (:class:`Attention`: K = n, ``query`` likewise).
      n: number of features, for :class:`Attention`.
      prefix: the cache of what comes before the rows, shared by all.
      edits: what is taken out of the computation.
      dtype: to compute in.
      embeddings: what the model reads in place of the rows' ids, if given.

    Raises:
      ValueError: if there is no such score, layer or head.
    """
    reads = isinstance(kind, Hidden | Attention)
    if isinstance(kind, Hidden | Attention):
        config = _cut(config, kind)
    (hidden, _), seen = Llama(config, dtype).apply(
        {"params": params}, rows.ids if embeddings is None else embeddings, valid=rows.keep,
        cache=prefix, edits=edits, look="weights" if isinstance(kind, Attention) else (),
        packed=True, mutable=["inside"] if reads else [],
    )  # fmt: skip
    index, at = jnp.arange(jnp.asarray(answer.ids).shape[0]), _places(rows, answer)
    if isinstance(kind, Hidden):
        back = at[:, :1] - kind.position
        states = seen["inside"]["last"][0]
        return jnp.take_along_axis(states, back[..., None], axis=1)[:, 0].astype(jnp.float32)
    if isinstance(kind, Attention):
        weights = seen["inside"]["weights"][0]
        weights = weights.reshape(len(weights), config.n_heads, *weights.shape[-2:])[:, kind.head]
        back = (at[:, :1] - kind.query)[..., None]
        own = jnp.take_along_axis(weights, back, axis=1)[:, 0, -rows.ids.shape[1] :]
        member = rows.feature[..., None] == jnp.arange(n)
        products = jnp.einsum("rl,rln->rn", own, member.astype(own.dtype), precision="highest")
        return products.astype(jnp.float32)
    states = jnp.take_along_axis(hidden, at[..., None], axis=1)
    if kind == "log-odds" or kind == "margin":
        return against_others(config, params, states[:, 0], answer, kind)
    counts: Bool[Array, "A"] = index < answer.length
    if kind == "negative-kl":
        assert answer.full is not None  # whoever makes the value function sees to it
        each = negative_divergence(config, params, states, answer.full)
    else:
        each = token_log_probabilities(config, params, states, answer.ids)
    each = jnp.where(counts, each, 0.0)
    if kind == "token-log-probabilities":
        return each
    total = jnp.sum(each, axis=-1)
    return total / answer.length if kind == "mean-log-probability" else total


def _places(rows: MaskedRows, answer: Answer) -> Int[Array, "N A"]:
    """Where the state stands that each of the answer's tokens follows from."""
    ends = jnp.sum(rows.keep, axis=1, dtype=jnp.int32)[:, None]
    # Of a row's l tokens the last that belongs to the prompt stands at l − (length − 1) − 1.
    at = ends - answer.length + jnp.arange(jnp.asarray(answer.ids).shape[0])
    return jnp.clip(at, 0, rows.ids.shape[1] - 1)


def _cut(config: LlamaConfig, kind: Hidden | Attention) -> LlamaConfig:
    """The model up to what is read."""
    layers = kind.layer + isinstance(kind, Attention)
    if kind.layer < 0 or layers > config.n_layers:
        raise ValueError(f"the model has {config.n_layers} layers, no layer {kind.layer}.")
    if isinstance(kind, Attention) and not 0 <= kind.head < config.n_heads:
        raise ValueError(f"the model has {config.n_heads} heads a layer, no head {kind.head}.")
    return replace(config, n_layers=layers)
