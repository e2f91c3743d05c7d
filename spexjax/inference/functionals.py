"""Coefficients and interaction indices with their standard errors.

F̃(k) = ĝ_k + mean(ψ_k r) estimates F(k) without bias for every set k, with
SE² = (mean r² − mean(ψ_k r)²)/(U − 1) (cross-fitting: Chernozhukov et al. 2018; its use with a
surrogate from many masks: Zhang, Zhang 2014). An index that is linear in F has the estimate and
the error of the same sum over r.
"""

from functools import partial
from math import comb

import numpy as np
from jaxtyping import Float, UInt32

from spexjax.codes import gf2
from spexjax.indices import index_weights
from spexjax.indices.index_weights import Index
from spexjax.inference import moments
from spexjax.inference.estimates import HEAVY, Estimates, certain, unknown
from spexjax.inference.evidence import Evidence, carriers
from spexjax.inference.moments import Moments
from spexjax.spectra.spectrum import Spectrum
from spexjax.typing import Explained

# Of these, the sets that were not found matter, and what they add to the variance is known.
_WHOLE = ("SV", "SII")
_OF_F = ("Fourier", "BV", "BII")
_AT_ONCE = 4096


def coefficients(
    evidence: Evidence | None, sets: UInt32[np.ndarray, "L W"], found: Moments | None = None
) -> Estimates:
    """F(k) of f itself for any sets of features, found or not.

    Args:
      evidence: of one output.
      sets: uint32 (L, W), packed.
      found: the moments of ψ_k r, where they are known already.
    """
    estimand = "F(S) of the function"
    if evidence is None:
        return unknown(len(sets), estimand)
    found = found or moments.of_sets(evidence, sets)
    return Estimates(
        estimate=coefficients_of(evidence.mean, sets) + found.mean,
        standard_error=standard_error(found.variance, evidence),
        units=len(evidence),
        heavy=is_heavy(evidence),
        draws=partial(moments.draws, evidence, sets),
        estimand=estimand,
    )


def effects(
    e: Explained, sets: UInt32[np.ndarray, "L W"], found: Moments | None = None
) -> Estimates:
    """:func:`coefficients` of an explanation of one output; errors of 0 where it is exact."""
    if e.method == "exact":
        return certain(coefficients_of(e.spectrum, sets), "F(S) of the function")
    return coefficients(e.evidence, sets, found)


def index(
    evidence: Evidence | None,
    name: str,
    max_order: int,
    sets: UInt32[np.ndarray, "L W"],
    found: UInt32[np.ndarray, "T W"],
) -> Estimates:
    """An interaction index on sets.

    BV, BII and Fourier are those of the function. SV and SII are too: with what all sets that were
    not found may add to their variance, which under uniform masks is huge. The others are of the
    function's projection on the sets found: its best fit by these, of which the errors of all are
    part. Squares (Sobol, TotalSobol, Influence) have linearised errors, which are too small near 0.

    Args:
      evidence: of one output.
      name, max_order: as in :func:`spexjax.indices.interactions`.
      sets: uint32 (L, W), packed, not empty.
      found: uint32 (T, W), the sets of the surrogate.

    Raises:
      ValueError: for Joint-SV, and unknown names.
    """
    chosen = index_weights.find(name)
    estimand = _estimand(chosen, len(found))
    if evidence is None:
        return unknown(len(sets), estimand)
    if chosen.name in _OF_F:
        factor = (-2.0) ** _sizes(sets) if chosen.name != "Fourier" else np.ones(len(sets))
        alone = coefficients(evidence, sets)
        return Estimates(
            alone.estimate * factor,
            alone.standard_error * np.abs(factor),
            alone.units,
            alone.heavy,
            partial(_scaled_draws, evidence, sets, factor),
            estimand,
        )
    level = coefficients(evidence, found).estimate
    weights = partial(_linear, chosen, max_order, found=found, level=level)
    parts = [_of_block(evidence, *weights(part), found) for part in _blocks(sets)]
    estimate, variance = np.concatenate(parts, axis=1)
    if chosen.name in _WHOLE:
        variance = _of_all(evidence, sets)
    return Estimates(
        estimate=estimate,
        standard_error=standard_error(variance, evidence),
        units=len(evidence),
        heavy=is_heavy(evidence),
        draws=None
        if chosen.name in _WHOLE
        else partial(_combined_draws, evidence, chosen.name, max_order, sets, found, level),
        estimand=estimand,
    )


def is_heavy(evidence: Evidence) -> bool:
    """Whether single units carry so much of Σ r² that means over units are not normal."""
    # Of U Gaussian residuals a third carry it.
    return bool(np.any(1 / carriers(evidence.residuals.T) > max(HEAVY, 6 / len(evidence))))


