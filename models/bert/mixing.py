"""Embeddings between two tokens, in any of the classifiers: what their encoder reads of words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Int

from spexjax.typing import ArrayLike

_WORDS = "word"  # what every family calls its table of words


@contextmanager
def mixed_words(
    other: Int[ArrayLike, "N length"], share: Float[ArrayLike, "N length"]
) -> Iterator[None]:
    """Within it a model that is applied reads share · E[ids] + (1 − share) · E[other].

    Positions, token types and attention remain those of ``ids``.

    Args:
      other: token ids.
      share: from 0 to 1; may be traced.
    """

    def between(
        table: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
    ) -> Any:
        words = table(*args, **kwargs)
        place = (context.module.name, context.method_name)
        if place != (_WORDS, "__call__") or not isinstance(context.module, nn.Embed):
            return words
        s = jnp.asarray(share)[..., None].astype(words.dtype)
        return s * words + (1 - s) * table(jnp.asarray(other))

    with nn.intercept_methods(between):
        yield
