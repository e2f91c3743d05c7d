"""Where a function is a sum of few sets, least squares on them in place of a process.

A process shrinks all sets alike and cannot be exact. Its strongest sets can, where they are all
there are: so they are fitted by least squares, and take the place of a part of the process whose
leave-one-out residuals are more than four times as large in mean square. (The sets were chosen by
the same pairs, so that a smaller advantage may be none.)
"""

import numpy as np
from jaxtyping import Float, Int32

from spexjax.processes.pairs import EVEN, ODD
from spexjax.processes.process import Process

_SHARES = (1 / 4, 1 / 10, 1 / 25)  # sets for each pair
_BETTER = 0.25
_LEAST = 1e-6  # of the largest diagonal entry of R: columns are independent


def sharpened(
    process: Process,
    signs: Float[np.ndarray, "pairs n"],
    parts: Float[np.ndarray, "2 pairs K"],
    members: Int32[np.ndarray, "T t"],
) -> Process:
    """The process, or least squares for a part of it.

    Args:
      process: conditioned on these pairs.
      signs, parts: as for :func:`spexjax.processes.process.condition`.
      members: ∅, the single inputs, and other sets, the strongest first; padded with −1.
    """
    sizes = (members >= 0).sum(axis=1)
    fixed = np.zeros((len(members), parts.shape[2]))
    weights = process.mean.weights.copy()
    inside, left_out = process.inside.copy(), process.left_out.copy()
    level = process.mean.level
    for part in (EVEN, ODD):
        rows = np.flatnonzero(sizes % 2 == part)
        found = _best(signs, parts[part], members[rows])
        if found is None:
            continue
        count, F, residuals, without = found
        if not np.sum(without**2) < _BETTER * np.sum(left_out[part] ** 2):
            continue
        fixed[rows[:count]] = F
        weights[part], inside[part], left_out[part] = 0.0, residuals, without
        if part == EVEN:  # ∅ is among the sets
            level = np.zeros_like(level)
    mean = process.mean._replace(weights=weights, level=level)
    return Process(mean, inside, left_out, members, fixed)


def _best(
    signs: Float[np.ndarray, "P n"], y: Float[np.ndarray, "P K"], members: Int32[np.ndarray, "T t"]
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray] | None:
    """How many of the sets, their coefficients, residuals, and those without the pair."""
    padded = np.concatenate([-signs, np.ones((len(signs), 1))], axis=1)
    most = min(len(members), int(_SHARES[0] * len(signs)))
    X = np.ones((len(signs), most))
    for column in members[:most].T:
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
        if best is None or np.sum(without**2) < np.sum(best[3] ** 2):
            best = (count, F, residuals, without)
    return best
