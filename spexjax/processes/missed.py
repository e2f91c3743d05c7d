"""Sets that a sum of others lacks, found in what it leaves.

What few missing sets leave is large at each of them, Σ_m residual(m) χ_U(m), beside what chance
would make it. Pairs and triples are all tried, larger sets where they hold one of the best smaller
ones, or of those known, and two inputs more; of many inputs those of the largest rates.
"""

import numpy as np
from jaxtyping import Float, Int32

from spexjax.spectra import subsets

_INPUTS = 64
_BEAM = 16
_MOST = 64  # sets at once, and candidates of each size
# Beside 2 log of the number of sets tried, in squared standard errors: chance has e⁻⁵ of it.
_BEYOND = 10.0


def missed(
    signs: Float[np.ndarray, "P n"],
    residuals: Float[np.ndarray, "P K"],
    rates: Float[np.ndarray, "n"],
    part: int,
    known: Int32[np.ndarray, "C t"],
) -> Int32[np.ndarray, "found t"]:
    """Sets of at most t inputs that residuals are surely correlated with, the strongest first.

    Args:
      signs: of the pairs.
      residuals: of the even or the odd part.
      rates: of the inputs.
      part: 0 for sets of even size, 1 for odd ones.
      known: sets that the residuals are orthogonal to, the strongest first; padded with −1.
    """
    t, P = known.shape[1], len(signs)
    spread = np.sqrt(np.mean(residuals**2, axis=0))
    r = (residuals / np.where(spread > 0, spread, np.inf)) / np.sqrt(P)
    inputs = np.sort(np.argsort(-rates, kind="stable")[:_INPUTS])
    at = signs[:, inputs]
    beam = np.zeros((1, 0), int) if part == 0 else np.arange(len(inputs))[:, None]
    sets, scores, tried = [], [], 1
    places = np.searchsorted(inputs, known)
    inside = (np.isin(known, inputs) | (known < 0)).all(axis=1)
    sizes = np.where(inside, (known >= 0).sum(axis=1), -1)
    for size in range(part + 2, min(t, len(inputs)) + 1, 2):
        grown, score = _grown(at, r, beam)
        tried += len(score)
        best = np.argsort(-score, kind="stable")[:_MOST]
        own = places[sizes == size][:_BEAM, :size]
        beam = np.unique(np.concatenate([grown[best[:_BEAM]], own]), axis=0)
        members = np.full((len(best), t), -1, np.int32)
        members[:, :size] = inputs[grown[best]]
        sets.append(members)
        scores.append(score[best])
    if not sets:
        return np.zeros((0, t), np.int32)
    found, score = np.concatenate(sets), np.concatenate(scores)
    sure = score > (2 * np.log(tried) + _BEYOND) * r.shape[1]
    order = np.argsort(-score[sure], kind="stable")
    found = found[sure][order]
    fresh = ~(found[:, None] == known).all(axis=2).any(axis=1)
    return _apart(found[fresh])


def _apart(sets: Int32[np.ndarray, "found t"]) -> Int32[np.ndarray, "kept t"]:
    """Without those that contain a stronger one, or are part of it: they are its echo."""
    kept: list[set[int]] = []
    rows = []
    for row, members in enumerate(sets):
        one = set(members[members >= 0].tolist())
        if len(kept) < _MOST and not any(one <= other or other <= one for other in kept):
            kept.append(one)
            rows.append(row)
    return sets[rows]


def _grown(
    at: Float[np.ndarray, "P I"], r: Float[np.ndarray, "P K"], beam: np.ndarray
) -> tuple[np.ndarray, Float[np.ndarray, "grown"]]:
    """All sets of two inputs more than those of a beam, and Σ_k of their squared correlations."""
    inputs = at.shape[1]
    one, other = np.triu_indices(inputs, 1)
    rows, scores = [], []
    for base in beam:
        product = np.prod(at[:, base], axis=1)
        score = np.zeros((inputs, inputs))
        for k in range(r.shape[1]):
            score += ((at * (product * r[:, k])[:, None]).T @ at) ** 2
        free = ~(np.isin(one, base) | np.isin(other, base))
        both = np.stack([one[free], other[free]], axis=1)
        rows.append(np.concatenate([np.tile(base, (len(both), 1)), both], axis=1))
        scores.append(score[one[free], other[free]])
    every = np.sort(np.concatenate(rows), axis=1)
    _, first = np.unique(subsets.keys(every, inputs)[0], return_index=True)
    return every[first], np.concatenate(scores)[first]
