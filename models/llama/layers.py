"""What a Llama is made of: products, norms, grouped-query attention with a cache, layers."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.edits import NOTHING, Edits, edited
from spexjax.models.llama.rotary import rotate
from spexjax.models.nn.grouped import Part, dense, fused, in_blocks
from spexjax.models.nn.precision import precision_of, sums
from spexjax.typing import Array, ArrayLike

Look = Literal["heads", "neurons", "mlps", "layers", "states", "attention", "weights"]
"""What can be read of the layers: the activations of :class:`Edits`, attention weights of all, or
"weights", those of the last alone."""

BLOCKED = 256
"""From rows of so many tokens on, scores are formed for a block of queries at a time."""


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
    """x W (+ b); the kernel may be an array or know itself how to multiply (see quantize.py).

    Where ``exact``, sums are not rounded to ``dtype``.
    """

    features: int
    bias: bool
    dtype: Any
    exact: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1], self.features)
        kernel = parameter(self, "kernel", nn.initializers.lecun_normal(), shape)
        y = product(x, kernel, self.dtype, self.exact)
        if self.bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(y.dtype)
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
        return (y * scale.astype(jnp.float32)).astype(self.dtype)


class Looks(NamedTuple):
    """How tokens attend.

    Attributes:
      waves: cosines and sines of their positions, (B, L, half) each, or of one row that stands for
        all.
      sees: bool (B, L, S + L), or of one row: which of the S tokens of a cache, and then of the new
        ones, they see.
      filled: int32, how many of a shared cache's tokens count.
      window: how many tokens back a token sees, if that is the same in all layers.
      fused: whether the device's own kernel does it.
    """

    waves: tuple[Float[Array, "#B L half"], Float[Array, "#B L half"]]
    sees: Bool[Array, "#B L T"]
    filled: Int[Array, ""]
    window: int | None
    fused: bool


class Attention(nn.Module):
    """Grouped-query attention of new tokens to earlier ones and, causally, to each other."""

    config: LlamaConfig
    dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B L dim"],
        looks: Looks,
        before: tuple[Array, Array] | None,
        edits: Edits,
        look: tuple[Look, ...],
    ) -> tuple[Array, tuple[Array, Array], dict[str, Array]]:
        c = self.config
        B, L = x.shape[:2]

        def project(name: str, count: int) -> Array:
            turned = name != "value"
            y = Dense(count * c.head_dim, c.attention_bias, self.dtype, turned, name=name)(x)
            y = y.reshape(B, L, count, c.head_dim)
            if c.qk_norm and turned:
                y = RMSNorm(c.norm_eps, y.dtype, name=f"{name}_norm")(y)
            y = jnp.swapaxes(y, 1, 2)
            return rotate(y, *looks.waves).astype(self.dtype) if turned else y

        q = project("query", c.n_heads)
        q = q.reshape(B, c.n_kv_heads, c.n_heads // c.n_kv_heads, L, c.head_dim)
        k, v = project("key", c.n_kv_heads), project("value", c.n_kv_heads)
        parts, seen = _parts(k, v, before, looks.sees), {}
        weighed = {"attention", "weights"} & set(look)
        if weighed or L == 1 or (L < BLOCKED and not looks.fused):
            mixed, weights = dense(q, parts)
            seen = dict.fromkeys(weighed, weights)
        elif looks.fused:
            mixed = fused(q, parts[0].keys, parts[0].values, looks.filled, looks.window)
        else:
            mixed = in_blocks(q, *parts[0])
        mixed = mixed.reshape(B, c.n_heads, L, c.head_dim)
        if "heads" in look:
            seen["heads"] = mixed
        mixed = edited(mixed, edits.heads, 0, 2)
        mixed = jnp.swapaxes(mixed, 1, 2).reshape(B, L, c.n_heads * c.head_dim)
        return Dense(c.dim, c.out_bias, self.dtype, True, name="out")(mixed), (k, v), seen


def _parts(
    keys: Array, values: Array, before: tuple[Array, Array] | None, sees: Bool[Array, "#B L T"]
) -> list[Part]:
    """What is attended to: one part, or for a single token two, so that no cache is copied."""
    if before is None:
        return [Part(keys, values, sees)]
    earlier = [jnp.asarray(a, keys.dtype) for a in before]
    S = earlier[0].shape[2]
    if keys.shape[2] == 1:
        return [Part(earlier[0], earlier[1], sees[..., :S]), Part(keys, values, sees[..., S:])]
    joined = [
        jnp.concatenate([jnp.broadcast_to(a, (len(b), *a.shape[1:])), b], axis=2)
        for a, b in zip(earlier, (keys, values), strict=True)
    ]
    return [Part(joined[0], joined[1], sees)]


class Layer(nn.Module):
    """Attention and the gated layer behind it, each after a norm and added to what it got.

    Gives the residual stream, the keys and values, and what ``look`` asks for. The stream, and what
    is added to it, are float32 whatever the products are in: else a sum of many layers would be
    rounded after each.
    """

    config: LlamaConfig
    dtype: Any

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B L dim"],
        looks: Looks,
        before: tuple[Array, Array] | None = None,
        edits: Edits = NOTHING,
        look: tuple[Look, ...] = (),
    ) -> tuple[Array, tuple[Array, Array], dict[str, Array]]:
        c = self.config
        state = edited(x, edits.states, 0, 1)
        y = RMSNorm(c.norm_eps, self.dtype, name="attention_norm")(state)
        mixed, stored, seen = Attention(c, self.dtype, name="attention")(
            y, looks, before, edits, look
        )
        y = RMSNorm(c.norm_eps, self.dtype, name="mlp_norm")(state + mixed)
        gate = Dense(c.hidden_dim, c.mlp_bias, self.dtype, name="gate")(y)
        up = Dense(c.hidden_dim, c.mlp_bias, self.dtype, name="up")(y)
        neurons = jax.nn.silu(gate) * up
        out = Dense(c.dim, c.mlp_bias, self.dtype, True, name="down")(
            edited(neurons, edits.neurons, 1, 0)
        )
        mlp = edited(out, edits.mlps, 0, 2)
        inside = {"neurons": neurons, "mlps": out, "layers": mixed + mlp, "states": x}
        seen |= {name: value for name, value in inside.items() if name in look}
        if edits.layers is None:  # in this order, so that nothing rounds otherwise
            return (state + mixed) + mlp, stored, seen
        return state + edited(mixed + mlp, edits.layers, 0, 2), stored, seen


def product(
    x: Float[Array, "... in"], kernel: Any, dtype: Any, exact: bool = False
) -> Float[Array, "... out"]:
    """x times a kernel (in, out), operands in ``dtype``.

    Args:
      x: what is multiplied.
      kernel: an array, or an object with ``product(x, dtype)`` whose sums are float32.
      dtype: of the product.
      exact: leave the sums in float32.
    """
    if hasattr(kernel, "product"):
        y = kernel.product(x, dtype)
        return y if exact else y.astype(dtype)
    if exact:
        return sums("...i,io->...o", x, kernel, dtype)
    return jnp.matmul(x.astype(dtype), jnp.asarray(kernel, dtype), precision=precision_of(dtype))


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
        return sums("...d,vd->...v", x, self.table, dtype)


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
