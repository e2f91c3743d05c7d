"""Rotary positions (Su et al. 2021), with the stretched frequencies of Llama 3."""

import jax.numpy as jnp
from jaxtyping import Float, Int

from spexjax.models.llama.config import LlamaConfig
from spexjax.typing import Array


def rotary(
    config: LlamaConfig, positions: Int[Array, "B L"]
) -> tuple[Float[Array, "B L half"], Float[Array, "B L half"]]:
    """Cosines and sines, float32, of position × frequency (Su et al. 2021, eq. 15)."""
    half = jnp.arange(0, config.head_dim, 2, dtype=jnp.float32) / config.head_dim
    frequency = 1.0 / config.rope_theta**half
    scaling = config.rope_scaling
    if scaling is not None:
        stretched = frequency / scaling.factor
        if scaling.kind == "llama3":
            turns = scaling.original_positions * frequency / (2 * jnp.pi)
            low, high = scaling.low_freq_factor, scaling.high_freq_factor
            ramp = jnp.clip((turns - low) / (high - low), 0.0, 1.0)
            stretched = ramp * frequency + (1.0 - ramp) * stretched
        frequency = stretched
    angle = positions[..., None].astype(jnp.float32) * frequency
    return jnp.cos(angle), jnp.sin(angle)


def rotate(
    x: Float[Array, "B heads L d"], cos: Float[Array, "B L half"], sin: Float[Array, "B L half"]
) -> Float[Array, "B heads L d"]:
    """Turns the pairs (x_i, x_{i+d/2}) by their angles, in float32."""
    cos, sin = cos[:, None], sin[:, None]
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)
