"""SPEX: from the values of a coded design to a sparse spectrum (Kang et al. 2025)."""

import dataclasses
import functools
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32

from spexjax.codes import bch
from spexjax.decoding import peeling
from spexjax.decoding.peeling import Info, PeelConfig
from spexjax.masks import CodedDesign
from spexjax.spectra import transforms
from spexjax.spectra.spectrum import Spectrum
from spexjax.typing import Array, ArrayLike

JOINT_OUTPUTS = 64
_SKETCH_ROUNDS = 2
_FAR = 64.0
"""A mean of this many times the largest deviation is taken off twice: its rounding shows."""

_matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


class Found(NamedTuple):
    """The decoded sets as lists of members: the form that the refit works on."""

    features: Int32[Array, "S t"]
    coefficients: Float[Array, "S K"]
    valid: Bool[Array, "S"]


def decode(
    design: CodedDesign,
    values: Float[ArrayLike, "N *K"],
    config: PeelConfig = PeelConfig(),  # noqa: B008 (frozen)
    *,
    shared_support: bool = False,
    batch: Literal["map", "vmap"] = "map",
) -> tuple[Spectrum, Info]:
    """Decodes the values at the masks of a design into a sparse spectrum, before any refit.

    The bins are U_{c,i}(j) = 2⁻ᵇ Σ_ℓ (−1)^⟨j,ℓ⟩ f(x_{c,i}(ℓ)); each is decoded by the code and
    peeled (:mod:`spexjax.decoding.peeling`). The empty set is always a term and holds the mean.
    The spectrum of s·f + c has the sets of f, and s times their coefficients.

    Args:
      design: the masks.
      values: float (N,) or (N, K), f at ``design.packed()``, in that order. Of float64 a large mean
        is taken off before the rest is rounded to float32.
      config: settings of the search (static).
      shared_support: for K outputs, False finds a support for each, True one for all from their
        summed energy. With more than 64 outputs the sum is over their 64 leading principal
        directions, which carry the most energy that 64 can.
      batch: how outputs with their own supports are computed: "map" one after another (faster on
        CPUs), "vmap" in lockstep (every output then takes as many rounds as the longest).

    Returns:
      The spectrum, with leading axis K for vector values, and Info.

    Raises:
      ValueError: if the number of values is not N, if they are complex, or if an option is not one
        of those named.
      TypeError: if differentiated, since the search is discrete.
    """
    values = values if isinstance(values, jax.Array) else np.asarray(values)
    if jnp.iscomplexobj(values):
        raise ValueError("values must be real, got complex numbers: decode their parts one by one.")
    if values.ndim not in (1, 2) or values.shape[0] != design.num_masks:
        raise ValueError(
            f"values must have shape ({design.num_masks},) or ({design.num_masks}, K) for this "
            f"design, got {values.shape}."
        )
    if batch not in ("map", "vmap"):
        raise ValueError(f"batch must be 'map' or 'vmap', got {batch!r}.")
    return _decode(design, *_rounded(values), config, shared_support, batch)


