"""SPEX: from the values of a coded design to a sparse spectrum (Kang et al. 2025)."""

import dataclasses
import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
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


@dataclasses.dataclass(frozen=True)
class Spex:
    """Configuration of ``method="spex"``.

    Attributes:
      b: log2 of the bins per group; the largest that the budget affords if None.
      t: degree the code corrects; ``max_order`` of the call if None.
      groups: C, independent groups of masks.
      decoder: "soft" (Chase) or "hard".
      shared_support: one support for all outputs; True for more than 64 outputs if None.
      peel: settings of the search.
    """

    b: int | None = None
    t: int | None = None
    groups: int = 3
    decoder: Literal["soft", "hard"] = "soft"
    shared_support: bool | None = None
    peel: PeelConfig = PeelConfig()  # noqa: RUF009 (frozen)

    @property
    def peeling(self) -> PeelConfig:
        return dataclasses.replace(self.peel, decoder=self.decoder)


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

    Args:
      design: the masks.
      values: float32 (N,) or (N, K), f at ``design.packed()``, in that order.
      config: settings of the search (static).
      shared_support: for K outputs, False finds a support for each, True one for all from their
        summed energy. With more than 64 outputs the sum is over their 64 leading principal
        directions, which carry the most energy that 64 can.
      batch: how outputs with their own supports are computed: "map" one after another (faster on
        CPUs), "vmap" in lockstep (every output then takes as many rounds as the longest).

    Returns:
      The spectrum, with leading axis K for vector values, and Info.

    Raises:
      ValueError: if the number of values is not N, or an option is not one of those named.
    """
    values = jnp.asarray(values, jnp.float32)
    if values.ndim not in (1, 2) or values.shape[0] != design.num_masks:
        raise ValueError(
            f"values must have shape ({design.num_masks},) or ({design.num_masks}, K) for this "
            f"design, got {values.shape}."
        )
    if batch not in ("map", "vmap"):
        raise ValueError(f"batch must be 'map' or 'vmap', got {batch!r}.")
    return _decode(design, values, config, shared_support, batch)


@functools.partial(jax.jit, static_argnames=("config", "shared_support", "batch"))
def _decode(design, values, config, shared_support, batch):
    if values.ndim == 1:
        found, info = search(design, values[:, None], config)
        return _spectrum(design, found, squeeze=True), info
    if shared_support:
        found, info = search(design, values, config)
        return _spectrum(design, found, squeeze=False), info

    def one(column):
        found, info = search(design, column[:, None], config)
        return _spectrum(design, found, squeeze=True), info

    spectra, info = jax.vmap(one)(values.T) if batch == "vmap" else jax.lax.map(one, values.T)
    return dataclasses.replace(spectra, n=design.n), info


def search(
    design: CodedDesign,
    values: Float[Array, "N K"],
    config: PeelConfig,
    active: Bool[Array, "C"] | None = None,
) -> tuple[Found, Info]:
    """Finds one support for K outputs together, with each output's coefficients.

    Args:
      design: the masks.
      values: float32 (N, K).
      config: settings of the search (static).
      active: bool (C,), the groups whose values may be used; all if None.
    """
    C, D, B = design.groups, design.num_delays, 2**design.b
    K = values.shape[1]
    weight = jnp.ones(C) if active is None else active.astype(jnp.float32)
    by_group = jnp.mean(values.reshape(C, D * B, K), axis=1)
    mean = weight @ by_group / jnp.sum(weight)
    centred = values - mean
    basis = None if K <= JOINT_OUTPUTS else principal_directions(centred, JOINT_OUTPUTS)
    joint = centred if basis is None else centred @ basis
    bins = transforms.fwht(joint.reshape(C, D, B, -1), axis=2) / B
    state, info = peeling.run(design, bins, config, active)
    coefficients = state.coefficients if basis is None else state.coefficients @ basis.T
    coefficients = coefficients.at[0].add(mean)
    valid = jnp.arange(state.keys.shape[0]) < state.num_terms
    return Found(state.features, coefficients, valid), info


def principal_directions(values: Float[Array, "N K"], size: int) -> Float[Array, "K size"]:
    """Orthonormal directions of the outputs that carry the most energy (subspace iteration)."""
    key = jax.random.key(0, impl="threefry2x32")
    basis = jax.random.normal(key, (values.shape[1], size), values.dtype)
    for _ in range(_SKETCH_ROUNDS + 1):
        basis, _ = jnp.linalg.qr(values.T @ (values @ basis))
    return basis


def _spectrum(design: CodedDesign, found: Found, squeeze: bool) -> Spectrum:
    W = design.shifts.shape[-1]
    supports = bch.features_to_packed(found.features, W)
    valid = found.valid
    coefficients = found.coefficients.T
    return Spectrum(
        jnp.where(valid[:, None], supports, jnp.uint32(0)),
        coefficients[0] if squeeze else coefficients,
        valid,
        design.n,
    )
