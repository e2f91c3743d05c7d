"""Units in which the squares of float32 numbers neither overflow nor vanish."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from spexjax.typing import Array, ArrayLike

EXPONENT = 0x7F800000  # the exponent bits of a float32; all of them set: inf or NaN


def unit(size: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
    """The largest power of two that is at most ``size``, elementwise, float32.

    Dividing by a power of two rounds nothing, so a computation done in such units gives bit for
    bit what it gives without, wherever that stays within float32.

    Args:
      size: ≥ 0, usually the largest magnitude of what is to be divided.

    Returns:
      1 where ``size`` is 0, subnormal, infinite or NaN.
    """
    bits = jax.lax.bitcast_convert_type(jnp.asarray(size, jnp.float32), jnp.int32)
    bits = bits & jnp.int32(EXPONENT)
    normal = (bits > 0) & (bits < EXPONENT)
    return jnp.where(normal, jax.lax.bitcast_convert_type(bits, jnp.float32), jnp.float32(1))


def divisor(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x with its zeros replaced by 1, so that 0 / divisor(0) = 0; a NaN stays."""
    return jnp.where(x == 0, jnp.float32(1), x)
