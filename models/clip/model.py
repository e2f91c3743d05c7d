"""CLIP in Flax (Radford et al. 2021): how well captions fit images.

A causal transformer reads a caption, a Vision Transformer an image; both are projected to one
space, and the score is their cosine times a learnt scale.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Int

from spexjax.models.clip.config import ClipConfig
from spexjax.models.nn.prenorm import Layer, dense, norm
from spexjax.models.vit.model import Vit
from spexjax.models.vit.model import init_params as init_vision
from spexjax.typing import Array, ArrayLike


class ClipText(nn.Module):
    """Ids (N, L), the end among them, to a vector for each caption (N, projection_dim)."""

    config: ClipConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, ids: Int[ArrayLike, "N L"]) -> Float[Array, "N P"]:
        """Projected states at the end of each caption; what follows it is not seen.

        Raises:
          ValueError: if the rows are longer than the model's positions.
        """
        c = self.config.text
        ids = jnp.asarray(ids)
        if ids.shape[1] > c.max_position_embeddings:
            raise ValueError(
                f"{ids.shape[1]} tokens exceed max_position_embeddings = "
                f"{c.max_position_embeddings}; shorten the caption."
            )
        small = nn.initializers.normal(0.02)
        table = self.param("token", small, (c.vocab_size, c.dim))
        positions = self.param("position", small, (c.max_position_embeddings, c.dim))
        x = (table[ids] + positions[: ids.shape[1]]).astype(self.dtype)
        for i in range(c.n_layers):
            x = Layer(c.width, causal=True, dtype=self.dtype, name=f"layer_{i}")(x)
        x = norm(c.norm_eps, self.dtype, "norm")(x)
        end = jnp.argmax(ids if c.eos_token_id == 2 else ids == c.eos_token_id, axis=1)
        at_end = jnp.take_along_axis(x, end[:, None, None], axis=1)[:, 0]
        out = dense(self.config.projection_dim, self.dtype, "projection", bias=False)(at_end)
        return out.astype(jnp.float32)


def image_vectors(
    config: ClipConfig, params: Mapping[str, Any], images: ArrayLike, dtype: Any = jnp.float32
) -> Float[Array, "N P"]:
    """Of preprocessed images (N, H, W, channels), not normalised."""
    seen: Any = Vit(config.vision, dtype).apply({"params": params["vision"]}, images)
    return seen.pooled


def text_vectors(
    config: ClipConfig, params: Mapping[str, Any], ids: ArrayLike, dtype: Any = jnp.float32
) -> Float[Array, "N P"]:
    """Of captions (N, L), not normalised."""
    out: Any = ClipText(config, dtype).apply({"params": params["text"]}, ids)
    return out


def scores(
    params: Mapping[str, Any], images: Float[Array, "N P"], texts: Float[Array, "N P"]
) -> Float[Array, "N"]:
    """exp(scale) · cos(image, caption), float32, of each image and its caption."""
    images, texts = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (images, texts))
    return jnp.exp(params["scale"]) * jnp.sum(images * texts, axis=-1)


@partial(jax.jit, static_argnums=0)
def init_params(config: ClipConfig, key: Array) -> dict[str, Any]:
    """Fresh parameters, a nested dict of float32 arrays."""
    keys = jax.random.split(key)
    ids = jnp.zeros((1, 1), jnp.int32)
    return {
        "vision": init_vision(config.vision, keys[0]),
        "text": ClipText(config).init(keys[1], ids)["params"],
        "scale": jnp.float32(2.6592),  # log of 1 / 0.07
    }
