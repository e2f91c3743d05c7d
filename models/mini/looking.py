"""Where attention starts when the embedded models that answer are trained."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.rotary import rotary
from spexjax.typing import Array


def looking_back(
    config: LlamaConfig, strength: float, pairs: int
) -> tuple[Float[Array, "dim"], Float[Array, "dim"]]:
    """Biases of queries and keys by which head h looks h + 1 tokens back.

    A key's bias is the same at all positions, a query's is that of the position h + 1 earlier: the
    rotation makes a kernel of them.

    Args:
      config: the geometry.
      strength: of the biases.
      pairs: rotary pairs that have them, the quickest ones.
    """
    chosen = np.arange(config.head_dim // 2) < pairs
    cos, sin = rotary(config, jnp.arange(1, config.n_heads + 1)[:, None])
    zero = jnp.zeros_like(cos[:, 0])
    key = strength * jnp.concatenate([zero + chosen, zero], axis=-1)
    query = strength * jnp.concatenate([cos[:, 0] * chosen, -sin[:, 0] * chosen], axis=-1)
    return query.reshape(-1), key.reshape(-1)
