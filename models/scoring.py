"""From logits to one number per row: what a value function explains."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from spexjax.typing import Array, ArrayLike

Score = Literal["logit", "log-odds", "probability", "margin"]


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
    """One number per row of logits.

    Args:
      logits: float32, (..., K).
      label: the class c, 0 ≤ c < K; may be traced.
      kind: "logit", "log-odds", "probability" or "margin"; all but the first need K ≥ 2.

    Raises:
      ValueError: if ``kind`` is unknown or compares classes of which there is one.
    """
    if kind not in get_args(Score):
        raise ValueError(f"score must be one of {get_args(Score)}, got {kind!r}.")
    if kind != "logit" and jnp.shape(logits)[-1] < 2:
        raise ValueError(f"score = {kind!r} needs two classes or more; use 'logit'.")
    functions = {"logit": logit, "log-odds": log_odds, "probability": probability, "margin": margin}
    return functions[kind](logits, label)


def _others(logits: Float[ArrayLike, "... K"], label: Int[ArrayLike, ""]) -> Float[Array, "... K"]:
    """The logits with −∞ at the class itself."""
    logits = jnp.asarray(logits)
    return jnp.where(jnp.arange(logits.shape[-1]) == jnp.asarray(label), -jnp.inf, logits)
