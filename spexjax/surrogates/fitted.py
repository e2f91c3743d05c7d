"""What a method gets (standardised values) and gives back (:class:`Fit`)."""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from spexjax.decoding.peeling import Info
from spexjax.indices.target import Target
from spexjax.masks.design import Design
from spexjax.regression.scaling import unit
from spexjax.spectra.spectrum import Spectrum
from spexjax.typing import Array, ArrayLike

# In units of the last place: values that differ by no more are a constant.
_ROUNDING = 4.0


class Standardised(NamedTuple):
    """Values with mean 0 and mean square 1 over the masks that may be fitted.

    Attributes:
      values: (N, K), float64 on the host; float32 on the device if f's were there.
      level, spread: float64 (K,); f = level + spread · values. A constant has spread 0. Where only
        the masks held out differ, the spread is that of all.
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
        table = values.reshape(len(weights), -1)
        z, *rest = _on_device(table, jnp.asarray(weights))
        parts, spread, factor = (np.asarray(x, float) for x in rest)
        return Standardised(z, factor * parts.sum(axis=0), factor * spread, scalar)
    host = np.asarray(values, np.float64).reshape(len(weights), -1)
    start = host[np.argmax(weights)]
    shifted = host - start
    size = np.abs(shifted).max(axis=0, initial=0.0)
    shifted = shifted / np.where(size > 0, size, 1.0)
    mean = shifted[weights].mean(axis=0)
    shifted -= mean
    deviation = np.sqrt(np.mean(shifted[weights] ** 2, axis=0))
    rounding = _ROUNDING * float(np.finfo(np.result_type(values, np.float32)).eps) * np.abs(start)
    deviation = np.where(deviation * size > rounding, deviation, 1.0)
    constant = size <= rounding
    z = np.where(constant, 0.0, shifted / deviation)
    return Standardised(z, start + mean * size, np.where(constant, 0.0, deviation * size), scalar)


@jax.jit
def _on_device(
    values: Float[Array, "N K"], weights: Bool[Array, "N"]
) -> tuple[Float[Array, "N K"], Float[Array, "2 K"], Float[Array, "K"], Float[Array, "K"]]:
    """The same on the device, in float64 where the values are.

    Level (two numbers, to be added in float64) and spread are in units of the last result, powers
    of two that keep sums and reciprocals within float32.
    """
    dtype = jnp.float64 if values.dtype == jnp.float64 else jnp.float32
    values = values.astype(dtype)
    factor = jnp.clip(unit(jnp.max(jnp.abs(values), axis=0)), 2.0**-100, 2.0**100)
    values = values / factor
    start = values[jnp.argmax(weights)]
    shifted = values - start
    size = jnp.max(jnp.abs(shifted), axis=0)
    shifted = shifted / jnp.where(size > 0, size, jnp.ones_like(size))
    share = weights.astype(dtype) / jnp.sum(weights, dtype=dtype)
    mean = jnp.matmul(share, shifted, precision="highest")
    shifted = shifted - mean
    deviation = jnp.sqrt(jnp.matmul(share, shifted**2, precision="highest"))
    rounding = _ROUNDING * jnp.finfo(dtype).eps * jnp.abs(start)
    deviation = jnp.where(deviation * size > rounding, deviation, jnp.ones_like(deviation))
    constant = size <= rounding
    z = jnp.where(constant, jnp.zeros_like(shifted), shifted / deviation)
    spread = jnp.where(constant, jnp.zeros_like(size), deviation * size)
    return z.astype(jnp.float32), jnp.stack([start, mean * size]), spread, factor


class Done(enum.Enum):
    """What a method did; the value is what ``Explanation.method`` says instead of its own name."""

    AS_ASKED = None
    EXACT = "exact"
    """All masks were affordable."""
    LINEAR = "linear"
    """Single inputs only: cross-validation found that sets do not help, or none were allowed."""
    SPEX = "spex"
    """Only decoded sets were worth fitting."""
    PAPER = "proxyspex-paper"
    """ProxySPEX as published, on LightGBM's trees."""
    PAPER_DEPTH_6 = "proxyspex-paper-depth6"
    """ProxySPEX as published, on trees of at most six levels."""


class Crossed(NamedTuple):
    """Surrogates that were found and fitted without a fold of the masks; leading axis K.

    Attributes:
      surrogates: one for each fold.
      fold: int (N,), the fold to which a mask of the design belongs: the surrogate of that number
        knows nothing of its value. −1 is none.
    """

    surrogates: tuple[Spectrum, ...]
    fold: Int[np.ndarray, "N"]


class Fit(NamedTuple):
    """Surrogates of standardised values; leading axis K, for a scalar function too.

    Attributes:
      tested: fitted without the held-out masks, so that these may measure it.
      surrogate: the same support, the empty set in it, fitted with them.
      done: what was done.
      info: diagnostics of a search, if there was one.
      crossed: what a cross-validation fitted in its folds, where there was one.
      target: the index that the masks were chosen for, where there is one.
    """

    tested: Spectrum
    surrogate: Spectrum
    done: Done = Done.AS_ASKED
    info: Info | None = None
    crossed: Crossed | None = None
    target: Target | None = None


class Samples(NamedTuple):
    """A design's values, the coded ones apart."""

    coded: Float[ArrayLike, "C_D_B K"] | None
    """Values at the coded design's masks, in its order."""
    rows: UInt32[np.ndarray, "rows W"]
    """All other masks, packed."""
    values: Float[ArrayLike, "rows K"]
    held_out: Bool[np.ndarray, "rows"]
    """Masks that nothing may be fitted to until faithfulness has been measured."""


def samples(design: Design, values: Float[ArrayLike, "N K"]) -> Samples:
    """The values of a design, those at coded masks apart."""
    rows = uncoded(design)
    coded = None if design.coded_rows is None else values[design.coded_rows]
    return Samples(coded, design.packed[rows], values[rows], design.held_out[rows])


def uncoded(design: Design) -> Int[np.ndarray, "rows"]:
    """The places of the masks that are not of the coded design."""
    coded = () if design.coded_rows is None else design.coded_rows
    return np.setdiff1d(np.arange(len(design)), coded)
