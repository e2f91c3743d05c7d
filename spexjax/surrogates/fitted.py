"""What a method gets (standardised values) and gives back (:class:`Fit`)."""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from spexjax.decoding.peeling import Info
from spexjax.masks.design import Design
from spexjax.spectra.spectrum import Spectrum
from spexjax.typing import Array, ArrayLike

_ROUNDING = 16 * float(np.finfo(np.float64).eps)


class Standardised(NamedTuple):
    """Values with mean 0 and mean square 1 over the masks that may be fitted.

    Attributes:
      values: float32 (N, K), on the device if f's were.
      level, spread: float64 (K,); f = level + spread · values. A constant has spread 1.
      scalar: whether f returned (N,); K is then 1.
    """

    values: Float[ArrayLike, "N K"]
    level: Float[np.ndarray, "K"]
    spread: Float[np.ndarray, "K"]
    scalar: bool


def standardise(values: Float[ArrayLike, "N *K"], fitted: Bool[np.ndarray, "N"]) -> Standardised:
    """Mean and spread out of the values: in float64 on the host, in float32 on the device.

    Args:
      values: (N,) or (N, K); a jax array stays on its device.
      fitted: bool (N,), the masks that mean and spread are taken over; all if there are none.
    """
    scalar = values.ndim == 1
    weights = fitted if fitted.any() else np.ones(len(fitted), bool)
    if isinstance(values, jax.Array):
        z, parts, spread = _on_device(values.reshape(len(weights), -1), jnp.asarray(weights))
        level = np.asarray(parts, float).sum(axis=0)
        return Standardised(z, level, np.asarray(spread, float), scalar)
    table = np.asarray(values, np.float64).reshape(len(weights), -1)
    start = table[np.argmax(weights)]
    shifted = table - start
    size = np.abs(shifted).max(axis=0, initial=0.0)
    shifted = shifted / np.where(size > 0, size, 1.0)
    mean = shifted[weights].mean(axis=0)
    shifted -= mean
    deviation = np.sqrt(np.mean(shifted[weights] ** 2, axis=0))
    constant = deviation * size <= _ROUNDING * np.abs(start)
    deviation = np.where(constant, 1.0, deviation)
    spread = np.where(constant, 1.0, deviation * size)
    z = np.where(constant, 0.0, shifted / deviation).astype(np.float32)
    return Standardised(z, start + mean * size, spread, scalar)


@jax.jit
def _on_device(
    values: Float[Array, "N K"], weights: Bool[Array, "N"]
) -> tuple[Float[Array, "N K"], Float[Array, "2 K"], Float[Array, "K"]]:
    """The same in float32; the level as two numbers to be added in float64."""
    values = values.astype(jnp.float32)
    start = values[jnp.argmax(weights)]
    shifted = values - start
    size = jnp.max(jnp.abs(shifted), axis=0)
    shifted = shifted / jnp.where(size > 0.0, size, jnp.float32(1.0))
    share = weights.astype(jnp.float32) / jnp.sum(weights, dtype=jnp.float32)
    mean = jnp.matmul(share, shifted, precision="highest")
    shifted = shifted - mean
    deviation = jnp.sqrt(jnp.matmul(share, shifted**2, precision="highest"))
    constant = deviation <= 0.0
    deviation = jnp.where(constant, jnp.float32(1.0), deviation)
    spread = jnp.where(constant, jnp.float32(1.0), deviation * size)
    z = jnp.where(constant, jnp.float32(0.0), shifted / deviation)
    return z, jnp.stack([start, mean * size]), spread


class Done(enum.Enum):
    """What a method did."""

    AS_ASKED = enum.auto()
    EXACT = enum.auto()
    """All masks were affordable."""
    LINEAR = enum.auto()
    """Single inputs only: cross-validation found that sets do not help, or none were allowed."""
    SPEX = enum.auto()
    """Only decoded sets were worth fitting."""
    PAPER = enum.auto()
    """ProxySPEX as published, on LightGBM's trees."""
    PAPER_DEPTH_6 = enum.auto()
    """ProxySPEX as published, on trees of at most six levels."""


class Fit(NamedTuple):
    """Surrogates of standardised values; leading axis K, for a scalar function too.

    Attributes:
      tested: fitted without the held-out masks, so that these may measure it.
      surrogate: the same support, fitted with them.
      done: what was done.
      info: diagnostics of a search, if there was one.
    """

    tested: Spectrum
    surrogate: Spectrum
    done: Done = Done.AS_ASKED
    info: Info | None = None


class Samples(NamedTuple):
    """A design's values, the coded ones apart."""

    coded: Float[ArrayLike, "C_D_B K"] | None
    """Values at the coded design's masks, in its order."""
    rows: UInt32[np.ndarray, "rows W"]
    """All other masks, packed."""
    values: Float[ArrayLike, "rows K"]
    held_out: Bool[np.ndarray, "rows"]
    """Masks that nothing may be fitted to until faithfulness has been measured."""
    unit: Int[np.ndarray, "rows"]
    """Rows with one number stay in one fold of a cross-validation."""


def samples(design: Design, values: Float[ArrayLike, "N K"]) -> Samples:
    """The values of a design, those at coded masks apart."""
    if design.coded_rows is None:
        coded, rows = None, np.arange(len(design))
    else:
        coded = values[design.coded_rows]
        rows = np.setdiff1d(np.arange(len(design)), design.coded_rows)
    _, unit = np.unique(design.unit[rows], return_inverse=True)
    return Samples(coded, design.packed[rows], values[rows], design.held_out[rows], unit)
