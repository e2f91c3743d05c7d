"""Gradients at a trained model: of single points, and products with the curvature."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from spexjax.models.training import scores
from spexjax.models.training.learners import Params
from spexjax.models.training.scores import Score
from spexjax.models.training.training import Recipe, objective
from spexjax.typing import Array

AT_ONCE = 64  # points whose gradients are in memory at once


@partial(jax.jit, static_argnums=(0, 1))
def of_points(
    recipe: Recipe, kind: Score, params: Params, x: Array, y: Array
) -> Float[Array, "points P"]:
    """The gradient of each point's score with respect to the P parameters, as a vector."""

    def one(point: tuple[Array, Array]) -> Array:
        return gradient(recipe, kind, params, *point)

    return jax.lax.map(one, (x, y), batch_size=min(AT_ONCE, len(y)))


def gradient(recipe: Recipe, kind: Score, params: Params, x: Array, y: Array) -> Float[Array, "P"]:
    """Of one point."""

    def value(p: Params) -> Array:
        return scores.score(kind, recipe.apply(p, x[None]), y[None], recipe.loss)[0]

    return ravel_pytree(jax.grad(value)(params))[0]


def hessian_product(
    recipe: Recipe, params: Params, x: Array, y: Array
) -> Callable[[Float[Array, "P"]], Float[Array, "P"]]:
    """v ↦ H v, H the second derivative of the objective on all points."""
    flat, back = ravel_pytree(params)
    weights = jnp.full(len(y), 1 / len(y), jnp.float32)

    def slope(theta: Array) -> Array:
        return jax.grad(lambda t: objective(recipe, back(t), x, y, weights))(theta)

    return lambda v: jax.jvp(slope, (flat,), (v,))[1]


def gauss_newton_product(
    recipe: Recipe, params: Params, x: Array, y: Array
) -> Callable[[Float[Array, "P"]], Float[Array, "P"]]:
    """v ↦ (Jᵀ L J / points + decay) v: J the logits' Jacobian, L the loss's Hessian in the logits.

    Positive semidefinite for losses that are convex in the logits, at any parameters (Schraudolph
    2002).
    """
    flat, back = ravel_pytree(params)

    def logits(theta: Array) -> Array:
        return recipe.apply(back(theta), x)

    def loss(z: Array) -> Array:
        return jnp.mean(recipe.loss(z, y))

    def product(v: Array) -> Array:
        z, along = jax.jvp(logits, (flat,), (v,))
        curved = jax.jvp(jax.grad(loss), (z,), (along,))[1]
        return jax.vjp(logits, flat)[1](curved)[0] + recipe.decay * v

    return product
