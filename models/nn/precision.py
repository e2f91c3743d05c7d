"""How exact the matrix products of a port are."""

import jax
import jax.numpy as jnp


def precision_of(dtype: jnp.dtype) -> jax.lax.Precision:
    """Full products for float32, which accelerators would otherwise round; default for the rest."""
    full = jnp.dtype(dtype) == jnp.float32
    return jax.lax.Precision.HIGHEST if full else jax.lax.Precision.DEFAULT
