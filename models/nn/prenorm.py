"""The pre-norm transformer layer that image towers and CLIP's text tower share.

x + attention(norm x), then x + mlp(norm x), as in Dosovitskiy et al. 2021, eq. 2 and 3.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from spexjax.models.nn.attention import attend_in_blocks, scaled_scores
from spexjax.models.nn.precision import precision_of
from spexjax.typing import Array

_BLOCK = 128  # queries
Activation = Literal["gelu", "gelu_pytorch_tanh", "quick_gelu"]


class Width(NamedTuple):
    """The sizes of a layer.

    Attributes:
      dim: of the residual stream; heads: of the attention; hidden: of the layer between.
      activation: "gelu" exactly, by tanh, or x · sigmoid(1.702 x) ("quick_gelu").
      eps: of the norms.
      bias: whether queries, keys and values have biases.
    """

    dim: int
    heads: int
    hidden: int
    activation: Activation
    eps: float
    bias: bool = True


def activated(x: Float[Array, "..."], activation: Activation) -> Float[Array, "..."]:
    """The activation of a layer."""
    if activation == "quick_gelu":
        return x * jax.nn.sigmoid(1.702 * x)
    return jax.nn.gelu(x, approximate=activation == "gelu_pytorch_tanh")


def norm(eps: float, dtype: Any, name: str) -> nn.LayerNorm:
    """A LayerNorm, its variance computed in two passes, as PyTorch does."""
    return nn.LayerNorm(epsilon=eps, dtype=dtype, use_fast_variance=False, name=name)


def dense(features: int, dtype: Any, name: str, bias: bool = True) -> nn.Dense:
    """A dense layer, of full precision in float32."""
    return nn.Dense(features, bias, dtype=dtype, precision=precision_of(dtype), name=name)


def _long(T: int) -> bool:
    """Whether scores, (T, T), are too large for the cache of a processor that computes them."""
    return T % _BLOCK == 0 and T >= 4 * _BLOCK and jax.default_backend() == "cpu"


class Attention(nn.Module):
    """Multi-head attention of ``x`` to itself; ``causal`` hides what comes later."""

    width: Width
    causal: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N T dim"]) -> Float[Array, "N T dim"]:
        w = self.width
        N, T = x.shape[:2]
        precision = precision_of(self.dtype)

        def project(name: str) -> Array:
            y = dense(w.dim, self.dtype, name, w.bias)(x).reshape(N, T, w.heads, w.dim // w.heads)
            return jnp.swapaxes(y, 1, 2)

        q, k, v = project("query"), project("key"), project("value")
        if _long(T) and not self.causal:
            mixed = attend_in_blocks(q, k, v, precision, _BLOCK)
        else:
            keep: Bool[Array, "T T"] = jnp.ones((T, T), bool)
            keep = jnp.tril(keep) if self.causal else keep
            scores = jnp.einsum("nhqd,nhkd->nhqk", q, k, precision=precision)
            weights = jax.nn.softmax(scaled_scores(scores, keep, w.dim // w.heads), axis=-1)
            mixed = jnp.matmul(weights.astype(self.dtype), v, precision=precision)
        mixed = jnp.swapaxes(mixed, 1, 2).reshape(N, T, w.dim)
        return dense(w.dim, self.dtype, "out")(mixed)


class Mlp(nn.Module):
    """Two dense layers with an activation between."""

    width: Width
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... dim"]) -> Float[Array, "... dim"]:
        y = activated(dense(self.width.hidden, self.dtype, "up")(x), self.width.activation)
        return dense(self.width.dim, self.dtype, "down")(y)


class Layer(nn.Module):
    """Attention and the layer behind it, each after a norm and added to what it got."""

    width: Width
    causal: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N T dim"]) -> Float[Array, "N T dim"]:
        w = self.width
        y = norm(w.eps, self.dtype, "attention_norm")(x)
        x = x + Attention(w, self.causal, self.dtype, name="attention")(y)
        y = norm(w.eps, self.dtype, "mlp_norm")(x)
        return x + Mlp(w, self.dtype, name="mlp")(y)
