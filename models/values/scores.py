"""What a value function explains: a number, or a vector, per row of a batch.

A :data:`Score` of one class is a number; "logits" are all K of them. :class:`Hidden` and
:class:`Attention` read the inside of an encoder, one number per unit or per feature.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from spexjax.models.bert.families import AnyConfig, apply
from spexjax.models.bert.inside import attention_of, hidden_states
from spexjax.models.nn.readouts import Attention, Hidden
from spexjax.models.text.masking import MaskedRows
from spexjax.typing import Array, ArrayLike

Score = Literal["logit", "log-odds", "probability", "margin", "logits"]


def logit(logits: Float[ArrayLike, "... K"], label: Int[ArrayLike, ""]) -> Float[Array, "..."]:
    """The logit z_c of class c = ``label``."""
    return jnp.take(jnp.asarray(logits), jnp.asarray(label), axis=-1)


def log_odds(logits: Float[ArrayLike, "... K"], label: Int[ArrayLike, ""]) -> Float[Array, "..."]:
    """log p_c − log(1 − p_c) = z_c − log Σ_{i≠c} exp z_i, without forming p."""
    return logit(logits, label) - jax.nn.logsumexp(_others(logits, label), axis=-1)


def probability(
    logits: Float[ArrayLike, "... K"], label: Int[ArrayLike, ""]
) -> Float[Array, "..."]:
    """p_c = exp z_c / Σ_i exp z_i."""
    return logit(jax.nn.softmax(jnp.asarray(logits), axis=-1), label)


def margin(logits: Float[ArrayLike, "... K"], label: Int[ArrayLike, ""]) -> Float[Array, "..."]:
    """z_c − max_{i≠c} z_i, positive where c is predicted. For two classes, the log-odds."""
    return logit(logits, label) - jnp.max(_others(logits, label), axis=-1)


def score(
    logits: Float[ArrayLike, "... K"], label: Int[ArrayLike, ""], kind: Score = "logit"
) -> Float[Array, "..."]:
    """One number per row of logits, or the logits themselves.

    Args:
      logits: float32, (..., K).
      label: the class c, 0 ≤ c < K; may be traced. "logits" does without.
      kind: "logit", "log-odds", "probability", "margin" or "logits"; those that compare classes
        need K ≥ 2.

    Raises:
      ValueError: if ``kind`` is unknown or compares classes of which there is one.
    """
    if kind not in get_args(Score):
        raise ValueError(f"score must be one of {get_args(Score)}, got {kind!r}.")
    if kind == "logits":
        return jnp.asarray(logits)
    if kind != "logit" and jnp.shape(logits)[-1] < 2:
        raise ValueError(f"score = {kind!r} needs two classes or more; use 'logit'.")
    functions = {"logit": logit, "log-odds": log_odds, "probability": probability, "margin": margin}
    return functions[kind](logits, label)


def outputs(
    config: AnyConfig,
    params: Mapping[str, Any],
    rows: MaskedRows,
    label: Int[ArrayLike, ""],
    kind: Score | Hidden | Attention,
    n: int,
    dtype: Any = jnp.float32,
) -> Float[Array, "N *K"]:
    """What ``kind`` asks for of a batch of masked texts, float32, (N,) or (N, K).

    Args:
      config, params: the classifier.
      rows: the batch.
      label: the class that a score is of.
      kind: a score, or what to read of the inside.
      n: number of features, for :class:`Attention`.
      dtype: to compute in.

    Raises:
      ValueError: if there is no such score, layer, head or position.
    """
    length = rows.ids.shape[-1]
    position = getattr(kind, "position", getattr(kind, "query", 0))
    if not 0 <= position < length:
        raise ValueError(f"position must be 0 to {length - 1}, got {position}.")
    if isinstance(kind, Hidden):
        states = hidden_states(config, params, rows.ids, rows.keep, kind.layer, dtype)
        return states[:, kind.position].astype(jnp.float32)
    if isinstance(kind, Attention):
        weights = attention_of(
            config, params, rows.ids, rows.keep, kind.layer, kind.head, kind.query, dtype
        )
        # A product with 0s and 1s sums in a fixed order, which scattered additions would not.
        member = rows.feature[..., None] == jnp.arange(n)
        return jnp.einsum("rl,rln->rn", weights, member.astype(jnp.float32), precision="highest")
    return score(apply(config, params, rows.ids, rows.keep, dtype), label, kind)


def _others(logits: Float[ArrayLike, "... K"], label: Int[ArrayLike, ""]) -> Float[Array, "... K"]:
    """The logits with −∞ at the class itself."""
    logits = jnp.asarray(logits)
    return jnp.where(jnp.arange(logits.shape[-1]) == jnp.asarray(label), -jnp.inf, logits)
