"""Scaled dot-product attention (Vaswani et al. 2017, eq. 1), its softmax in float32."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from spexjax.typing import Array


def scaled_scores(
    products: Float[Array, "... q k"], keep: Bool[Array, "... #q k"], width: int
) -> Float[Array, "... q k"]:
    """q kᵀ / √d as float32; where ``keep`` is False, the least float, whose softmax is 0.

    Args:
      products: q kᵀ, in any precision.
      keep: bool, broadcast to the products: True for a key that may be seen.
      width: d, of a head.
    """
    scores = products.astype(jnp.float32) * width**-0.5
    return jnp.where(keep, scores, jnp.finfo(jnp.float32).min)


def attend(
    q: Float[Array, "... heads q d"],
    k: Float[Array, "... heads k d"],
    v: Float[Array, "... heads k d"],
    keep: Bool[Array, "... k"],
    weights_dropout: Float[Array, "... heads q k"] | None = None,
    precision: jax.lax.Precision = jax.lax.Precision.DEFAULT,
) -> Float[Array, "... heads q d"]:
    """Scaled dot-product attention, softmax(q kᵀ / √d) v, over the keys that ``keep`` marks.

    The softmax is taken in float32 whatever the inputs are.

    Args:
      q: queries; k, v: keys and values, (..., heads, length, d).
      keep: bool, (..., k), True for a key that may be seen. At least one per row.
      weights_dropout: factors for the attention weights (0 or 1/(1 − rate)), for training.
      precision: of the two products.
    """
    weights = attention_weights(q, k, keep, precision)
    if weights_dropout is not None:
        weights = weights * weights_dropout
    return jnp.matmul(weights.astype(v.dtype), v, precision=precision)


def attend_in_blocks(
    q: Float[Array, "N heads T d"],
    k: Float[Array, "N heads T d"],
    v: Float[Array, "N heads T d"],
    precision: jax.lax.Precision = jax.lax.Precision.DEFAULT,
    block: int = 128,
) -> Float[Array, "N heads T d"]:
    """As :func:`attend` to all keys, one head and ``block`` queries after the other.

    On a CPU the scores of a block stay in its cache, which halves the time at T = 1024.

    Args:
      q, k, v: queries, keys and values; ``block`` divides T.
    """

    def head(parts: tuple[Array, Array, Array]) -> Array:
        queries, keys, values = (a[None] for a in parts)
        keep = jnp.ones(keys.shape[1], bool)

        def mixed(some: Array) -> Array:
            return attend(some[None], keys, values, keep, None, precision)[0]

        blocks = queries.reshape(-1, block, queries.shape[-1])
        return jax.lax.map(mixed, blocks).reshape(parts[0].shape)

    flat = [a.reshape(-1, *a.shape[2:]) for a in (q, k, v)]
    return jax.lax.map(head, (flat[0], flat[1], flat[2])).reshape(q.shape)


def attention_weights(
    q: Float[Array, "... heads q d"],
    k: Float[Array, "... heads k d"],
    keep: Bool[Array, "... k"],
    precision: jax.lax.Precision = jax.lax.Precision.DEFAULT,
) -> Float[Array, "... heads q k"]:
    """softmax(q kᵀ / √d) in float32 over the keys that ``keep`` marks; as for :func:`attend`."""
    scores = jnp.einsum("...hqd,...hkd->...hqk", q, k, precision=precision)
    scores = scaled_scores(scores, keep[..., None, None, :], q.shape[-1])
    return jax.nn.softmax(scores, axis=-1)
