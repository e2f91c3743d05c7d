"""Vision–language models in Flax: images to embeddings that a Llama reads in its prompt."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.llama.model import embed
from spexjax.models.llama.model import init_params as init_text
from spexjax.models.nn.prenorm import activated, dense
from spexjax.models.vit.model import Vit
from spexjax.models.vit.model import init_params as init_vision
from spexjax.models.vlm.config import VlmConfig
from spexjax.typing import Array, ArrayLike


class Connector(nn.Module):
    """States of patches to embeddings of the language model."""

    config: VlmConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, states: Float[Array, "N T dim"]) -> Float[Array, "N tokens width"]:
        c = self.config
        width = c.text.dim
        if c.family != "llava":
            shuffled = side_by_side(states, c.vision.side, c.shuffle)
            return dense(width, self.dtype, "projection", bias=False)(shuffled)
        y = dense(width, self.dtype, "first", c.bias)(states[:, 1:])  # without the class token
        return dense(width, self.dtype, "second", c.bias)(activated(y, c.activation))


def side_by_side(
    states: Float[Array, "N patches dim"], side: int, shuffle: int
) -> Float[Array, "N tokens wide"]:
    """Squares of ``shuffle`` × ``shuffle`` states as one, (row, column, dim) ("pixel shuffle")."""
    N, _, dim = states.shape
    few = side // shuffle
    x = states.reshape(N, few, shuffle, few, shuffle, dim)
    return jnp.transpose(x, (0, 1, 3, 2, 4, 5)).reshape(N, few * few, shuffle * shuffle * dim)


def image_embeddings(
    config: VlmConfig,
    params: Mapping[str, Any],
    images: Float[ArrayLike, "N H W channels"],
    dtype: Any = jnp.float32,
) -> Float[Array, "N tokens width"]:
    """What stands for images in a prompt."""
    seen: Any = Vit(config.vision, dtype).apply({"params": params["vision"]}, images)
    out: Any = Connector(config, dtype).apply({"params": params["connector"]}, seen.states)
    return out


def merged(
    params: Mapping[str, Any],
    ids: Int[ArrayLike, "N L"],
    where: Bool[ArrayLike, "N L"],
    images: Float[Array, "N tokens width"],
) -> Float[Array, "N L width"]:
    """Embeddings of prompts in which the states of one image take their places.

    Args:
      params: of the whole model.
      ids: of the prompts.
      where: True at the places of image states, in order; as many in each row as there are states.
      images: their embeddings.
    """
    where = jnp.asarray(where)
    text = embed(params["text"], ids, images.dtype)
    index = jnp.clip(jnp.cumsum(where, axis=1) - 1, 0, images.shape[1] - 1)
    placed = jnp.take_along_axis(images, index[..., None], axis=1)
    return jnp.where(where[..., None], placed, text)


@partial(jax.jit, static_argnums=0)
def init_params(config: VlmConfig, key: Array) -> dict[str, Any]:
    """Fresh parameters, a nested dict of float32 arrays."""
    keys = jax.random.split(key, 3)
    states = jnp.zeros((1, config.vision.tokens, config.vision.dim))
    return {
        "vision": init_vision(config.vision, keys[0]),
        "connector": Connector(config).init(keys[1], states)["params"],
        "text": init_text(config.text, keys[2]),
    }
