"""How exact the matrix products of a port are."""

from typing import Any

import jax
import jax.numpy as jnp

from spexjax.typing import Array


def default_dtype() -> jnp.dtype:
    """What models are computed in where nobody says: bfloat16, but float32 on CPUs."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


def precision_of(dtype: jnp.dtype) -> jax.lax.Precision:
    """Full products for float32, which accelerators would otherwise round; default for the rest."""
    full = jnp.dtype(dtype) == jnp.float32
    return jax.lax.Precision.HIGHEST if full else jax.lax.Precision.DEFAULT


def wide(dtype: Any) -> jnp.dtype:
    """What sums of numbers of ``dtype`` are kept in: float32, or itself if that is wider."""
    return max(jnp.dtype(dtype), jnp.dtype(jnp.float32), key=lambda kind: kind.itemsize)


def sums(axes: str, a: Array, b: Array, dtype: Any) -> Array:
    """``einsum(axes, a, b)`` of operands rounded to ``dtype``; the sums come as :func:`wide` has
    them, not rounded.

    Accelerators add up so anyway. CPUs widen the operands first, which gives the same: XLA has no
    such product of narrow vectors there.
    """
    a, b = jnp.asarray(a, dtype), jnp.asarray(b, dtype)
    kind = wide(dtype)
    if jax.default_backend() == "cpu":
        return jnp.einsum(axes, a.astype(kind), b.astype(kind), precision=precision_of(kind))
    return jnp.einsum(axes, a, b, precision=precision_of(dtype), preferred_element_type=kind)
