"""One tree in every lane at once, level by level, to a depth that is data.

Each level but the first sits behind a ``cond`` inside the one above, so that one program grows
trees of all depths and a shallow tree does not pay for the levels of a deep one.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from spexjax.typing import Array, ArrayLike

# Of the node's own score: what float32 sums round to, at any scale of the residuals, is no gain.
_LEAST_GAIN = 1e-6
# Rows are counted from 1, so that this only keeps an empty side from dividing 0 by 0.
_FEWEST = 1e-6


class Limits(NamedTuple):
    """What a tree may look like.

    Attributes:
      depth: int32, its levels.
      min_child: float32, fewest (weighted) rows on either side of a split.
      leaf_l2: float32, λ in a leaf's value, Σ residuals / (rows + λ).
    """

    depth: Int[ArrayLike, ""]
    min_child: Float[ArrayLike, ""]
    leaf_l2: Float[ArrayLike, ""]


class Grown(NamedTuple):
    """Trees of at most ``deepest`` levels, in heap order, one a lane.

    Attributes:
      features: int32 (L, 2^deepest − 1), −1 where a node is not split.
      leaves: float32 (L, 2^deepest), before shrinkage.
      leaf: int32 (L, N), where every row ends.
    """

    features: Int[Array, "L nodes"]
    leaves: Float[Array, "L leaves"]
    leaf: Int[Array, "L N"]


def grow(
    X: Float[Array, "N n"],
    residual: Float[Array, "L N"],
    weights: Float[Array, "L N"],
    allowed: Bool[Array, "n"],
    limits: Limits,
    deepest: int,
) -> Grown:
    """Greedy trees for the squared loss (Chen and Guestrin 2016, equations 6 and 7, hessian 1).

    Args:
      X: 0 or 1, (N, n).
      residual: float32 (L, N), what to fit.
      weights: float32 (L, N), how much a row counts.
      allowed: bool (n,), the features that may be split on.
      limits: 1 ≤ depth ≤ deepest.
      deepest: levels of the arrays returned (static).
    """
    chex.assert_rank([X, residual], 2)
    chex.assert_equal_shape([residual, weights])
    chex.assert_shape(X, (residual.shape[1], len(allowed)))
    L, N = residual.shape
    both = jnp.stack([weights * residual, weights], axis=1)  # (L, 2, N)
    kept_by = X.T > 0.5

    def level(
        depth: int,
        totals: Float[Array, "L 2 nodes"],
        sums: Float[Array, "L 2 nodes n"],
        inside: Bool[Array, "L nodes N"],
    ) -> tuple[Array, Array, Array]:
        """Tests from here down, the leaves' sums, and the rows' way down from their nodes."""
        feature, children = _best_split(totals[..., None], sums, allowed, limits)
        children = children.reshape(L, 2, 2 ** (depth + 1))
        tested = jnp.take(kept_by, feature, axis=0, mode="clip")
        right = inside & tested & (feature >= 0)[:, :, None]
        goes_right = jnp.any(right, axis=1).astype(jnp.int32)
        if depth == deepest - 1:
            return feature, children, goes_right

        def deeper() -> tuple[Array, Array, Array]:
            kept = _product(both[:, :, None] * right[:, None].astype(jnp.float32), X)
            below = jnp.stack([sums - kept, kept], axis=3).reshape(L, 2, 2 ** (depth + 1), -1)
            apart = jnp.stack([inside & ~right, right], axis=2).reshape(L, 2 ** (depth + 1), N)
            return level(depth + 1, children, below, apart)

        def stop() -> tuple[Array, Array, Array]:
            left = 2 ** (deepest - depth - 1)
            ends = jnp.pad(children[..., None], ((0, 0), (0, 0), (0, 0), (0, left - 1)))
            return (
                jnp.full((L, 2**deepest - 2 ** (depth + 1)), -1, jnp.int32),
                ends.reshape(L, 2, -1),
                jnp.zeros((L, N), jnp.int32),
            )

        below, ends, leaf = jax.lax.cond(depth + 1 < limits.depth, deeper, stop)
        leaf = leaf + (goes_right << (deepest - depth - 1))
        return jnp.concatenate([feature, below], axis=1), ends, leaf

    everywhere = jnp.ones((L, 1, N), bool)
    totals = jnp.sum(both, axis=2, keepdims=True)
    features, ends, leaf = level(0, totals, _product(both, X)[:, :, None], everywhere)
    residuals, counts = _pair(ends)
    leaves = jnp.where(counts > 0, residuals / jnp.maximum(counts + limits.leaf_l2, _FEWEST), 0.0)
    return Grown(features, leaves, leaf)


def _product(indicators: Float[Array, "... N"], X: Float[Array, "N n"]) -> Array:
    return jnp.matmul(indicators, X, precision="highest")


def _best_split(
    total: Float[Array, "L 2 nodes 1"],
    sums: Float[Array, "L 2 nodes n"],
    allowed: Bool[Array, "n"],
    limits: Limits,
) -> tuple[Int[Array, "L nodes"], Float[Array, "L 2 nodes 2"]]:
    """The best feature of each node, −1 if none gains, and (residuals, rows) of both children."""
    (all_residuals, all_rows), (residuals, rows) = _pair(total), _pair(sums)
    other = all_rows - rows

    def score(residuals: Array, rows: Array) -> Array:
        return residuals**2 / jnp.maximum(rows + limits.leaf_l2, _FEWEST)

    before = score(all_residuals, all_rows)
    after = score(all_residuals - residuals, other) + score(residuals, rows)
    # Sums and differences of rows are exact in float32 unless weights are fractions.
    fits = (other >= limits.min_child) & (rows >= limits.min_child) & allowed
    gain = jnp.where(fits, after - before, -jnp.inf)
    feature = jnp.argmax(gain, axis=-1).astype(jnp.int32)
    split = jnp.max(gain, axis=-1) > _LEAST_GAIN * before[..., 0]
    right = jnp.take_along_axis(sums, feature[:, None, :, None], axis=-1, mode="clip")
    right = jnp.where(split[:, None, :, None], right, 0.0)
    return jnp.where(split, feature, -1), jnp.concatenate([total - right, right], axis=-1)


def _pair(sums: Float[Array, "L 2 nodes columns"]) -> tuple[Array, Array]:
    return sums[:, 0], sums[:, 1]
