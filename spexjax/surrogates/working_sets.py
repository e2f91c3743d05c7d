"""Fits of very many columns, solved on those few that can have a coefficient.

A product with the Gram matrix of ``SIZE`` of them takes a fraction of the time of one with all, for
which memory is read that no cache holds. The columns are guessed, the fit is solved on them, and
those that violate the optimality conditions are added (Tibshirani et al. 2012, section 7).
:mod:`spexjax.regression.lasso_path` does so on rows, with columns of its own in each training set;
here all lanes have one Gram matrix, so that one part of it serves them all.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Int32

from spexjax.regression import lasso_solve, matmul
from spexjax.regression.proximal import violation
from spexjax.regression.scaling import divisor
from spexjax.typing import Array

SIZE = 2048
_ROUNDS = 4
# With more columns in use there is little room for others: rounds would swap some for some.
_MOST = 3 * SIZE // 4


def start_of_lasso(
    product: Callable[[Array], Array],
    gram_of: Callable[[Int32[Array, "SIZE"]], Float[Array, "SIZE SIZE"]],
    correlations: Float[Array, "T"],
    levels: Float[Array, "L T"],
    mask: Bool[Array, "L T"],
    steepness: Float[Array, ""],
    w: Float[Array, "L T"],
    tol: Float[Array, ""],
    steps: Int[Array, ""],
) -> Float[Array, "L T"]:
    """A point near the L1 solutions of all lanes, or where the search for their columns ended.

    Args:
      product: w ↦ G w; T is more than ``SIZE``.
      gram_of: the part of G of some columns.
      correlations: b.
      levels: the weight of |w_j| in each lane, 0 for what is not penalised.
      mask: columns that may be used.
      steepness: about the largest eigenvalue of G.
      w: where to start.
      tol, steps: see :func:`spexjax.regression.lasso_solve`.
    """

    def largest(b: Array, mask: Array) -> Array:
        return jnp.max(jnp.where(mask, jnp.abs(b), 0.0), axis=1)

    goal = tol * largest(correlations, mask)

    def slope_at(w: Array) -> Array:
        return jnp.where(mask, correlations - product(w), 0.0)

    def used(w: Array) -> Array:
        return jnp.any((w != 0) | (mask & (levels == 0)), axis=0)

    def going(state: tuple[Array, ...]) -> Array:
        w, slope, rounds = state
        off = jnp.where(mask, violation(w, slope, levels), 0.0)
        few = jnp.sum(used(w), dtype=jnp.int32) <= _MOST
        return few & (rounds < _ROUNDS) & jnp.any(jnp.max(off, axis=1) > goal)

    def one_round(state: tuple[Array, ...]) -> tuple[Array, ...]:
        w, slope, rounds = state
        ratio = jnp.max(jnp.abs(slope) / divisor(levels), axis=0)
        _, index = jax.lax.top_k(jnp.where(used(w), jnp.inf, ratio), SIZE)
        index = index.astype(jnp.int32)
        gram = gram_of(index)
        b, kept = correlations[index], mask[:, index]
        found, _ = lasso_solve(
            lambda v: matmul(v, gram),
            jnp.broadcast_to(b, kept.shape),
            jnp.ones(len(w), jnp.float32),
            steepness,
            penalty=levels[:, index],
            mask=kept,
            w0=w[:, index],
            tol=goal / divisor(largest(b, kept)),
            max_iter=steps,
        )
        w = jnp.zeros_like(w).at[:, index].set(found)
        return w, slope_at(w), rounds + 1

    start: tuple[Array, ...] = (w, slope_at(w), jnp.int32(0))
    return jax.lax.while_loop(going, one_round, start)[0]
