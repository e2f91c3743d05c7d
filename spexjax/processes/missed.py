"""Sets that a sum of others lacks, found in what it leaves.

What few missing sets leave is large at each of them, Σ_m residual(m) χ_U(m), beside what chance
would make it. Sets of up to three are all tried, larger ones where they hold one of the best
smaller ones, or of those known, and two inputs more; of many inputs those of the largest rates.
"""

from math import comb

import numpy as np
from jaxtyping import Float, Int, Int32

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
    r = (residuals / np.where(spread > 0, spread, np.inf)).T / np.sqrt(P)
    inputs = np.sort(np.argsort(-rates, kind="stable")[:_INPUTS])
    at, r = np.ascontiguousarray(signs[:, inputs].T, np.float32), r.astype(np.float32)
    beam = np.zeros((1, 0), int) if part == 0 else np.arange(len(inputs))[:, None]
    alone = inputs[: len(beam) * part, None].astype(np.int32)
    sets = [np.pad(alone, ((0, 0), (0, t - 1)), constant_values=-1)]
    scores, tried = [np.sum((at[: len(alone)] @ r.T) ** 2, axis=1)], len(beam)
    places = np.searchsorted(inputs, known)
    inside = (np.isin(known, inputs) | (known < 0)).all(axis=1)
    sizes = np.where(inside, (known >= 0).sum(axis=1), -1)
    for size in range(part + 2, min(t, len(inputs)) + 1, 2):
        grown, score, number = _grown(at, r, beam)
        tried += number
        own = places[sizes == size][:_BEAM, :size]
        beam = np.unique(np.concatenate([grown[:_BEAM], own]), axis=0)
        members = np.full((len(grown), t), -1, np.int32)
        members[:, :size] = inputs[grown]
        sets.append(members)
        scores.append(score)
    found, score = np.concatenate(sets), np.concatenate(scores)
    sure = score > (2 * np.log(tried) + _BEYOND) * len(r)
    order = np.argsort(-score[sure], kind="stable")
    found = found[sure][order]
    fresh = ~(found[:, None] == known).all(axis=2).any(axis=1)
    return _apart(found[fresh])


def _apart(sets: Int32[np.ndarray, "found t"]) -> Int32[np.ndarray, "kept t"]:
    """Without those that contain a stronger one, or are part of it: they are its echo.

    Single inputs, of which there are few, stay.
    """
    kept: list[set[int]] = []
    rows = []
    for row, members in enumerate(sets):
        one = set(members[members >= 0].tolist())
        if len(one) == 1:
            rows.append(row)
        elif len(kept) < _MOST and not any(one <= other or other <= one for other in kept):
            kept.append(one)
            rows.append(row)
    return sets[rows]


def _grown(
    at: Float[np.ndarray, "I P"], r: Float[np.ndarray, "K P"], beam: Int[np.ndarray, "beam s"]
) -> tuple[Int[np.ndarray, "best s+2"], Float[np.ndarray, "best"], int]:
    """The best sets of two inputs more than those of a beam, and how many were tried.

    Args:
      at: float32, signs of the inputs.
      r: float32, what is left.
      beam: sets of inputs.

    Returns:
      sets; Σ_k of their squared correlations, the largest first; a number.
    """
    inputs, size = len(at), beam.shape[1]
    later = np.triu(np.ones((inputs, inputs), bool), 1)
    scores = np.full((len(beam), inputs, inputs), -1.0, np.float32)
    for score, base in zip(scores, beam, strict=True):
        # Single inputs are all in the beam: a triple is grown from its first alone.
        start = base[0] + 1 if size == 1 else 0
        free = later[start:, start:].copy()
        inside = base[base >= start] - start
        free[inside], free[:, inside] = False, False
        some, product = at[start:], np.prod(at[base], axis=0)
        found = sum(((some * (product * one)) @ some.T) ** 2 for one in r)
        score[start:, start:][free] = found[free]
    flat = scores.ravel()
    # A set may be grown from each of its subsets in the beam, and is then among them as often.
    best = subsets.largest(flat, _MOST * comb(size + 2, 2))
    best = best[flat[best] >= 0]
    base, one, other = np.unravel_index(best, scores.shape)
    grown = np.sort(np.column_stack([beam[base], one, other]), axis=1)
    _, first = np.unique(subsets.keys(grown, inputs)[0], return_index=True)
    first = np.sort(first)[:_MOST]
    return grown[first], flat[best[first]], int(np.sum(flat >= 0))
