"""One Vision Transformer that is the plain ViT, SigLIP and CLIP's image tower by configuration.

Patches are embedded linearly, get learnt positions, and pass pre-norm layers (Dosovitskiy et al.
2021, eq. 1 to 4). ``Vit(config).apply({"params": params}, images)`` is pure.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Int

from spexjax.models.nn.precision import precision_of
from spexjax.models.nn.prenorm import Layer, Mlp, dense, norm
from spexjax.models.vit.config import VitConfig
from spexjax.typing import Array, ArrayLike


class Seen(NamedTuple):
    """What a tower sees in images.

    Attributes:
      states: (N, T, dim), of the class token if there is one, then of the patches, row by row.
      pooled: (N, P), what stands for the whole image: pooled, projected, or a classifier's logits;
        None without pooling.
    """

    states: Float[Array, "N T dim"]
    pooled: Float[Array, "N P"] | None


class Vit(nn.Module):
    """Images to states of their patches."""

    config: VitConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[ArrayLike, "N H W channels"]) -> Seen:
        """What is seen in images, preprocessed, of the size that the configuration says.

        Raises:
          ValueError: if they are of another size.
        """
        c = self.config
        images = jnp.asarray(images)
        if images.shape[1:] != (c.image_size, c.image_size, c.channels):
            raise ValueError(
                f"images must be (N, {c.image_size}, {c.image_size}, {c.channels}), "
                f"got {images.shape}."
            )
        x = self._embedded(images)
        if c.family == "clip":
            x = norm(c.norm_eps, self.dtype, "first_norm")(x)
        for i in range(c.n_layers):
            x = Layer(c.width, dtype=self.dtype, name=f"layer_{i}")(x)
        # CLIP norms what it pools, the others all states.
        last = norm(c.norm_eps, self.dtype, "norm") if c.final_norm else None
        if last is not None and c.family != "clip":
            x = last(x)
        if c.pooling == "none":
            return Seen(x, None)
        pooled = Probe(c, self.dtype, name="pool")(x) if c.pooling == "attention" else x[:, 0]
        if last is not None and c.family == "clip":
            pooled = last(pooled)
        if c.projection_dim is not None:
            pooled = dense(c.projection_dim, self.dtype, "projection", bias=False)(pooled)
        if c.num_labels:
            pooled = dense(c.num_labels, self.dtype, "classifier")(pooled)
        return Seen(x, pooled.astype(jnp.float32))

    def _embedded(self, images: Float[Array, "N H W channels"]) -> Float[Array, "N T dim"]:
        c = self.config
        shape = (c.dim, c.channels, c.patch_size, c.patch_size)  # as a convolution is stored
        kernel = self.param("patch", nn.initializers.lecun_normal(in_axis=(1, 2, 3), out_axis=0),
                            shape)  # fmt: skip
        flat = jnp.transpose(jnp.asarray(kernel), (2, 3, 1, 0)).reshape(-1, c.dim)
        x = jnp.matmul(
            patches(images, c.patch_size).astype(self.dtype),
            flat.astype(self.dtype),
            precision=precision_of(self.dtype),
        )
        if c.family != "clip":
            bias = self.param("patch_bias", nn.initializers.zeros, (c.dim,))
            x = x + bias.astype(self.dtype)
        small = nn.initializers.normal(0.02)
        # The plain ViT stores both with leading axes of one.
        lead = (1,) if c.family == "vit" else ()
        if c.class_token:
            first = self.param("class", small, (*lead, *lead, c.dim)).reshape(1, 1, c.dim)
            first = jnp.broadcast_to(first.astype(self.dtype), (len(x), 1, c.dim))
            x = jnp.concatenate([first, x], axis=1)
        positions = self.param("position", small, (*lead, c.tokens, c.dim))
        positions = positions.reshape(-1, c.dim)
        if c.fractional_positions:
            positions = positions[rounded_positions(c.side)]
        return x + positions.astype(self.dtype)


class Probe(nn.Module):
    """SigLIP's pooling: a learnt query attends to all patches (Zhai et al. 2023; Lee et al. 2019).

    The three projections are stored as one matrix, (3 dim, dim).
    """

    config: VitConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N T dim"]) -> Float[Array, "N dim"]:
        c = self.config
        heads, size = c.n_heads, c.dim // c.n_heads
        probe = self.param("probe", nn.initializers.normal(0.02), (1, 1, c.dim))
        kernel = self.param("kernel", nn.initializers.lecun_normal(-1, -2), (3 * c.dim, c.dim))
        bias = self.param("bias", nn.initializers.zeros, (3 * c.dim,))
        kernels = jnp.split(kernel.astype(self.dtype), 3)
        biases = jnp.split(bias.astype(self.dtype), 3)
        precision = precision_of(self.dtype)
        inputs = (probe.reshape(1, c.dim).astype(self.dtype), x, x)
        q, k, v = (
            jnp.matmul(y, w.T, precision=precision) + b
            for y, w, b in zip(inputs, kernels, biases, strict=True)
        )
        k, v = (y.reshape(*y.shape[:2], heads, size) for y in (k, v))
        scores = jnp.einsum("hd,nthd->nht", q.reshape(heads, size), k, precision=precision)
        weights = jax.nn.softmax(scores.astype(jnp.float32) * size**-0.5, axis=-1)
        mixed = jnp.einsum("nht,nthd->nhd", weights.astype(self.dtype), v, precision=precision)
        pooled = dense(c.dim, self.dtype, "out")(mixed.reshape(len(x), c.dim))
        y = norm(c.norm_eps, self.dtype, "norm")(pooled)
        return pooled + Mlp(c.width, self.dtype, name="mlp")(y)


def patches(images: Float[Array, "N H W channels"], size: int) -> Float[Array, "N patches pixels"]:
    """Squares of ``size`` pixels, row by row, each as a vector (row, column, channel).

    What is left at the right and the bottom is dropped.
    """
    N, H, W, C = images.shape
    rows, cols = H // size, W // size
    x = images[:, : rows * size, : cols * size].reshape(N, rows, size, cols, size, C)
    return jnp.transpose(x, (0, 1, 3, 2, 4, 5)).reshape(N, rows * cols, size * size * C)


def rounded_positions(side: int) -> Int[np.ndarray, "patches"]:
    """The position of each patch as Idefics3 finds it: fractions of the side, put into bins.

    In float32 i · (1/side) may fall below the i-th bound, so that neighbours share a position: for
    25 patches a side, say, but not for 26 and 32, which published models have. Where it does,
    PyTorch's own bounds depend on how many numbers a register of the processor holds.
    """
    step = 1 / side
    count = int(np.ceil((1.0 - step) / step))
    bounds = (step + step * np.arange(count, dtype=np.float64)).astype(np.float32)
    fractions = np.arange(side, dtype=np.float32) * (np.float32(1.0) / np.float32(side))
    fractions = np.minimum(fractions, np.float32(1.0 - 1e-6))
    bins = np.searchsorted(bounds, fractions, side="right")
    return (bins[:, None] * side + bins).reshape(-1).astype(np.int32)


@partial(jax.jit, static_argnums=0)
def init_params(config: VitConfig, key: Array) -> dict[str, Any]:
    """Fresh parameters, a nested dict of float32 arrays."""
    size = (1, config.image_size, config.image_size, config.channels)
    return Vit(config).init(key, jnp.zeros(size))["params"]
