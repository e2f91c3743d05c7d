"""What a classifier's encoder holds inside: states after a layer, a head's attention."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from spexjax.models.bert.config import Config
from spexjax.models.bert.families import AnyConfig
from spexjax.models.bert.model import Encoder
from spexjax.models.nn.attention import attention_weights
from spexjax.models.nn.precision import precision_of
from spexjax.typing import Array, ArrayLike


def hidden_states(
    config: AnyConfig,
    params: Mapping[str, Any],
    ids: Int[ArrayLike, "batch length"],
    keep: Bool[ArrayLike, "batch length"],
    layer: int,
    dtype: Any = jnp.float32,
) -> Float[Array, "batch length dim"]:
    """The states after ``layer`` layers; 0 gives the normalised embeddings.

    Raises:
      ValueError: if the model has fewer layers.
    """
    if not 0 <= layer <= config.n_layers:
        raise ValueError(f"layer must be 0 to {config.n_layers}, got {layer}.")
    part = Encoder(replace(_encoder(config), n_layers=layer), dtype)
    return jnp.asarray(part.apply({"params": params["encoder"]}, jnp.asarray(ids), keep))


def attention_of(
    config: AnyConfig,
    params: Mapping[str, Any],
    ids: Int[ArrayLike, "batch length"],
    keep: Bool[ArrayLike, "batch length"],
    layer: int,
    head: int,
    query: int = 0,
    dtype: Any = jnp.float32,
) -> Float[Array, "batch length"]:
    """Attention weights of one head, from the token at ``query`` to every token; they sum to 1.

    Args:
      layer: from 0. head: from 0. The others as for :func:`hidden_states`.

    Raises:
      ValueError: if the model has no such layer or head.
    """
    _encoder(config)
    if not 0 <= layer < config.n_layers or not 0 <= head < config.n_heads:
        raise ValueError(
            f"layer and head must be below {config.n_layers} and {config.n_heads}, "
            f"got {layer} and {head}."
        )
    states = hidden_states(config, params, ids, keep, layer, dtype)
    dense = params["encoder"][f"layer_{layer}"]["attention"]
    d = config.dim // config.n_heads
    part = slice(head * d, (head + 1) * d)

    def project(x: Array, name: str) -> Array:
        kernel = jnp.asarray(dense[name]["kernel"][:, part], dtype)
        y = jnp.matmul(x, kernel, precision=precision_of(dtype))
        return (y + jnp.asarray(dense[name]["bias"][part], dtype))[..., None, :, :]

    q, k = project(states[:, query : query + 1], "query"), project(states, "key")
    weights = attention_weights(q, k, jnp.asarray(keep, bool), precision_of(dtype))
    return weights[:, 0, 0]


def _encoder(config: AnyConfig) -> Config:
    """The configuration, if the inside of its family can be read."""
    if not isinstance(config, Config):
        raise ValueError(f"states and attention of {config.family} cannot be read, only logits.")
    return config
