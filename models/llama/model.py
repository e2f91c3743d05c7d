"""Llama in Flax: token ids in, hidden states out; logits only where they are asked for.

Root-mean-square norms before each block (Zhang and Sennrich 2019), rotary positions (Su et al.
2021), attention whose keys and values serve groups of queries (Ainslie et al. 2023) and a gated
layer with SiLU (Shazeer 2020), as in Touvron et al. 2023 and Grattafiori et al. 2024. Mistral and
Qwen 2 and 3 differ by a sliding window, biases, or norms of queries and keys.

``Llama(config).apply({"params": params}, ids)`` is pure. The layers are a plain loop: each has its
own entry in the parameters, so that a weight can be placed, sharded or quantised by itself.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.llama.config import LlamaConfig, RopeScaling, config_from_dict, config_to_dict
from spexjax.models.llama.layers import (
    Cache,
    Dense,
    Layer,
    RMSNorm,
    Transposed,
    parameter,
    product,
    rows,
)
from spexjax.models.llama.rotary import rotary
from spexjax.typing import Array, ArrayLike

__all__ = [
    "Cache",
    "Llama",
    "LlamaConfig",
    "RopeScaling",
    "config_from_dict",
    "config_to_dict",
    "embed",
    "init_params",
    "unembed",
]


class Llama(nn.Module):
    """Ids (B, L) or embeddings (B, L, dim) to hidden states after the last norm, and the cache."""

    config: LlamaConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        ids: Int[ArrayLike, "B L"] | Float[ArrayLike, "B L dim"],
        positions: Int[ArrayLike, "B L"] | None = None,
        valid: Bool[ArrayLike, "B L"] | None = None,
        cache: Cache | None = None,
        head_mask: Float[ArrayLike, "*B layers heads"] | None = None,
    ) -> tuple[Float[Array, "B L dim"], Cache]:
        """Hidden states of the new tokens, and their keys and values.

        Args:
          ids: int32 (B, L); or what stands for tokens, such as parts of an image, float
            (B, L, dim): see :func:`embed`.
          positions: int32 (B, L), 0 ≤ positions < max_position_embeddings; if not given, they
            count on from the cache's valid tokens.
          valid: bool (B, L), False for padding; all True if not given. States of padding mean
            nothing.
          cache: of earlier tokens, of the same batch or of one row that all share.
          head_mask: float, (layers, heads) or (B, layers, heads), factors of the heads' outputs;
            see :func:`head_factors`.

        Returns:
          hidden (B, L, dim), and a :class:`Cache` of the L new tokens alone. With
          ``mutable=["inside"]`` also ``states``, the residual stream before the first layer and
          after each, and the attention ``weights`` of every layer, (B, kv, group, L, S + L).
        """
        c = self.config
        ids = jnp.asarray(ids)
        B, L = ids.shape[:2]
        valid = jnp.ones((B, L), bool) if valid is None else jnp.asarray(valid, bool)
        if positions is None:
            start = 0 if cache is None else jnp.sum(cache.valid, axis=-1, keepdims=True)
            positions = jnp.maximum(jnp.cumsum(valid, axis=-1) - 1, 0) + start
        positions = jnp.asarray(positions, jnp.int32)
        waves = rotary(c, positions)
        before, there = jnp.zeros((B, 0), jnp.int32), jnp.zeros((B, 0), bool)
        if cache is not None:
            before, there = jnp.asarray(cache.positions), jnp.asarray(cache.valid)
        table = parameter(
            self, "embedding", nn.initializers.normal(c.dim**-0.5), (c.vocab_size, c.dim)
        )
        x = rows(table, ids, self.dtype) if ids.ndim == 2 else ids.astype(self.dtype)
        self.sow("inside", "states", x)
        keys, values = [], []
        for i in range(c.n_layers):
            window = c.sliding_window if i >= c.first_windowed_layer else None
            sees = (
                _visible(positions, positions, valid, window),
                _visible(positions, before, there, window),
            )
            factors = None
            if head_mask is not None:
                factors = jnp.broadcast_to(jnp.asarray(head_mask)[..., i, :], (B, c.n_heads))
            x, (k, v) = Layer(c, i, self.dtype, name=f"layer_{i}")(x, waves, sees, cache, factors)
            self.sow("inside", "states", x)
            keys.append(k)
            values.append(v)
        x = RMSNorm(c.norm_eps, self.dtype, name="norm")(x)
        if not c.tie_embeddings and self.is_initializing():
            Dense(c.vocab_size, False, self.dtype, name="unembed")(x[:, :1])
        return x, Cache(jnp.stack(keys), jnp.stack(values), positions, valid)


def embed(
    params: Mapping[str, Any], ids: Int[ArrayLike, "B L"], dtype: Any = jnp.float32
) -> Float[Array, "B L dim"]:
    """The embeddings of tokens, which :class:`Llama` takes in place of their ids."""
    return rows(params["embedding"], jnp.asarray(ids), dtype)


def unembed(
    config: LlamaConfig,
    params: Mapping[str, Any],
    hidden: Float[ArrayLike, "... dim"],
) -> Float[Array, "... V"]:
    """Logits, float32, of hidden states: call it on the positions that count, no others."""
    hidden = jnp.asarray(hidden)
    if config.tie_embeddings:
        return product(hidden, Transposed(params["embedding"]), hidden.dtype).astype(jnp.float32)
    return product(hidden, params["unembed"]["kernel"], hidden.dtype).astype(jnp.float32)


@partial(jax.jit, static_argnums=(0, 2))
def init_params(config: LlamaConfig, key: Array, dtype: Any = jnp.float32) -> dict[str, Any]:
    """Fresh parameters, a nested dict of arrays of ``dtype``."""
    params = Llama(config).init(key, jnp.zeros((1, 1), jnp.int32))["params"]
    return jax.tree.map(lambda x: x.astype(dtype), params)


def head_factors(kept: Bool[ArrayLike, "... layers heads"]) -> Float[Array, "... layers heads"]:
    """Factors of heads of which some are kept: H / kept in each layer, 0 for the others."""
    kept = jnp.asarray(kept)
    count = jnp.sum(kept, axis=-1, keepdims=True)
    return jnp.where(kept, kept.shape[-1] / jnp.maximum(count, 1), 0.0)


def _visible(
    positions: Int[Array, "B L"],
    other: Int[Array, "B S"],
    there: Bool[Array, "B S"],
    window: int | None,
) -> Bool[Array, "B L S"]:
    """Whether a new token sees another: one that is there, not later, and not too far back."""
    back = positions[:, :, None] - other[:, None, :]
    seen = there[:, None, :] & (back >= 0)
    return seen if window is None else seen & (back < window)
