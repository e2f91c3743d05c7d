"""How well a surrogate follows the function that it explains."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Float

from spexjax.typing import Array, ArrayLike, Key


def r2(values: Float[ArrayLike, "N *K"], predictions: Float[ArrayLike, "N *K"]) -> Array:
    """Faithfulness R² = 1 − Σ (f − f̂)² / Σ (f − mean f)², float32 () or (K,).

    A constant f gives 1 where it is predicted exactly and −inf where it is not. Kang et al. 2025,
    section 5 (there over fresh uniform masks).

    Raises:
      ValueError: if the shapes differ.
    """
    f, g = jnp.asarray(values, jnp.float32), jnp.asarray(predictions, jnp.float32)
    if f.shape != g.shape:
        raise ValueError(f"predictions must have the shape of values {f.shape}, got {g.shape}.")
    return _ratio(jnp.sum((f - g) ** 2, axis=0), jnp.sum((f - jnp.mean(f, axis=0)) ** 2, axis=0))


def _ratio(error: Array, spread: Array) -> Array:
    safe = jnp.where(spread > 0.0, spread, 1.0)
    constant = jnp.where(error > 0.0, -jnp.inf, 1.0)
    return jnp.where(spread > 0.0, 1.0 - error / safe, constant)


@partial(jax.jit, static_argnames=("resamples",))
def r2_interval(
    key: Key,
    values: Float[ArrayLike, "N *K"],
    predictions: Float[ArrayLike, "N *K"],
    level: float = 0.95,
    resamples: int = 1000,
) -> tuple[Array, Array]:
    """A bootstrap interval for R²: percentiles over resampled masks (Efron 1979).

    Args:
      key: a JAX key.
      values: float32 (N,) or (N, K).
      predictions: the same shape.
      level: nominal coverage.
      resamples: static number of bootstrap samples.

    Returns:
      The lower and the upper end, () or (K,).
    """
    f, g = jnp.asarray(values, jnp.float32), jnp.asarray(predictions, jnp.float32)
    N = f.shape[0]

    def once(key: Key) -> Array:
        # Multinomial counts by histogram: the sums need no gathered copies of the values.
        counts = jnp.zeros(N).at[jax.random.randint(key, (N,), 0, N)].add(1.0) / N
        mean = counts @ f
        return _ratio(counts @ (f - g) ** 2, counts @ f**2 - mean**2)

    f = f - jnp.mean(f, axis=0)
    g = g - jnp.mean(jnp.asarray(values, jnp.float32), axis=0)
    samples = jax.lax.map(once, jax.random.split(key, resamples))
    tail = (1.0 - jnp.asarray(level)) / 2
    return jnp.quantile(samples, tail, axis=0), jnp.quantile(samples, 1.0 - tail, axis=0)
