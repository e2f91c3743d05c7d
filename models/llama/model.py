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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.llama.config import LlamaConfig, RopeScaling, config_from_dict, config_to_dict
from spexjax.models.nn.precision import precision_of
from spexjax.typing import Array, ArrayLike

__all__ = [
    "Cache",
    "Llama",
    "LlamaConfig",
    "RopeScaling",
    "config_from_dict",
    "config_to_dict",
    "init_params",
    "unembed",
]


class Cache(NamedTuple):
    """Keys and values of tokens already seen.

    Attributes:
      keys: (layers, B, n_kv_heads, S, head_dim), rotated to their positions; B = 1 serves any
        batch.
      values: the same shape.
      positions: int32 (B, S).
      valid: bool (B, S), False for places that hold no token.
    """

    keys: Float[ArrayLike, "layers B kv S d"]
    values: Float[ArrayLike, "layers B kv S d"]
    positions: Int[ArrayLike, "B S"]
    valid: Bool[ArrayLike, "B S"]


class Dense(nn.Module):
    """x W (+ b); the kernel may be an array or know itself how to multiply (see quantize.py)."""

    features: int
    bias: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1], self.features)
        y = product(x, _stored(self, "kernel", nn.initializers.lecun_normal(), shape), self.dtype)
        if self.bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


class RMSNorm(nn.Module):
    """x / √(mean x² + ε), in float32, times a scale."""

    eps: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + self.eps)
        return y.astype(self.dtype) * scale.astype(self.dtype)


class Attention(nn.Module):
    """Grouped-query attention of new tokens to earlier ones and, causally, to each other."""

    config: LlamaConfig
    layer: int
    dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B L dim"],
        waves: tuple[Array, Array],
        sees: tuple[Array, Array],
        cache: Cache | None,
        heads: Float[Array, "B heads"] | None,
    ) -> tuple[Array, tuple[Array, Array]]:
        c = self.config
        B, L = x.shape[:2]
        groups = c.n_heads // c.n_kv_heads
        precision = precision_of(self.dtype)

        def project(name: str, count: int) -> Array:
            y = Dense(count * c.head_dim, c.attention_bias, self.dtype, name=name)(x)
            y = y.reshape(B, L, count, c.head_dim)
            if c.qk_norm and name != "value":
                y = RMSNorm(c.norm_eps, self.dtype, name=f"{name}_norm")(y)
            y = jnp.swapaxes(y, 1, 2)
            return y if name == "value" else rotate(y, *waves)

        q = project("query", c.n_heads).reshape(B, c.n_kv_heads, groups, L, c.head_dim)
        k, v = project("key", c.n_kv_heads), project("value", c.n_kv_heads)
        parts = [(k, v, sees[0])]
        if cache is not None:
            keys, values = (jnp.asarray(a[self.layer], self.dtype) for a in cache[:2])
            parts.insert(0, (keys, values, sees[1]))
        scores = []
        for keys, _, keep in parts:
            # A batch of one is one matrix for all rows, not a copy per row.
            axes = "bkgqd,bksd->bkgqs" if keys.shape[0] == B else "bkgqd,ksd->bkgqs"
            keys = keys if keys.shape[0] == B else keys[0]
            s = jnp.einsum(axes, q, keys, precision=precision).astype(jnp.float32)
            s = s * c.head_dim**-0.5
            scores.append(jnp.where(keep[:, None, None], s, jnp.finfo(jnp.float32).min))
        weights = jax.nn.softmax(jnp.concatenate(scores, axis=-1), axis=-1).astype(self.dtype)
        self.sow("inside", "weights", weights)
        mixed = jnp.zeros((), self.dtype)
        start = 0
        for _, values, _ in parts:
            w = weights[..., start : start + values.shape[2]]
            start += values.shape[2]
            axes = "bkgqs,bksd->bkgqd" if values.shape[0] == B else "bkgqs,ksd->bkgqd"
            values = values if values.shape[0] == B else values[0]
            mixed = mixed + jnp.einsum(axes, w, values, precision=precision)
        mixed = mixed.reshape(B, c.n_heads, L, c.head_dim)
        if heads is not None:
            mixed = mixed * heads[:, :, None, None].astype(self.dtype)
        mixed = jnp.swapaxes(mixed, 1, 2).reshape(B, L, c.n_heads * c.head_dim)
        return Dense(c.dim, c.out_bias, self.dtype, name="out")(mixed), (k, v)


