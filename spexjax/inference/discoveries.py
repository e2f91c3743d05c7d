"""Which sets truly have an effect: tests of a family of sets at a false discovery rate.

F(S) = 0, that is a Banzhaf interaction (−2)^|S| F(S) of 0, is tested for every S of a family, by
F̃(S)/SE and Student's t. Two kinds of family are kept
apart. One is named before any value is seen ("singles", "pairs", a list of sets), and all evidence
may test it. The other are the sets that the surrogate of the same values holds: testing them on the
evidence that chose them finds what is not there. Each of them is tested in two ways that are valid
nevertheless, and its p-value is twice the smaller one:

* on the held-out masks alone, among the sets that were found without them;
* on all evidence, as one of all sets of its size, C(n, |S|), whether they were found or not: a set
  pays for all that might have been found in its place (weights: Genovese, Roeder, Wasserman 2006).
"""

import dataclasses
from collections.abc import Sequence
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt32

from spexjax.codes import gf2
from spexjax.indices.interaction_values import Interactions
from spexjax.inference import functionals, moments
from spexjax.inference.estimates import Estimates
from spexjax.inference.evidence import Evidence
from spexjax.spectra import subsets
from spexjax.typing import Explained

Family = Literal["found", "singles", "pairs"] | Sequence[Sequence[int]]
Procedure = Literal["bh", "by", "maxt"]
_FLIPS = 1000
_STREAM = 16


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Discoveries:
    """The sets of a family, each with its effect, its errors and whether it stands.

    Attributes:
      supports: uint32 (L, W), the family, packed.
      effect: F(S) with its errors, of all evidence.
      adjusted: float64 (L,), the smallest false discovery rate at which a set stands (for "maxt"
        the smallest chance of any false discovery).
      stands: bool (L,).
      fdr, method, n, features: as given.
    """

    supports: UInt32[np.ndarray, "L W"]
    effect: Estimates
    adjusted: Float[np.ndarray, "L"]
    stands: Bool[np.ndarray, "L"]
    fdr: float
    method: str
    n: int
    features: tuple[str, ...]

    def __len__(self) -> int:
        """The sets of the family."""
        return len(self.stands)

    def __repr__(self) -> str:
        named = "any false discovery" if self.method == "maxt" else "false discoveries"
        return f"{self.stands.sum()} of {len(self)} sets stand at {self.fdr:.0%} {named}"

    def marks(self, supports: UInt32[np.ndarray, "sets W"]) -> Bool[np.ndarray, "sets"]:
        """Which of these packed sets stand; those outside the family do not."""
        return among(supports, self.supports[self.stands])

    def sets(self) -> list[tuple[int, ...]]:
        """The members of the sets that stand, those of largest |F| / SE first."""
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.abs(self.effect.estimate) / self.effect.standard_error
        rows = np.flatnonzero(self.stands)
        rows = rows[np.argsort(-np.nan_to_num(size[rows], nan=0.0), kind="stable")]
        bits = gf2.unpack_numpy(self.supports[rows], self.n)
        return [tuple(np.flatnonzero(row).tolist()) for row in bits]


def discover(
    e: Explained, family: Family = "found", *, fdr: float = 0.1, method: Procedure = "bh"
) -> Discoveries:
    """Tests which sets of a family have F(S) ≠ 0, at a false discovery rate.

    Args:
      e: an explanation of one output.
      family: "found" (the surrogate's own sets), "singles", "pairs", or sets of positions that
        were named without looking at this explanation.
      fdr: the rate q; for "maxt" the chance of any false discovery.
      method: "bh" (Benjamini, Hochberg 1995; independent or positively dependent tests), "by"
        (Benjamini, Yekutieli 2001; any dependence), or "maxt" (Westfall, Young 1993, the largest
        of all |t| under random signs; not for "found").

    Returns:
      :class:`Discoveries`; nothing stands where there is no evidence.

    Raises:
      ValueError: if an argument is out of range, the function has several outputs, or the family
        are interactions of an explanation.
    """
    if e.num_outputs is not None:
        raise ValueError("sets are tested for one output: use e[i].")
    if not 0 < fdr < 1:
        raise ValueError(f"fdr must be between 0 and 1, got {fdr}.")
    if method not in ("bh", "by", "maxt"):
        raise ValueError(f"method must be 'bh', 'by' or 'maxt', got {method!r}.")
    found = _is(family, "found")
    if found and method == "maxt":
        raise ValueError("method 'maxt' needs a family named in advance, not 'found'.")
    supports = _family(e, family)
    known = None if e.evidence is None or not _is(family, "pairs") else moments.of_pairs(e.evidence)
    effect = functionals.effects(e, supports, known)
    if found and e.evidence is not None:
        p = found_p_values(e.evidence, supports, effect)
    else:
        p = effect.p_value
    p = np.where(np.isnan(p), 1.0, p)
    if method == "maxt" and e.evidence is not None and len(supports):
        adjusted = _largest_of_all(e.evidence, supports, effect)
    else:
        adjusted = benjamini_hochberg(p, dependent=method == "by")
    return Discoveries(
        supports, effect, adjusted, adjusted <= fdr, fdr, method, e.n, tuple(e.features)
    )