def _estimand(index: Index, terms: int) -> str:
    if index.name in (*_OF_F, *_WHOLE):
        return f"{index.name} of the function"
    return f"{index.name} of the function's projection on the {terms} sets found"


def standard_error(variance: Float[np.ndarray, "L"], evidence: Evidence) -> Float[np.ndarray, "L"]:
    """Of means over the units, from variances over them."""
    return np.sqrt(variance * max(evidence.left, 0.0) / (len(evidence) - 1))


def _sizes(sets: UInt32[np.ndarray, "L W"]) -> np.ndarray:
    return np.bitwise_count(sets).sum(axis=1, dtype=int)


def coefficients_of(spectrum: Spectrum, sets: UInt32[np.ndarray, "L W"]) -> Float[np.ndarray, "L"]:
    """The spectrum's coefficients on sets, 0 where it has none."""
    valid = np.asarray(spectrum.valid)
    supports = np.asarray(spectrum.supports)[valid]
    F = np.asarray(spectrum.coefficients, float)[valid]
    return np.append(F, 0.0)[gf2.places_among(sets, supports)]  # −1 is the last


def _scaled_draws(
    evidence: Evidence, sets: UInt32[np.ndarray, "L W"], factor: Float[np.ndarray, "L"]
) -> Float[np.ndarray, "U L"]:
    return moments.draws(evidence, sets) * factor


def _combined_draws(
    evidence: Evidence,
    name: str,
    order: int,
    sets: UInt32[np.ndarray, "L W"],
    found: UInt32[np.ndarray, "T W"],
    level: Float[np.ndarray, "T"],
) -> Float[np.ndarray, "U L"]:
    _, weights = _linear(index_weights.find(name), order, sets, found=found, level=level)
    return moments.draws(evidence, found) @ weights.T


def _blocks(sets: UInt32[np.ndarray, "L W"]) -> list[UInt32[np.ndarray, "rows W"]]:
    return np.split(sets, range(_AT_ONCE, len(sets), _AT_ONCE))


def _of_block(
    evidence: Evidence,
    estimate: Float[np.ndarray, "L"],
    weights: Float[np.ndarray, "L T"],
    found: UInt32[np.ndarray, "T W"],
) -> Float[np.ndarray, "2 L"]:
    """Estimates and variances."""
    return np.stack([estimate, moments.of_functionals(evidence, found, weights).variance])


def _linear(
    index: Index,
    order: int,
    sets: UInt32[np.ndarray, "L W"],
    *,
    found: UInt32[np.ndarray, "T W"],
    level: Float[np.ndarray, "T"],
) -> tuple[Float[np.ndarray, "L"], Float[np.ndarray, "L T"]]:
    """The index at the coefficients ``level``, and its derivatives by them."""
    weights = _weights(index, order, sets, found)
    if index.basis != "energy":
        return weights @ level, weights
    F = np.where(_sizes(found) > 0, level, 0.0)
    total = float(F @ F) if index.relative and F.any() else 1.0
    estimate = weights @ F**2 / total
    moved = estimate[:, None] if index.relative else 0.0
    return estimate, (weights - moved) * 2 * F / total


def _weights(
    index: Index, order: int, sets: UInt32[np.ndarray, "L W"], found: UInt32[np.ndarray, "T W"]
) -> Float[np.ndarray, "L T"]:
    """w(|S|, |U|) where S ⊆ U, else 0."""
    table = index_weights.weights(index, order, int(_sizes(found).max(initial=0)))
    inside = np.ones((len(sets), len(found)), bool)
    for word in range(sets.shape[1]):
        inside &= (sets[:, word, None] & ~found[None, :, word]) == 0
    sizes = np.minimum(_sizes(sets), len(table) - 1)
    return np.where(inside, table[sizes[:, None], _sizes(found)[None]], 0.0)


def _of_all(evidence: Evidence, sets: UInt32[np.ndarray, "L W"]) -> Float[np.ndarray, "L"]:
    """Var(r) Σ_{U⊇S} w(|S|, |U|)² over all U, found or not, w that of SII (SV has |S| = 1)."""
    square = float(np.mean(np.square(evidence.residuals, dtype=float)))
    sizes = _sizes(sets)
    factor = {s: _squares(evidence.n, s) for s in np.unique(sizes).tolist()}
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array([square * factor[s] if square else 0.0 for s in sizes.tolist()])


def _squares(n: int, s: int) -> float:
    """Σ_d C(n − s, d) (2^s/(d + 1))² over even d; see :mod:`spexjax.indices.index_weights`."""
    try:
        return float(sum(comb(n - s, d) * 4**s / (d + 1) ** 2 for d in range(0, n - s + 1, 2)))
    except OverflowError:
        return np.inf
