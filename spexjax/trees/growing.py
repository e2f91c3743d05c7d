"""One tree in every lane at once, level by level, to a depth that is data.

Each level but the first sits behind a ``cond`` inside the one above, so that one program grows
trees of all depths and a shallow tree does not pay for the levels of a deep one.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from spexjax.codes import gf2
from spexjax.typing import Array, ArrayLike

# Of the node's own score: what float32 sums round to, at any scale of the residuals, is no gain.
_LEAST_GAIN = 1e-6
# Rows are counted from 1, so that this only keeps an empty side from dividing 0 by 0.
_FEWEST = 1e-6
_FEW = 8  # words whose bits are summed at once


class Limits(NamedTuple):
    """What a tree may look like.

    Attributes:
      depth: int32, its levels.
      min_child: float32, fewest rows on either side of a split.
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


class Masks(NamedTuple):
    """Masks twice, for sums of numbers and for counts.

    Attributes:
      X: float32 (N, n), 0 or 1.
      bits: uint32 (n, ⌈N / 32⌉), the same packed along rows.
    """

    X: Float[Array, "N n"]
    bits: UInt32[Array, "n words"]

    @classmethod
    def of(cls, masks: Bool[ArrayLike, "N n"]) -> "Masks":
        """Those of masks, made by the host if they are there."""
        if not isinstance(masks, np.ndarray):
            masks = jnp.asarray(masks, bool)
            return cls(masks.astype(jnp.float32), gf2.pack(masks.T, _words(len(masks))))
        bits = gf2.pack_numpy(masks.T, _words(len(masks)))
        return cls(jax.device_put(masks.astype(np.float32)), jax.device_put(bits))


def grow(
    masks: Masks,
    residual: Float[Array, "L N"],
    used: Bool[Array, "L N"],
    allowed: Bool[Array, "n"],
    limits: Limits,
    deepest: int,
) -> Grown:
    """Greedy trees for the squared loss (Chen and Guestrin 2016, equations 6 and 7, hessian 1).

    Args:
      masks: (N, n).
      residual: float32 (L, N), what to fit.
      used: bool (L, N), the rows that count.
      allowed: bool (n,), the features that may be split on.
      limits: 1 ≤ depth ≤ deepest.
      deepest: levels of the arrays returned (static).
    """
    chex.assert_equal_shape([residual, used])
    chex.assert_shape(masks.X, (residual.shape[1], len(allowed)))
    L, N = residual.shape
    residual = jnp.where(used, residual, 0.0)
    counted = gf2.pack(used, _words(N))[:, None]

    def level(
        depth: int,
        totals: Float[Array, "L 2 nodes"],
        sums: Float[Array, "L 2 nodes n"],
        node: Int[Array, "L N"],
        inside: UInt32[Array, "L nodes words"],
    ) -> tuple[Array, Array, Array]:
        """Tests from here down, the leaves' sums, and the leaves of rows that are in ``node``."""
        feature, children = _best_split(totals[..., None], sums, allowed, limits)
        children = children.reshape(L, 2, 2 ** (depth + 1))
        kept = jnp.where((feature >= 0)[..., None], masks.bits[jnp.maximum(feature, 0)], 0)
        right = inside & kept
        # Nodes have no rows in common, so that a sum is what any of them has.
        goes_right = gf2.unpack(jnp.sum(right, axis=1, dtype=jnp.uint32), N)
        below = 2 * node + goes_right.astype(jnp.int32)
        if depth == deepest - 1:
            return feature, children, below

        def deeper() -> tuple[Array, Array, Array]:
            into = below[:, None] == 2 * jnp.arange(2**depth, dtype=jnp.int32)[:, None] + 1
            on_right = _sums(masks, jnp.where(into, residual[:, None], 0.0), right & counted)
            apart = jnp.stack([sums - on_right, on_right], axis=3)
            apart = apart.reshape(L, 2, 2 ** (depth + 1), -1)
            within = jnp.stack([inside & ~kept, right], axis=2).reshape(L, 2 ** (depth + 1), -1)
            return level(depth + 1, children, apart, below, within)

        def stop() -> tuple[Array, Array, Array]:
            left = 2 ** (deepest - depth - 1)
            ends = jnp.pad(children[..., None], ((0, 0), (0, 0), (0, 0), (0, left - 1)))
            return (
                jnp.full((L, 2**deepest - 2 ** (depth + 1)), -1, jnp.int32),
                ends.reshape(L, 2, -1),
                below << (deepest - depth - 1),
            )

        features, ends, leaf = jax.lax.cond(depth + 1 < limits.depth, deeper, stop)
        return jnp.concatenate([feature, features], axis=1), ends, leaf

    counts = jnp.sum(used, axis=1, dtype=jnp.float32)
    features, ends, leaf = level(
        0,
        jnp.stack([jnp.sum(residual, axis=1), counts], axis=1)[..., None],
        _sums(masks, residual[:, None], counted),
        jnp.zeros((L, N), jnp.int32),
        ~jnp.zeros_like(counted),
    )
    residuals, counts = _pair(ends)
    leaves = jnp.where(counts > 0, residuals / jnp.maximum(counts + limits.leaf_l2, _FEWEST), 0.0)
    return Grown(features, leaves, leaf)


def _words(rows: int) -> int:
    """No more than so many rows need: this is no ladder."""
    return -(-rows // gf2.WORD)


def _sums(
    masks: Masks, residual: Float[Array, "L nodes N"], inside: UInt32[Array, "L nodes words"]
) -> Float[Array, "L 2 nodes n"]:
    """Over the masks in a node that keep feature i: the sum of residuals, and how many there are.

    Both could be one matrix product; counting bits takes a tenth of its half.
    """
    common = jax.lax.population_count(_together(inside)[:, :, None] & _together(masks.bits))
    # Sums of few at a time: XLA would write all that a long one adds up into memory first.
    counts = jnp.sum(common.astype(jnp.int32), axis=-1, dtype=jnp.int32)
    counts = jnp.sum(counts, axis=-1, dtype=jnp.int32)
    sums = jnp.matmul(residual, masks.X, precision="highest")
    return jnp.stack([sums, counts.astype(jnp.float32)], axis=1)


def _together(words: UInt32[Array, "... words"]) -> UInt32[Array, "... groups few"]:
    pad = [(0, 0)] * (words.ndim - 1) + [(0, -words.shape[-1] % _FEW)]
    return jnp.pad(words, pad).reshape(*words.shape[:-1], -1, _FEW)


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
    fits = (other >= limits.min_child) & (rows >= limits.min_child) & allowed
    gain = jnp.where(fits, after - before, -jnp.inf)
    feature = jnp.argmax(gain, axis=-1).astype(jnp.int32)
    split = jnp.max(gain, axis=-1) > _LEAST_GAIN * before[..., 0]
    right = jnp.take_along_axis(sums, feature[:, None, :, None], axis=-1, mode="clip")
    right = jnp.where(split[:, None, :, None], right, 0.0)
    return jnp.where(split, feature, -1), jnp.concatenate([total - right, right], axis=-1)


def _pair(sums: Float[Array, "L 2 nodes columns"]) -> tuple[Array, Array]:
    return sums[:, 0], sums[:, 1]