def _rounded(values: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
    """Values as float32, and what was taken off each output before, while they were float64."""
    xp = np if isinstance(values, np.ndarray) else jnp
    if values.dtype != jnp.float64:
        return values.astype(np.float32), np.zeros(values.shape[1:], np.float32)
    mean = values.mean(axis=0)
    offset = xp.where(xp.abs(mean) > _FAR * xp.abs(values - mean).max(axis=0), mean, 0.0)
    return (values - offset).astype(np.float32), offset.astype(np.float32)


@functools.partial(jax.jit, static_argnames=("config", "shared_support", "batch"))
def _decode(design, values, offset, config, shared_support, batch):
    def one(column, offset):
        found, info = search(design, column[:, None], config)
        return _spectrum(design, found, offset[None], squeeze=True), info

    if values.ndim == 1:
        return one(values, offset)
    if shared_support:
        found, info = search(design, values, config)
        return _spectrum(design, found, offset, squeeze=False), info
    if batch == "vmap":
        spectra, info = jax.vmap(one)(values.T, offset)
    else:
        spectra, info = jax.lax.map(lambda output: one(*output), (values.T, offset))
    return dataclasses.replace(spectra, n=design.n), info


@jax.custom_jvp
def _undifferentiable(values: Array) -> Array:
    return values


@_undifferentiable.defjvp
def _refuse(primals, tangents):
    raise TypeError(
        "decode has no derivative: which sets it finds changes in steps. Differentiate with the "
        "sets held fixed, through spectrum.predict or a least-squares fit of their coefficients."
    )


def power_of_two(x: Float[Array, ""]) -> Float[Array, ""]:
    """The largest power of two up to a float32 x > 0, from 2^−126 to 2^126; 1 for x = 0."""
    _, exponent = jnp.frexp(x)
    power = jnp.ldexp(jnp.float32(1), jnp.clip(exponent - 1, -126, 126)).astype(jnp.float32)
    return jnp.where(x > 0, power, jnp.float32(1))


def search(
    design: CodedDesign,
    values: Float[Array, "N K"],
    config: PeelConfig,
    active: Bool[Array, "C"] | None = None,
) -> tuple[Found, Info]:
    """Finds one support for K outputs together, with each output's coefficients.

    Before peeling, which has absolute tolerances, the values are centred and divided by a power of
    two that leaves the largest deviation between 1 and 2. No bit of a result depends on it.

    Args:
      design: the masks.
      values: float32 (N, K).
      config: settings of the search (static).
      active: bool (C,), the groups whose values may be used; all if None.

    Returns:
      What was found, the empty set first, and Info. The noise in Info is a variance, so that it
      leaves the range of float32 if the values are of size 10^±19.

    Raises:
      TypeError: if differentiated, since the search is discrete.
    """
    C, D, B = design.groups, design.num_delays, 2**design.b
    K = values.shape[1]
    chex.assert_shape(values, (design.num_masks, None))
    chex.assert_type(values, jnp.float32)
    weight = jnp.ones(C, jnp.float32) if active is None else active.astype(jnp.float32)
    values = _undifferentiable(values).reshape(C, D * B, K)
    values = jnp.where(weight[:, None, None] > 0, values, 0.0)

    def mean_of(values: Array) -> Array:
        return _matmul(weight, jnp.mean(values, axis=1)) / jnp.sum(weight)

    mean = mean_of(values)
    centred = values - mean
    rest = mean_of(centred)
    deviation = jnp.max(jnp.abs(centred) * weight[:, None, None], axis=(0, 1))
    rest = jnp.where(jnp.abs(mean) > _FAR * deviation, rest, 0.0)
    centred = centred - rest
    spread = power_of_two(jnp.max(jnp.abs(centred) * weight[:, None, None]))
    centred = centred / spread
    centred = centred.reshape(-1, K)

    basis = None if K <= JOINT_OUTPUTS else principal_directions(centred, JOINT_OUTPUTS)
    joint = centred if basis is None else _matmul(centred, basis)
    bins = transforms.fwht(joint.reshape(C, D, B, -1), axis=2) / B
    state, info = peeling.run(design, bins, config, active)
    coefficients = state.coefficients if basis is None else _matmul(state.coefficients, basis.T)
    coefficients = (coefficients * spread).at[0].add(mean).at[0].add(rest)
    valid = jnp.arange(state.keys.shape[0], dtype=jnp.int32) < state.num_terms
    info = info._replace(noise=info.noise * spread * spread)
    return Found(state.features, coefficients, valid), info


def principal_directions(values: Float[Array, "N K"], size: int) -> Float[Array, "K size"]:
    """Orthonormal directions of the outputs that carry the most energy (subspace iteration).

    Args:
      values: float32 (N, K), of moderate size: their squares are summed.
      size: how many, at most N and K.
    """
    key = jax.random.key(0, impl="threefry2x32")
    basis = jax.random.normal(key, (values.shape[1], size), values.dtype)
    for _ in range(_SKETCH_ROUNDS + 1):
        basis, _ = jnp.linalg.qr(_matmul(values.T, _matmul(values, basis)))
    return basis


def _spectrum(
    design: CodedDesign, found: Found, offset: Float[Array, "K"], squeeze: bool
) -> Spectrum:
    W = design.shifts.shape[-1]
    supports = bch.features_to_packed(found.features, W)
    valid = found.valid
    coefficients = found.coefficients.at[0].add(offset).T
    return Spectrum(
        jnp.where(valid[:, None], supports, jnp.uint32(0)),
        coefficients[0] if squeeze else coefficients,
        valid,
        design.n,
    )
