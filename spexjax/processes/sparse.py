"""Where a function is a sum of few sets, least squares on them in place of a process.

A process shrinks all sets alike and cannot be exact. Its strongest sets can, where they are all
there are: so they are fitted by least squares, and take the place of a part of the process whose
leave-one-out residuals are more than four times as large in mean square. (The sets were chosen by
the same pairs, so that a smaller advantage may be none.) Sets that the process puts too far behind
are found in what the others leave (:mod:`spexjax.processes.missed`).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int32

from spexjax.processes.missed import missed
from spexjax.processes.pairs import EVEN, ODD
from spexjax.processes.process import Process

_SHARES = (1 / 4, 1 / 10, 1 / 25)  # sets for each pair
_BETTER = 0.25
_LEAST = 1e-6  # of the largest diagonal entry of R: columns are independent
_ROUNDS = 5
# Of what the process leaves: where least squares leave more, there are not few sets;
_FEW_SETS = 4.0
_ROUNDING = 1e-18  # of the mean square of a part: this is all there is.


class LeastSquares(NamedTuple):
    """Least squares of a part on some sets.

    Attributes:
      rows: int (C,), the sets among all.
      F: float64 (C, K), their coefficients.
      residuals, without: float64 (P, K), at the pairs, and those of a fit without the pair.
    """

    rows: Int[np.ndarray, "C"]
    F: Float[np.ndarray, "C K"]
    residuals: Float[np.ndarray, "P K"]
    without: Float[np.ndarray, "P K"]


def widened(
    process: Process,
    signs: Float[np.ndarray, "P n"],
    parts: Float[np.ndarray, "2 P K"],
    members: Int32[np.ndarray, "T t"],
) -> tuple[Int32[np.ndarray, "T_new t"], list[LeastSquares | None]]:
    """Sets, those that were missing after the single inputs, and least squares on them.

    Args:
      process: conditioned on these pairs.
      signs, parts: as for :func:`spexjax.processes.process.condition`.
      members: ∅, the single inputs, and other sets, the strongest first; padded with −1.
    """
    n, t = signs.shape[1], members.shape[1]
    best = fits(signs, parts, members)
    for _ in range(_ROUNDS):
        found = [np.zeros((0, t), np.int32)]
        for part, one in enumerate(best):
            left = np.inf if one is None else float(np.sum(one.without**2))
            few = left < _FEW_SETS * np.sum(process.left_out[part] ** 2)
            if one is not None and few and left > _ROUNDING * np.sum(parts[part] ** 2):
                known = members[one.rows]
                found.append(missed(signs, one.residuals, process.mean.rates, part, known))
        more = np.concatenate(found)
        if not len(more):
            break
        again = (members[n + 1 :, None] == more).all(axis=2).any(axis=1)
        members = np.concatenate([members[: n + 1], more, members[n + 1 :][~again]])
        best = fits(signs, parts, members)
    return members, best


def fits(
    signs: Float[np.ndarray, "P n"],
    parts: Float[np.ndarray, "2 P K"],
    members: Int32[np.ndarray, "T t"],
) -> list[LeastSquares | None]:
    """Least squares of both parts on as many of the first sets as leave least."""
    sizes = (members >= 0).sum(axis=1)
    return [
        _best(signs, parts[part], members, np.flatnonzero(sizes % 2 == part))
        for part in (EVEN, ODD)
    ]


def sharpened(
    process: Process, best: list[LeastSquares | None], members: Int32[np.ndarray, "T t"]
) -> Process:
    """The process, or least squares for a part of it.

    Args:
      process: conditioned on the pairs of these least squares.
      best: least squares of both parts.
      members: the sets.
    """
    fixed = np.zeros((len(members), process.inside.shape[2]))
    weights = process.mean.weights.copy()
    inside, left_out = process.inside.copy(), process.left_out.copy()
    level = process.mean.level
    for part, one in enumerate(best):
        if one is None or not np.sum(one.without**2) < _BETTER * np.sum(left_out[part] ** 2):
            continue
        fixed[one.rows] = one.F
        weights[part], inside[part], left_out[part] = 0.0, one.residuals, one.without
        if part == EVEN:  # ∅ is among the sets
            level = np.zeros_like(level)
    mean = process.mean._replace(weights=weights, level=level)
    return Process(mean, inside, left_out, members, fixed)


def _best(
    signs: Float[np.ndarray, "P n"],
    y: Float[np.ndarray, "P K"],
    members: Int32[np.ndarray, "T t"],
    rows: Int[np.ndarray, "part"],
) -> LeastSquares | None:
    """Of several numbers of sets that with the smallest residuals without the pair."""
    padded = np.concatenate([-signs, np.ones((len(signs), 1))], axis=1)
    most = min(len(rows), int(_SHARES[0] * len(signs)))
    X = np.ones((len(signs), most))
    for column in members[rows[:most]].T:
        X *= padded[:, column]
    best = None
    for count in {min(most, int(share * len(signs))) for share in _SHARES}:
        if not count:
            continue
        Q, R = np.linalg.qr(X[:, :count])
        diagonal = np.abs(np.diag(R))
        if diagonal.min() < _LEAST * diagonal.max():
            continue
        F = np.linalg.solve(R, Q.T @ y)
        residuals = y - X[:, :count] @ F
        own = np.minimum(np.sum(Q**2, axis=1), 1 - 1e-9)
        without = residuals / (1 - own)[:, None]
        if best is None or np.sum(without**2) < np.sum(best.without**2):
            best = LeastSquares(rows[:count], F, residuals, without)
    return best
