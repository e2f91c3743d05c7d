"""The linear fit of every lane, and the pairs that its residuals speak for.

Pairs that correlate most with what a linear fit leaves are candidates (sure independence screening:
Fan and Lv 2008).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Int32

from spexjax.compiling import QUICKLY
from spexjax.regression import matmul, ridge_solve
from spexjax.typing import Array

SCREENED_FEATURES = 2048
_RIDGE_ROWS = 1.0  # the penalty of the linear fit, in rows per feature


@partial(jax.jit, static_argnames=("folds", "count"), compiler_options=QUICKLY)
def linear(
    masks: Bool[Array, "N n_pad"],
    values: Float[Array, "N"],
    fold: Int[Array, "N"],
    n: Int[Array, ""],
    folds: int,
    count: int,
) -> tuple[Float[Array, "L n_pad"], Int32[Array, "L count 2"]]:
    """Ridge regression on the single inputs, and the pairs that its residuals speak for.

    Returns:
      The coefficients in each lane, and its pairs of largest |Σ r s_i s_j|, the largest first,
      −1 where there are no more.
    """
    signs = jnp.where(masks, jnp.float32(-1.0), jnp.float32(1.0))
    counts = (fold >= 0).astype(jnp.float32)
    out = (fold == jnp.arange(folds, dtype=fold.dtype)[:, None]).astype(jnp.float32)
    train = jnp.concatenate([counts - out, counts[None]])
    size = jnp.maximum(jnp.sum(train, axis=1, keepdims=True), 1.0)
    values = jnp.where(fold >= 0, values, 0.0)
    centred = train * (values - matmul(train, values)[:, None] / size)
    present = jnp.any((signs < 0) & (fold >= 0)[:, None], axis=0)

    def product(w: Array) -> Array:
        fitted = train * matmul(w, signs.T)
        fitted = fitted - train * jnp.sum(fitted, axis=1, keepdims=True) / size
        return matmul(fitted, signs) / size

    features = jnp.maximum(jnp.sum(present, dtype=jnp.float32), 1.0)
    strength = _RIDGE_ROWS * features / size[:, 0]
    w, _ = ridge_solve(
        product, matmul(centred, signs) / size, strength, mask=present, tol=1e-4, max_iter=50
    )
    residual = train * (centred - matmul(w, signs.T))
    residual = residual - train * jnp.sum(residual, axis=1, keepdims=True) / size
    return w, _screen(signs, residual / size, w, n, count)


def _screen(
    signs: Float[Array, "N n_pad"],
    residual: Float[Array, "L N"],
    linear: Float[Array, "L n_pad"],
    n: Int[Array, ""],
    count: int,
) -> Int32[Array, "L count 2"]:
    n_pad = signs.shape[1]
    width = min(n_pad, SCREENED_FEATURES)
    place = jnp.arange(width, dtype=jnp.int32)

    def lane(args: tuple[Array, Array]) -> Array:
        r, w = args
        chosen, columns = place, signs
        if n_pad > width:  # only the strongest, padding last
            rank = jnp.where(jnp.arange(n_pad) < n, jnp.abs(w), -1.0)
            chosen = jnp.sort(jnp.argsort(-rank, stable=True)[:width]).astype(jnp.int32)
            columns = signs[:, chosen]
        meet = jnp.abs(matmul((columns * r[:, None]).T, columns))
        upper = (place[:, None] < place) & (chosen < n)
        size, best = jax.lax.top_k(jnp.where(upper, meet, -1.0).ravel(), min(count, width**2))
        best = best.astype(jnp.int32)
        pairs = jnp.stack([chosen[best // width], chosen[best % width]], axis=1)
        return jnp.where(size[:, None] >= 0, pairs, -1)

    return jax.lax.map(lane, (residual, linear))