class Llama(nn.Module):
    """Ids (B, L) to hidden states after the last norm, and the cache of these tokens."""

    config: LlamaConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        ids: Int[ArrayLike, "B L"],
        positions: Int[ArrayLike, "B L"] | None = None,
        valid: Bool[ArrayLike, "B L"] | None = None,
        cache: Cache | None = None,
        head_mask: Float[ArrayLike, "*B layers heads"] | None = None,
    ) -> tuple[Float[Array, "B L dim"], Cache]:
        """Hidden states of the new tokens, and their keys and values.

        Args:
          ids: int32 (B, L).
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
        B, L = ids.shape
        valid = jnp.ones((B, L), bool) if valid is None else jnp.asarray(valid, bool)
        if positions is None:
            start = 0 if cache is None else jnp.sum(cache.valid, axis=-1, keepdims=True)
            positions = jnp.maximum(jnp.cumsum(valid, axis=-1) - 1, 0) + start
        positions = jnp.asarray(positions, jnp.int32)
        waves = rotary(c, positions)
        before, there = jnp.zeros((B, 0), jnp.int32), jnp.zeros((B, 0), bool)
        if cache is not None:
            before, there = jnp.asarray(cache.positions), jnp.asarray(cache.valid)
        table = _stored(
            self, "embedding", nn.initializers.normal(c.dim**-0.5), (c.vocab_size, c.dim)
        )
        x = rows(table, ids, self.dtype)
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
            x, (k, v) = _Layer(c, i, self.dtype, name=f"layer_{i}")(x, waves, sees, cache, factors)
            self.sow("inside", "states", x)
            keys.append(k)
            values.append(v)
        x = RMSNorm(c.norm_eps, self.dtype, name="norm")(x)
        if not c.tie_embeddings and self.is_initializing():
            Dense(c.vocab_size, False, self.dtype, name="unembed")(x[:, :1])
        return x, Cache(jnp.stack(keys), jnp.stack(values), positions, valid)


class _Layer(nn.Module):
    config: LlamaConfig
    layer: int
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Array, waves: Any, sees: Any, cache: Cache | None, heads: Array | None
    ) -> tuple[Array, tuple[Array, Array]]:
        c = self.config
        y = RMSNorm(c.norm_eps, self.dtype, name="attention_norm")(x)
        mixed, stored = Attention(c, self.layer, self.dtype, name="attention")(
            y, waves, sees, cache, heads
        )
        x = x + mixed
        y = RMSNorm(c.norm_eps, self.dtype, name="mlp_norm")(x)
        gate = Dense(c.hidden_dim, c.mlp_bias, self.dtype, name="gate")(y)
        up = Dense(c.hidden_dim, c.mlp_bias, self.dtype, name="up")(y)
        return x + Dense(c.dim, c.mlp_bias, self.dtype, name="down")(jax.nn.silu(gate) * up), stored


def unembed(
    config: LlamaConfig,
    params: Mapping[str, Any],
    hidden: Float[ArrayLike, "... dim"],
) -> Float[Array, "... V"]:
    """Logits, float32, of hidden states: call it on the positions that count, no others."""
    hidden = jnp.asarray(hidden)
    if config.tie_embeddings:
        return product(hidden, _Transposed(params["embedding"]), hidden.dtype).astype(jnp.float32)
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


def rotary(
    config: LlamaConfig, positions: Int[Array, "B L"]
) -> tuple[Float[Array, "B L half"], Float[Array, "B L half"]]:
    """Cosines and sines, float32, of position × frequency (Su et al. 2021, eq. 15)."""
    half = jnp.arange(0, config.head_dim, 2, dtype=jnp.float32) / config.head_dim
    frequency = 1.0 / config.rope_theta**half
    scaling = config.rope_scaling
    if scaling is not None:
        stretched = frequency / scaling.factor
        if scaling.kind == "llama3":
            turns = scaling.original_positions * frequency / (2 * jnp.pi)
            low, high = scaling.low_freq_factor, scaling.high_freq_factor
            ramp = jnp.clip((turns - low) / (high - low), 0.0, 1.0)
            stretched = ramp * frequency + (1.0 - ramp) * stretched
        frequency = stretched
    angle = positions[..., None].astype(jnp.float32) * frequency
    return jnp.cos(angle), jnp.sin(angle)


def rotate(
    x: Float[Array, "B heads L d"], cos: Float[Array, "B L half"], sin: Float[Array, "B L half"]
) -> Float[Array, "B heads L d"]:
    """Turns the pairs (x_i, x_{i+d/2}) by their angles, in float32."""
    cos, sin = cos[:, None], sin[:, None]
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)


def product(x: Float[Array, "... in"], kernel: Any, dtype: Any) -> Float[Array, "... out"]:
    """x times a kernel (in, out): an array, or an object with ``product(x, dtype)``."""
    if hasattr(kernel, "product"):
        return kernel.product(x, dtype)
    kernel = jnp.asarray(kernel, dtype)
    return jnp.matmul(x.astype(dtype), kernel, precision=precision_of(dtype))


def rows(table: Any, ids: Int[Array, "..."], dtype: Any) -> Float[Array, "... dim"]:
    """Rows of an embedding: an array, or an object with ``rows(ids, dtype)``."""
    if hasattr(table, "rows"):
        return table.rows(ids, dtype)
    return jnp.asarray(table)[ids].astype(dtype)


class _Transposed(NamedTuple):
    """An embedding (V, dim) used as a kernel (dim, V)."""

    table: Any

    def product(self, x: Array, dtype: Any) -> Array:
        if hasattr(self.table, "product_transposed"):
            return self.table.product_transposed(x, dtype)
        table = jnp.asarray(self.table, dtype)
        return jnp.einsum("...d,vd->...v", x.astype(dtype), table, precision=precision_of(dtype))


def _stored(module: nn.Module, name: str, init: Any, shape: tuple[int, ...]) -> Any:
    """A parameter that may be something else than an array; an array must be of ``shape``."""
    if module.has_variable("params", name):
        value: Any = module.get_variable("params", name)
        have = getattr(value, "shape", shape)
        if have != shape:
            path = "/".join((*module.path, name))
            raise ValueError(f"Parameter {path!r} has shape {have}, the geometry says {shape}.")
        return value
    return module.param(name, init, shape)


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
