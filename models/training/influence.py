"""Influence functions: what leaving a point out would do, to first order and without training.

Koh and Liang, ICML 2017, arXiv 1703.04730. With objective Σ_i w_i ℓ_i / Σ_i w_i + (decay / 2) ‖θ‖²,
the minimum moves by dθ/dw_i = −H⁻¹ (∇ℓ_i − ∇ℓ̄) / points, ∇ℓ̄ the mean gradient, and a score by its
gradient times that.
"""

from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spexjax.models.training import gradients
from spexjax.models.training.value import Asked, DataValue
from spexjax.typing import Array

Curvature = Literal["hessian", "gauss-newton"]


def influence(
    f: DataValue,
    curvature: Curvature = "gauss-newton",
    damping: float = 0.0,
    max_iter: int = 300,
) -> Float[np.ndarray, "n K"]:
    """What each feature adds to each test point's score, at the model of all points.

    An estimate of f(1…1) − f(1…1 without the feature), summed over a group's points and averaged
    over the seeds of f.

    Args:
      f: the value function; its model of all points should be near a minimum.
      curvature: "hessian", exact, for convex problems such as logistic regression; or the
        "gauss-newton" matrix, which is never indefinite.
      damping: added to the curvature's diagonal; needed where that is singular, as for most
        networks without ``decay``.
      max_iter: steps of conjugate gradients for each test point.

    Raises:
      ValueError: if the curvature is unknown or the damping negative.
    """
    if curvature not in get_args(Curvature):
        raise ValueError(f"curvature must be one of {get_args(Curvature)}, got {curvature!r}.")
    if not damping >= 0:
        raise ValueError(f"damping must be at least 0, got {damping}.")
    parts = [
        _influence(f.asked, curvature, max_iter, *f.train, *f.test, f.params(seed=s), damping)
        for s in range(len(f.keys))
    ]
    return by_feature(f, np.mean([np.asarray(p) for p in parts], axis=0))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _influence(
    asked: Asked, curvature: Curvature, max_iter: int, x, y, x_test, y_test, params, damping
) -> Float[Array, "points K"]:
    recipe = asked.recipe
    make = {
        "hessian": gradients.hessian_product,
        "gauss-newton": gradients.gauss_newton_product,
    }[curvature]
    product = make(recipe, params, x, y)
    losses = gradients.of_points(recipe, "loss", params, x, y)
    tests = gradients.of_points(recipe, asked.score, params, x_test, y_test)

    def solve(g: Array) -> Array:
        found, _ = jax.scipy.sparse.linalg.cg(
            lambda v: product(v) + damping * v, g, tol=1e-6, maxiter=max_iter
        )
        return found

    moved = (losses - jnp.mean(losses, axis=0)) / len(y)
    return -jnp.matmul(moved, jax.lax.map(solve, tests).T, precision="highest")


def leave_one_out(f: DataValue) -> Float[np.ndarray, "n K"]:
    """f(1…1) − f(1…1 without the feature), by n + 1 trainings."""
    masks = np.concatenate([np.ones((1, f.n), bool), ~np.eye(f.n, dtype=bool)])
    values = f(masks)
    return values[:1] - values[1:]


def by_feature(f: DataValue, values: Float[np.ndarray, "points K"]) -> Float[np.ndarray, "n K"]:
    """Values of points, added up in each feature."""
    found = np.zeros((f.n, values.shape[1]))
    np.add.at(found, np.asarray(f.feature), values)
    return found
