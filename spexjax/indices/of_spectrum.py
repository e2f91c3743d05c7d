"""Interaction indices of a sparse spectrum: Shapley, Banzhaf, Möbius, Sobol and their kin.

All come from one pass over the subsets of the terms (:mod:`~spexjax.indices.superset_sums`) with a
factor per pair of set sizes (:mod:`~spexjax.indices.index_weights`, where each definition and its
source stand). With Möbius coefficients M and Fourier coefficients F, for S ≠ ∅:

===========  =============================================================================
SV           Σ_{T∋i} M(T)/|T|
BV           −2 F({i})
SII          Σ_{T⊇S} M(T)/(|T|−|S|+1)
BII          (−2)^|S| F(S)
k-SII        SII aggregated to order ℓ = k
STII         M(S) for |S| < ℓ; Σ_{T⊇S} M(T)/C(|T|,ℓ) for |S| = ℓ
FSII, FBII   the weighted, and the plain least-squares fit of order ℓ
Moebius      M(S); CoMoebius: Σ_{T⊇S} M(T); Fourier: F(S)
Joint-SV     Σ_{T∩S=∅} q(|T|) (f(S∪T) − f(T)) (:mod:`spexjax.indices.joint_shapley`)
Sobol        F(S)²/Var; TotalSobol: Σ_{T∋i} F(T)²/Var; Influence: Σ_{T∋i} F(T)²
===========  =============================================================================

On ∅: M(∅) for SV, k-SII, STII, FSII, Moebius; F(∅) for BV, BII, Fourier; Σ_{|T|≤ℓ} F(T) for FBII;
Σ M(T)/(|T|+1) for SII; Σ M(T) for CoMoebius; nothing for the last two rows.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt32

from spexjax.indices import index_weights, joint_shapley, superset_sums
from spexjax.indices.index_weights import INDICES
from spexjax.indices.interaction_values import Interactions, from_members
from spexjax.spectra import subsets
from spexjax.spectra.spectrum import Spectrum

__all__ = ["INDICES", "Interactions", "from_terms", "interactions"]


def interactions(
    spectrum: Spectrum,
    index: str = "FBII",
    max_order: int | None = None,
    features: Sequence[str] = (),
    sets: Sequence[Sequence[int]] | None = None,
    level: float | None = None,
) -> Interactions:
    """An interaction index of the valid terms of a spectrum, summed in float64.

    Args:
      spectrum: of one output.
      index: a name of the table above; case and hyphens do not matter.
      max_order: the order ℓ of FSII, FBII, STII, k-SII and Joint-SV, and a cut for the others.
        None: the largest degree in the spectrum.
      features: n labels; positions if not given.
      sets: for Joint-SV, the sets of positions wanted; all of up to ℓ inputs if None.
      level: F(∅) in double precision; the spectrum's if None.

    Returns:
      The sets with a non-zero value, strongest first; for Joint-SV all that are asked for. The
      value on ∅ is their ``baseline``.

    Raises:
      ValueError: if the spectrum has several outputs, the name is unknown, ``max_order`` is below
        1, the labels are not n, too many subsets would have to be enumerated, or ``sets`` are
        given for another index than Joint-SV.
    """
    if spectrum.num_outputs is not None:
        raise ValueError("interactions need one output: pass spectrum[i].")
    valid = np.asarray(spectrum.valid)
    supports = np.asarray(spectrum.supports)[valid]
    coefficients = np.asarray(spectrum.coefficients)[valid].astype(np.float64)
    if level is not None:
        effects = supports.any(axis=1)
        empty = np.zeros((1, supports.shape[1]), np.uint32)
        supports = np.concatenate([empty, supports[effects]])
        coefficients = np.concatenate([[level], coefficients[effects]])
    n = spectrum.num_features
    return from_terms(supports, coefficients, n, index, max_order, features, sets)


def from_terms(
    supports: UInt32[np.ndarray, "S W"],
    coefficients: Float[np.ndarray, "S"],
    n: int,
    index: str = "FBII",
    max_order: int | None = None,
    features: Sequence[str] = (),
    sets: Sequence[Sequence[int]] | None = None,
) -> Interactions:
    """:func:`interactions` of Fourier coefficients in host arrays.

    Args:
      supports: uint32, shape (S, W), packed; equal ones are added.
      coefficients: float, shape (S,), F of each, in as much precision as the caller has.
      n: the number of features.
      index, max_order, features, sets: as there.

    Raises:
      ValueError: as there.
    """
    joint = _is_joint(index)
    if sets is not None and not joint:
        raise ValueError(f"sets can be named for Joint-SV only, got index {index!r}.")
    if max_order is not None and max_order < 1:
        raise ValueError(f"max_order must be at least 1, got {max_order}.")
    if features and len(features) != n:
        raise ValueError(f"features must hold n = {n} labels, got {len(features)}.")
    if joint:
        degrees = np.bitwise_count(supports).sum(axis=1)
        order = max(int(degrees.max(initial=0)), 1) if max_order is None else max_order
        return joint_shapley.joint_shapley(supports, coefficients, n, order, sets, features)
    chosen = index_weights.find(index)
    terms = subsets.by_size(np.asarray(supports, np.uint32), np.asarray(coefficients), n)
    if chosen.basis == "energy":
        terms = _energies(terms, chosen.relative)
    largest = max(terms, default=0)
    order = max(largest, 1) if max_order is None else max_order
    table = index_weights.weights(chosen, order, largest)
    sums = superset_sums.superset_sums(terms, table, n)
    on_empty = sums.pop(0, None)
    baseline = 0.0 if on_empty is None else float(on_empty.values.sum())
    shown = 1 if chosen.singles else order
    return from_members(sums.values(), n, chosen.name, shown, tuple(features), baseline)


def _is_joint(name: str) -> bool:
    """Joint-SV sums over all terms that a set meets, so it is no row of ``INDICES``."""
    return isinstance(name, str) and index_weights.plain(name) == "jointsv"


def _energies(terms: dict[int, subsets.Sets], relative: bool) -> dict[int, subsets.Sets]:
    """F² of the non-empty terms, divided by their sum if ``relative``."""
    squares = {d: subsets.Sets(s.members, s.values**2) for d, s in terms.items() if d}
    variance = sum(s.values.sum() for s in squares.values())
    if not relative or not variance:
        return squares
    return {d: subsets.Sets(s.members, s.values / variance) for d, s in squares.items()}
