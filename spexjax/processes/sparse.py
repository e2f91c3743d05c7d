"""Where a function is a sum of few sets, least squares on them in place of a process.

A process shrinks all sets alike and cannot be exact. Its strongest sets can, where they are all
there are: so they are fitted by least squares, and take the place of a part of the process whose
leave-one-out residuals are more than four times as large in mean square. (The sets were chosen by
the same pairs, so that a smaller advantage may be none.) Sets that the process puts too far behind
are found in what the others leave (:mod:`spexjax.processes.missed`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from spexjax.processes.missed import missed
from spexjax.processes.pairs import EVEN
from spexjax.processes.process import Process

_SHARES = (1 / 4, 1 / 10, 1 / 25)  # sets for each pair
_BETTER = 0.25
_LEAST = 1e-5  # of the largest diagonal entry of a factor: columns are independent
_ROUNDS = 8
# Of what the process leaves: where least squares leave more, there are not few sets;
_FEW_SETS = 4.0
_ROUNDING = 1e-18  # of the mean square of a part: this is all there is.


class LeastSquares(NamedTuple):
    """Least squares of a part on the first C of some sets.

    Attributes:
      F: float64 (C, K), their coefficients.
      residuals, without: float64 (P, K), at the pairs, and those of a fit without the pair.
    """

    F: Float[np.ndarray, "C K"]
    residuals: Float[np.ndarray, "P K"]
    without: Float[np.ndarray, "P K"]

    def left(self) -> float:
        """Σ of the squares of what a fit without each pair leaves there."""
        return float(np.sum(self.without**2))


def by_part(members: Int32[np.ndarray, "T t"]) -> list[Int32[np.ndarray, "of_part t"]]:
    """Sets of even size, and those of odd size."""
    odd = (members >= 0).sum(axis=1) % 2
    return [members[odd == part] for part in (0, 1)]


def widened(
    process: Process,
    part: int,
    signs: Float[np.ndarray, "P n"],
    y: Float[np.ndarray, "P K"],
    sets: Int32[np.ndarray, "T t"],
) -> tuple[Int32[np.ndarray, "T_new t"], LeastSquares | None]:
    """Sets of a part, those that were missing among them, and least squares on the first ones.

    Args:
      process: conditioned on these pairs.
      part: 0 for sets of even size, 1 for odd ones.
      signs, y: of the pairs, and the part of the function there.
      sets: the strongest first; padded with −1.
    """
    limit = _FEW_SETS * float(np.sum(process.left_out[part] ** 2))
    best = fit(signs, y, sets)
    for _ in range(_ROUNDS):
        if best is None or not _ROUNDING * np.sum(y**2) < best.left() < limit:
            break
        known, rest = np.split(sets, [len(best.F)])
        more = missed(signs, best.residuals, process.mean.rates, part, known)
        if not len(more):
            break
        # What no longer has a place is what counts least, but not ∅.
        counts = np.where((known < 0).all(axis=1), np.inf, np.abs(best.F).sum(axis=1))
        known = known[np.argsort(-counts, kind="stable")]
        again = (rest[:, None] == more).all(axis=2).any(axis=1)
        wider = np.concatenate([more, known, rest[~again]])
        found = fit(signs, y, wider)
        if found is None or not found.left() < best.left():
            break
        sets, best = wider, found
    return sets, best


def better(process: Process, part: int, found: LeastSquares) -> bool:
    """Whether least squares shall take the place of a part of a process of the same pairs."""
    return found.left() < _BETTER * float(np.sum(process.left_out[part] ** 2))


def sharpened(
    process: Process,
    found: Sequence[LeastSquares | None],
    sets: Sequence[Int32[np.ndarray, "of_part t"]],
) -> Process:
    """The process, or least squares where there are some, for both parts.

    Args:
      process: conditioned on the pairs of these least squares.
      found: least squares of the even and the odd part.
      sets: of both parts, the first of which they are on.
    """
    members = np.concatenate(sets)
    fixed = np.zeros((len(members), process.inside.shape[2]))
    weights = process.mean.weights.copy()
    inside, left_out = process.inside.copy(), process.left_out.copy()
    level = process.mean.level
    for part, one in enumerate(found):
        if one is None:
            continue
        start = 0 if part == EVEN else len(sets[EVEN])
        fixed[start : start + len(one.F)] = one.F
        weights[part], inside[part], left_out[part] = 0.0, one.residuals, one.without
        if part == EVEN:  # ∅ is among the sets
            level = np.zeros_like(level)
    mean = process.mean._replace(weights=weights, level=level)
    return Process(mean, inside, left_out, members, fixed)


def fit(
    signs: Float[np.ndarray, "P n"], y: Float[np.ndarray, "P K"], sets: Int32[np.ndarray, "T t"]
) -> LeastSquares | None:
    """Least squares on as many of the first sets as leave least, each pair left out in turn.

    The normal equations of fewer sets are the first of those of more, and so is their factor.
    """
    from scipy.linalg import blas, lapack

    most = min(len(sets), int(_SHARES[0] * len(signs)))
    counts = sorted({min(most, int(share * len(signs))) for share in _SHARES} - {0}, reverse=True)
    columns = characters(signs, sets[:most])
    gram = (columns @ columns.T).astype(float)  # of integers, without error
    columns = columns.astype(float)
    found, best = None, None
    for count in counts:
        if found is None:
            found = _independent(gram[:count, :count])
            if found is None:
                continue
            # Of an orthogonal basis, what the pairs have of it.
            basis = blas.dtrsm(1.0, found, np.asfortranarray(columns[:count]), lower=1)
        own = np.minimum(np.einsum("cp,cp->p", basis[:count], basis[:count]), 1 - 1e-9)
        factor = found[:count, :count]
        F, residuals = np.zeros((count, y.shape[1])), y
        for _ in range(2):  # once more for the factor's rounding
            F += lapack.dpotrs(factor, columns[:count] @ residuals, lower=1)[0]
            residuals = y - columns[:count].T @ F
        now = LeastSquares(F, residuals, residuals / (1 - own)[:, None])
        if best is None or now.left() < best.left():
            best = now
    return best


def characters(
    signs: Float[np.ndarray, "P n"], sets: Int32[np.ndarray, "T t"]
) -> Float[np.ndarray, "T P"]:
    """(−1)^⟨m,U⟩ of every set, padded with −1, and mask; float32."""
    padded = np.concatenate([-signs.T, np.ones((1, len(signs)))]).astype(np.float32)
    found = padded[sets[:, 0]]
    for column in sets.T[1:]:
        found *= padded[column]
    return found


def _independent(gram: Float[np.ndarray, "C C"]) -> Float[np.ndarray, "C C"] | None:
    """The Cholesky factor; None if the columns depend on each other."""
    from scipy.linalg import lapack

    factor, failed = lapack.dpotrf(gram, lower=1)
    diagonal = np.diag(factor)
    return None if failed or diagonal.min() < _LEAST * diagonal.max() else factor
