"""What a Llama is made of: products, norms, grouped-query attention with a cache, layers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.rotary import rotate
from spexjax.models.nn.attention import scaled_scores
from spexjax.models.nn.precision import precision_of
from spexjax.typing import Array, ArrayLike


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
        y = product(x, parameter(self, "kernel", nn.initializers.lecun_normal(), shape), self.dtype)
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
            s = jnp.einsum(axes, q, keys, precision=precision)
            scores.append(scaled_scores(s, keep[:, None, None], c.head_dim))
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


class Layer(nn.Module):
    config: LlamaConfig
    layer: int
    dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Array,
        waves: tuple[Array, Array],
        sees: tuple[Array, Array],
        cache: Cache | None,
        heads: Array | None,
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


class Transposed(NamedTuple):
    """An embedding (V, dim) used as a kernel (dim, V)."""

    table: Any

    def product(self, x: Array, dtype: Any) -> Array:
        if hasattr(self.table, "product_transposed"):
            return self.table.product_transposed(x, dtype)
        table = jnp.asarray(self.table, dtype)
        return jnp.einsum("...d,vd->...v", x.astype(dtype), table, precision=precision_of(dtype))


def parameter(module: nn.Module, name: str, init: Any, shape: tuple[int, ...]) -> Any:
    """A parameter that may be something else than an array; an array must be of ``shape``."""
    if module.has_variable("params", name):
        value: Any = module.get_variable("params", name)
        have = getattr(value, "shape", shape)
        if have != shape:
            path = "/".join((*module.path, name))
            raise ValueError(f"Parameter {path!r} has shape {have}, the geometry says {shape}.")
        return value
    return module.param(name, init, shape)
