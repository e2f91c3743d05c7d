"""Small models to train: a perceptron, convolutional networks, any Flax module."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from spexjax.typing import Array, Key

Params = Any


class Learner(NamedTuple):
    """A model as two pure functions."""

    init: Callable[[Key], Params]
    """Parameters before training."""
    apply: Callable[[Params, Array], Float[Array, "rows classes"]]
    """Logits of a batch."""


def flax_learner(module: nn.Module, shape: Sequence[int]) -> Learner:
    """A Flax module that maps (rows, \\*shape) to (rows, classes) and keeps nothing but parameters.

    Raises:
      ValueError: if it keeps anything else, such as the running means of a batch normalisation:
        these would mix the points that a mask leaves out into the rest.
    """
    return _learner(module, tuple(shape))


@lru_cache(maxsize=32)
def _learner(module: nn.Module, shape: tuple[int, ...]) -> Learner:
    """One object for one module, so that equal models share their programs."""
    example = jnp.zeros((1, *shape), jnp.float32)
    kept = set(jax.eval_shape(module.init, jax.random.key(0), example)) - {"params"}
    if kept:
        raise ValueError(
            f"the module keeps {', '.join(sorted(kept))} beside its parameters, which masked "
            "points would enter; normalise by layers or groups instead."
        )

    def init(key: Key) -> Params:
        return module.init(key, example)["params"]

    def apply(params: Params, x: Array) -> Array:
        logits: Any = module.apply({"params": params}, x)
        return logits

    return Learner(init, apply)


class Perceptron(nn.Module):
    """Dense layers with ReLU between them; without hidden layers, logistic regression."""

    hidden: tuple[int, ...]
    classes: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.reshape(len(x), -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.classes)(x)


class Convolutional(nn.Module):
    """Two 3 × 3 convolutions with max-pooling, then a dense layer."""

    channels: tuple[int, ...]
    classes: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.channels:
            x = nn.max_pool(nn.relu(nn.Conv(width, (3, 3))(x)), (2, 2), (2, 2))
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


class ResNet9(nn.Module):
    """The nine-layer residual network of the data-attribution literature, for GPUs.

    Normalised by groups of channels where the usual one is by batches: a batch's statistics would
    let masked points speak.
    """

    classes: int
    width: int = 64

    @nn.compact
    def __call__(self, x: Array) -> Array:
        def block(x: Array, width: int, pool: bool = False) -> Array:
            x = nn.relu(nn.GroupNorm(num_groups=8)(nn.Conv(width, (3, 3), use_bias=False)(x)))
            return nn.max_pool(x, (2, 2), (2, 2)) if pool else x

        w = self.width
        x = block(block(x, w), 2 * w, pool=True)
        x = x + block(block(x, 2 * w), 2 * w)
        x = block(block(x, 4 * w, pool=True), 8 * w, pool=True)
        x = x + block(block(x, 8 * w), 8 * w)
        return nn.Dense(self.classes)(jnp.max(x, axis=(1, 2)))


def logistic_regression(shape: Sequence[int], classes: int) -> Learner:
    """Multinomial logistic regression on flattened inputs of a shape."""
    return mlp(shape, classes, ())


def mlp(shape: Sequence[int], classes: int, hidden: tuple[int, ...] = (32,)) -> Learner:
    """A perceptron on flattened inputs of a shape."""
    return flax_learner(Perceptron(tuple(hidden), classes), shape)


def cnn(shape: Sequence[int], classes: int, channels: tuple[int, ...] = (16, 32)) -> Learner:
    """A small convolutional network on images (height, width, channels)."""
    return flax_learner(Convolutional(tuple(channels), classes), shape)


def resnet9(shape: Sequence[int], classes: int, width: int = 64) -> Learner:
    """:class:`ResNet9` on images (height, width, channels)."""
    return flax_learner(ResNet9(classes, width), shape)
