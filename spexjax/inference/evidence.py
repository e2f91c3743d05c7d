"""What a design and its values say about a function, apart from any fit to them.

A mask m drawn uniformly, and a surrogate ĝ that knows nothing of f(m): the residual
r(m) = f(m) − ĝ(m) is all that inference needs. ψ_k(m) = (−1)^⟨m,k⟩ gives
F(k) = ĝ_k + E[ψ_k r] for every set k, whether in the surrogate or not.
"""

import dataclasses
from math import ldexp

import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from spexjax.codes import gf2
from spexjax.masks.design import Design, Role
from spexjax.masks.uniform import complement
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum, predict_on_host
from spexjax.surrogates.fitted import Crossed, Fit
from spexjax.typing import ArrayLike

_ROUNDING = 1e-6
_UNIFORM = (Role.UNIFORM, Role.PAIRED, Role.CODED)
EVEN, ODD = 0, 1
"""The rows of ``residuals``, by the parity of |k|."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """Residuals at uniform masks, each of a surrogate that was found and fitted without it.

    A unit is a mask drawn by itself, or a mask and its complement m̄ drawn together. Since
    ψ_k(m̄) = (−1)^|k| ψ_k(m), the mean of ψ_k r over a pair is ψ_k(m) times (r(m) + r(m̄))/2 where
    |k| is even and (r(m) − r(m̄))/2 where it is odd. Units count as independent but for being
    distinct.

    Attributes:
      packed: uint32 (U, W), one mask of each unit.
      residuals: float32 (2, U) or (K, 2, U), for even and for odd |k|, in units of f.
      held_out: bool (U,), the units that no surrogate was fitted to, not even in a fold.
      mean: the mean of the units' surrogates.
      tested: the surrogate of the held-out units.
      masks: how many masks the units are made of.
      n: number of features.
      paid: all masks of the design.
      carriers: () or (K,), how many of all masks paid for carry the squared error of the surrogate
        fitted to them, (Σ r²)²/Σ r⁴: a few where f has rare, large changes.
      floor, ceiling: () or (K,), the shares of all masks at which f has its smallest, and its
        largest value; both 1 where it is constant.
    """

    packed: UInt32[np.ndarray, "U W"]
    residuals: Float[np.ndarray, "*K 2 U"]
    held_out: Bool[np.ndarray, "U"]
    mean: Spectrum
    tested: Spectrum
    masks: int
    n: int
    paid: int
    carriers: Float[ArrayLike, "*K"]
    floor: Float[ArrayLike, "*K"]
    ceiling: Float[ArrayLike, "*K"]

    def __len__(self) -> int:
        """U, the number of units."""
        return len(self.packed)

    @property
    def left(self) -> float:
        """1 − masks/2ⁿ: what distinct masks leave of a variance over all of them."""
        return 1.0 - ldexp(self.masks, -self.n)

    def __getitem__(self, output: int) -> "Evidence":
        """The evidence of one output."""
        return dataclasses.replace(
            self,
            residuals=self.residuals[output],
            mean=self.mean[output],
            tested=self.tested[output],
            **{name: getattr(self, name)[output] for name in ("carriers", "floor", "ceiling")},
        )

    def only_held_out(self) -> "Evidence":
        """The held-out units alone, whose surrogate is one and the same."""
        share = self.held_out.mean() if len(self) else 0.0
        part = self.units(self.held_out)
        return dataclasses.replace(part, mean=self.tested, masks=round(self.masks * share))

    def units(self, chosen: slice | Bool[np.ndarray, "U"]) -> "Evidence":
        """Some of the units, and all else as it is."""
        return dataclasses.replace(
            self,
            packed=self.packed[chosen],
            residuals=self.residuals[..., chosen],
            held_out=self.held_out[chosen],
        )


def drawn_together(design: Design) -> Int[np.ndarray, "N"]:
    """One number for a mask and its complement, drawn together, and one for any other mask."""
    return np.where(design.role == Role.CODED, -1 - np.arange(len(design)), design.unit)


def gather(
    design: Design, values: Float[np.ndarray, "N K"], found: Fit
) -> tuple[Evidence | None, Float[np.ndarray, "N K"]]:
    """The evidence of a fit, of standardised values and leading axis K, and f − ĝ at its masks.

    Args:
      design: the masks. Those drawn uniformly, one by one or in pairs, are evidence, and coded
        ones: each of these is uniform, by its group's random shift, and independent of any other
        (nearly, since its matrix has full rank) but the D of one group and one ℓ, which differ by
        known delays. So the variance of a mean over them is that of independent masks but for
        products of residuals at fixed distances, about as often positive as negative. Endpoints
        are known; the others are drawn from other distributions.
      values: (N, K), standardised.
      found: the fit. Held-out masks belong to ``found.tested``, the others to the surrogates of
        ``found.crossed``, if there are any.

    Returns:
      The evidence, None if there are fewer than two units; and the residual at every mask, NaN at
      those that are none of the evidence.
    """
    crossed = found.crossed or Crossed((), np.full(len(design), -1))
    uniform = np.isin(design.role, _UNIFORM)
    fold = np.where(uniform & ~design.held_out, crossed.fold, -1)
    residuals = np.full(np.shape(values), np.nan)
    parts = [(design.held_out & uniform, found.tested)]
    parts += [(fold == j, surrogate) for j, surrogate in enumerate(crossed.surrogates)]
    for part, surrogate in parts:
        if part.any():
            guess = predict_on_host(surrogate, design.packed[part])
            residuals[part] = np.asarray(values[part], float) - guess
    rows = np.flatnonzero(~np.isnan(residuals).any(axis=1))
    unit = drawn_together(design)[rows]
    units, first, size = np.unique(unit, return_index=True, return_counts=True)
    if len(units) < 2:
        return None, residuals
    here = residuals[rows]
    even = odd = here[first].T
    pairs = np.flatnonzero(size == 2)
    if len(pairs):
        order = np.argsort(unit, kind="stable")
        last = order[np.cumsum(size) - 1][pairs]
        even, odd = even.copy(), odd.copy()
        one, other = here[first[pairs]].T, here[last].T
        even[:, pairs], odd[:, pairs] = (one + other) / 2, (one - other) / 2
        flipped = complement(design.packed[rows[first[pairs]]], design.n)
        if np.any(flipped != design.packed[rows[last]]):
            raise ValueError("a unit of two masks must be a mask and its complement.")
    counts = np.array([np.count_nonzero(rows) for rows, _ in parts], float)
    used = [(count, part) for count, (_, part) in zip(counts, parts, strict=True) if count]
    evidence = Evidence(
        packed=design.packed[rows[first]],
        residuals=np.stack([even, odd], axis=1).astype(np.float32),
        held_out=design.held_out[rows[first]],
        mean=_mean([part for _, part in used], np.array([count for count, _ in used])),
        tested=found.tested,
        masks=len(rows),
        n=design.n,
        paid=len(design),
        carriers=carriers(values - predict_on_host(found.surrogate, design.packed)),
        floor=_share_at(values, values.min(axis=0)),
        ceiling=_share_at(values, values.max(axis=0)),
    )
    return evidence, residuals


def carriers(r: Float[np.ndarray, "N *K"]) -> Float[np.ndarray, "*K"]:
    """(Σ r²)²/Σ r⁴: how many residuals of equal size would be as uneven; N where all are 0."""
    largest = np.abs(r).max(axis=0)
    squares = np.square(r / np.where(largest > 0, largest, 1.0), dtype=float)
    fourth = np.sum(squares**2, axis=0)
    return np.where(largest > 0, squares.sum(axis=0) ** 2 / np.where(fourth > 0, fourth, 1), len(r))


def _share_at(values: Float[np.ndarray, "N K"], bound: Float[np.ndarray, "K"]) -> np.ndarray:
    """The share of the standardised values that are within rounding of a bound."""
    return np.mean(np.abs(values - bound) <= _ROUNDING, axis=0)


def _mean(surrogates: list[Spectrum], weights: Float[np.ndarray, "F"]) -> Spectrum:
    """The weighted mean of spectra of leading axis K, each output's equal sets put together."""
    if len(surrogates) == 1:
        return surrogates[0]
    shares = weights / weights.sum()
    outputs = []
    for k in range(surrogates[0].coefficients.shape[0]):
        rows, values = [], []
        for share, one in zip(shares, (s[k] for s in surrogates), strict=True):
            valid = np.asarray(one.valid)
            rows.append(np.asarray(one.supports)[valid])
            values.append(share * np.asarray(one.coefficients, float)[valid])
        distinct, place = gf2.unique_rows(np.concatenate(rows))
        sums = np.bincount(place, np.concatenate(values), len(distinct))
        outputs.append(spectrum.from_terms(distinct, sums, surrogates[0].num_features))
    return spectrum.stack(outputs)
