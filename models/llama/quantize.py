"""Eight-bit weights: int8 codes with one scale per output, the largest input channels kept.

An output of a dense layer is Σ_j x_j W_jo. Its weights share a scale s_o = max_j |W_jo| / 127 and
are stored as codes round(W_jo / s_o) of eight bits, so that each carries an error of at most
s_o / 2: 0.9 % of the layer's output for normal weights and 4 096 inputs. A few input channels with
large weights would stretch every scale. As in LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339,
§3.2) such channels are therefore left out of the codes and kept in the model's own precision, in a
second, thin product.

Activations are NOT quantised: they stay in bfloat16 or float32. LLM.int8() rounds them too, for the
sake of int8 products, and most of its outlier channels are outliers of activations. Here these are
harmless, since an error of W_jo is multiplied by x_j just as W_jo itself is. Codes are exact in
bfloat16 and scales are applied to the float32 sums, so nothing but the codes' rounding is lost.

Embeddings, optionally, have one scale per token; the unembedding of a tied model is the same table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Int8

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.nn.precision import sums
from spexjax.typing import Array

_LARGEST = 127
_MATRICES = ("gate", "up", "down")
_ATTENTION = ("query", "key", "value", "out")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["codes", "scale", "kept_at", "kept"],
    meta_fields=[],
)
@dataclass(frozen=True)
class Int8Kernel:
    """A kernel W (in, out) ≈ codes · scale, but for some rows that are kept as they were.

    Attributes:
      codes: int8 (in, out), −127 to 127, 0 in the rows that are kept.
      scale: float32 (out,).
      kept_at: int32 (k,), the input channels that are kept.
      kept: (k, out), their weights.
    """

    codes: Int8[Array, "in out"]
    scale: Float[Array, "out"]
    kept_at: Int[Array, "k"]
    kept: Float[Array, "k out"]

    def product(self, x: Float[Array, "... in"], dtype: Any) -> Float[Array, "... out"]:
        """x W of operands in ``dtype``, sums in float32."""
        y = sums("...i,io->...o", x, self.codes, dtype) * self.scale
        if self.kept_at.size:
            y = y + sums("...i,io->...o", jnp.take(x, self.kept_at, axis=-1), self.kept, dtype)
        return y

    def dense(self) -> Float[Array, "in out"]:
        """The kernel that the codes stand for."""
        whole = self.codes * self.scale
        return whole.at[self.kept_at].set(self.kept.astype(whole.dtype)).astype(self.kept.dtype)


@partial(jax.tree_util.register_dataclass, data_fields=["codes", "scale"], meta_fields=[])
@dataclass(frozen=True)
class Int8Table:
    """An embedding (V, dim) ≈ codes · scale, one scale per row.

    Attributes:
      codes: int8 (V, dim).
      scale: float32 (V,).
    """

    codes: Int8[Array, "V dim"]
    scale: Float[Array, "V"]

    def rows(self, ids: Int[Array, "..."], dtype: Any) -> Float[Array, "... dim"]:
        """The embeddings of some tokens."""
        return (self.codes[ids] * self.scale[ids][..., None]).astype(dtype)

    def product_transposed(self, x: Float[Array, "... dim"], dtype: Any) -> Float[Array, "... V"]:
        """x times the transposed table, float32: logits, if the model is tied."""
        return sums("...d,vd->...v", x, self.codes, dtype) * self.scale


def quantize(
    params: Mapping[str, Any],
    config: LlamaConfig,
    embeddings: bool = False,
    kept_share: float = 1 / 128,
) -> dict[str, Any]:
    """Parameters whose large matrices are int8; ``Llama`` and ``unembed`` take them as they are.

    Matrices are converted one kind at a time, where they lie. Norms and biases are left alone.

    Args:
      params: of a Llama, float32 or bfloat16.
      config: its geometry.
      embeddings: also the embedding, and the unembedding if it is not the same.
      kept_share: of the input channels of every matrix, rounded to the nearest number and at
        least one; 0 keeps none.

    Raises:
      ValueError: if ``kept_share`` is not within 0 to 1, or the parameters are quantised already.
    """
    if not 0 <= kept_share <= 1:
        raise ValueError(f"kept_share must be within 0 to 1, got {kept_share}.")

    def kernel(module: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(module["kernel"], Int8Kernel):
            raise ValueError("params are quantised already.")
        weights = jnp.asarray(module["kernel"])
        count = max(round(kept_share * weights.shape[-2]), 1) if kept_share else 0
        codes = quantize_kernel if weights.ndim == 2 else _each_layer
        return {**module, "kernel": codes(weights, count)}

    layers = dict(params["layers"])
    attention = layers["attention"]
    layers |= {name: kernel(layers[name]) for name in _MATRICES}
    layers["attention"] = {**attention} | {name: kernel(attention[name]) for name in _ATTENTION}
    result = {**params, "layers": layers}
    if embeddings:
        result["embedding"] = quantize_table(jnp.asarray(params["embedding"]))
        if not config.tie_embeddings:
            result["unembed"] = kernel(params["unembed"])
    return result


@partial(jax.jit, static_argnums=1)
def _each_layer(kernels: Float[Array, "layers in out"], kept: int) -> Int8Kernel:
    return jax.lax.map(lambda kernel: quantize_kernel(kernel, kept), kernels)


@partial(jax.jit, static_argnums=1)
def quantize_kernel(kernel: Float[Array, "in out"], kept: int) -> Int8Kernel:
    """Codes of a kernel; the ``kept`` input channels of largest Σ_o W_jo² stay as they are."""
    weights = kernel.astype(jnp.float32)
    _, at = jax.lax.top_k(jnp.sum(weights * weights, axis=1), kept)
    at = jnp.sort(at)
    codes, scale = _codes(weights.at[at].set(0.0), axis=0)
    return Int8Kernel(codes, scale, at, kernel[at])


@jax.jit
def quantize_table(table: Float[Array, "V dim"]) -> Int8Table:
    """Codes of an embedding."""
    codes, scale = _codes(table.astype(jnp.float32), axis=1)
    return Int8Table(codes, scale)


def bytes_of(params: Any) -> int:
    """The memory that parameters take, in bytes."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params))


def _codes(weights: Float[Array, "a b"], axis: int) -> tuple[Int8[Array, "a b"], Array]:
    scale = jnp.max(jnp.abs(weights), axis=axis, keepdims=True) / _LARGEST
    codes = jnp.round(weights / jnp.where(scale > 0, scale, 1.0)).astype(jnp.int8)
    return codes, jnp.squeeze(scale, axis)