def benjamini_hochberg(
    p: Float[np.ndarray, "L"], dependent: bool = False
) -> Float[np.ndarray, "L"]:
    """Adjusted p-values: the smallest rates at which the step-up procedure rejects.

    Args:
      p: of L tests.
      dependent: any dependence (Benjamini, Yekutieli 2001): Σ 1/i times as large.
    """
    L = len(p)
    order = np.argsort(p, kind="stable")
    rank = np.arange(1, L + 1)
    factor = np.sum(1 / rank) if dependent else 1.0
    steps = np.minimum.accumulate((p[order] * L * factor / rank)[::-1])[::-1]
    adjusted = np.empty(L)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def found_p_values(
    evidence: Evidence, supports: UInt32[np.ndarray, "L W"], effect: Estimates
) -> Float[np.ndarray, "L"]:
    """P-values of the surrogate's sets, to be adjusted as L tests; see this module.

    Args:
      evidence: of one output.
      supports: uint32 (L, W), the sets found, packed.
      effect: their coefficients, from all evidence.
    """
    L = len(supports)
    sizes = np.bitwise_count(supports).sum(axis=1, dtype=int)
    # One of the sets of all sizes that were found.
    kinds = len(np.unique(sizes))
    with np.errstate(over="ignore"):
        many = np.array([_float(comb(evidence.n, int(s))) for s in sizes]) * kinds
        whole = effect.p_value * many / max(L, 1)
    apart = np.ones(L)
    part = evidence.only_held_out()
    if len(part) > 1:
        tested = evidence.tested
        known = among(supports, np.asarray(tested.supports)[np.asarray(tested.valid)])
        own = functionals.coefficients(part, supports[known]).p_value
        apart[known] = own * known.sum() / max(L, 1)
    return np.minimum(1.0, 2 * np.minimum(whole, apart))


def _family(e: Explained, family: Family) -> UInt32[np.ndarray, "L W"]:
    if isinstance(family, Interactions):
        raise ValueError(
            "these interactions were found with the evidence that would test them: pass "
            "family='found', or sets that were named without looking at it."
        )
    if not isinstance(family, str):
        packed = subsets.packed_sets(family, e.n)
        if len(np.unique(packed, axis=0)) != len(packed):
            raise ValueError("family must name each set once.")
        return packed
    if family == "found":
        supports = np.asarray(e.spectrum.supports)[np.asarray(e.spectrum.valid)]
        return supports[supports.any(axis=1)]
    if family not in ("singles", "pairs"):
        raise ValueError(f"family must be 'found', 'singles', 'pairs' or sets, got {family!r}.")
    size = 1 if family == "singles" else 2
    if size > e.n:
        raise ValueError("one feature has no pairs.")
    return subsets.pack(subsets.of_size(e.n, size), e.n)


def _is(family: Family, name: str) -> bool:
    return isinstance(family, str) and family == name


def _largest_of_all(
    evidence: Evidence, supports: UInt32[np.ndarray, "L W"], effect: Estimates
) -> Float[np.ndarray, "L"]:
    """The share of random signs of the units under which some |t| is at least as large."""
    rng = np.random.default_rng(_STREAM)
    U = len(evidence)
    flips = rng.choice(np.array([-1, 1], np.float32), (_FLIPS, U))
    largest = np.zeros(_FLIPS)
    for start in range(0, len(supports), 4096):
        part = slice(start, start + 4096)
        z = moments.draws(evidence, supports[part])
        z -= z.mean(axis=0)
        spread = np.sqrt(np.mean(np.square(z, dtype=float), axis=0))
        ratio = np.abs(flips @ z) / np.where(spread > 0, spread, 1.0)
        largest = np.maximum(largest, ratio.max(axis=1) / np.sqrt(U))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(effect.estimate) / effect.standard_error
    t = np.where(effect.standard_error > 0, t, np.where(effect.estimate == 0, 0.0, np.inf))
    return (1 + np.sum(largest[None] >= t[:, None], axis=1)) / (1 + _FLIPS)


def among(
    supports: UInt32[np.ndarray, "L W"], others: UInt32[np.ndarray, "S W"]
) -> Bool[np.ndarray, "L"]:
    """Which sets are among others."""
    return gf2.places_among(supports, others) >= 0


def _float(count: int) -> float:
    try:
        return float(count)
    except OverflowError:
        return np.inf
