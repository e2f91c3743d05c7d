"""Training one model on a weighted part of the data; the caller adds ``vmap``.

The data are shared by all models and shapes never change: a point that a mask leaves out has
weight 0. Models of one key also share their first parameters and the order of the batches, so that
what they differ by is the data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Int

from spexjax.models.training.learners import Params
from spexjax.typing import Array, Key

Loss = Callable[[Array, Array], Float[Array, "rows"]]


def cross_entropy(
    logits: Float[Array, "rows classes"], labels: Int[Array, "rows"]
) -> Float[Array, "rows"]:
    """−log p of the right class."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    The objective is Σ_i w_i ℓ_i / Σ_i w_i + (decay / 2) ‖θ‖², or its unbiased estimate from a
    batch.

    Attributes:
      init: a key to parameters.
      apply: parameters and a batch to logits.
      loss: (logits, labels) to one loss ℓ_i per row.
      optimizer: from optax.
      steps: of the optimizer.
      batch: rows of a step; all of them if None.
      decay: the weight of the penalty.
    """

    init: Callable[[Key], Params]
    apply: Callable[[Params, Array], Array]
    loss: Loss
    optimizer: optax.GradientTransformation
    steps: int
    batch: int | None = None
    decay: float = 0.0


def objective(
    recipe: Recipe, params: Params, x: Array, y: Array, weights: Float[Array, "rows"]
) -> Float[Array, ""]:
    """Σ_i w_i ℓ_i + (decay / 2) ‖θ‖², for weights that are divided by their sum already."""
    fit = jnp.sum(weights * recipe.loss(recipe.apply(params, x), y))
    if not recipe.decay:
        return fit
    return fit + 0.5 * recipe.decay * optax.tree.norm(params, squared=True)


def train_model(
    recipe: Recipe, x: Array, y: Array, weights: Float[Array, "points"], key: Key
) -> Params:
    """The parameters after training on the points with their weights.

    Without a point of positive weight they are those of before: a model that saw no data.

    Args:
      recipe: how.
      x, y: all points and their labels.
      weights: at least 0; only their proportions matter.
      key: of the first parameters and the order of batches. Leave it out of ``vmap``: batches are
        shared then.
    """
    x, y, points = jnp.asarray(x), jnp.asarray(y), len(x)
    first, order_key = jax.random.split(key)
    start = recipe.init(first)
    total = jnp.sum(weights)
    share = weights / jnp.where(total > 0, total, jnp.float32(1.0))

    def step(carry: tuple[Params, Any], rows: Int[Array, "batch"] | None):
        params, state = carry
        part = (x, y, share)
        if rows is not None:
            part = x[rows], y[rows], share[rows] * (points / len(rows))
        slope = jax.grad(lambda p: objective(recipe, p, *part))(params)
        updates, state = recipe.optimizer.update(slope, state, params)
        return (optax.apply_updates(params, updates), state), None

    order = None if recipe.batch is None else batches(order_key, points, recipe.batch, recipe.steps)
    state = recipe.optimizer.init(start)
    (params, _), _ = jax.lax.scan(step, (start, state), order, length=recipe.steps)
    return jax.tree.map(lambda a, b: jnp.where(total > 0, a, b), params, start)


def batches(key: Key, points: int, batch: int, steps: int) -> Int[Array, "steps batch"]:
    """Rows of each step: one random order of all points after another, cut into equal pieces."""
    epochs = -(-steps * batch // points)
    orders = jax.vmap(lambda k: jax.random.permutation(k, points))(jax.random.split(key, epochs))
    return orders.reshape(-1)[: steps * batch].reshape(steps, batch).astype(jnp.int32)
