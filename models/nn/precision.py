"""How exact the matrix products of a port are."""

import jax
import jax.numpy as jnp


def default_dtype() -> jnp.dtype:
    """What models are computed in where nobody says: bfloat16, but float32 on CPUs."""
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


def precision_of(dtype: jnp.dtype) -> jax.lax.Precision:
    """Full products for float32, which accelerators would otherwise round; default for the rest."""
    full = jnp.dtype(dtype) == jnp.float32
    return jax.lax.Precision.HIGHEST if full else jax.lax.Precision.DEFAULT
