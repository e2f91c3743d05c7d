"""The mean of several fits whose held-out residuals cancel best (stacking: Breiman 1996).

Cross-validation picks each family's strength, then the shares s ≥ 0, Σ s = 1, that minimise
sᵀR s, R the products of the families' held-out residuals. The error of such a mean is at most that
of the best family, but for what choosing costs, and a family joins only if it errs elsewhere than
the best one does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spexjax.surrogates.fits import MEAN, FitSpec

# Chosen by ``python -m spexjax.experiments budget --budgets 250 1000``.
MOST = 4
_LEAST_SHARE = 0.05
# In standard errors: up to the first a gain is taken for chance, from the second on for real.
_CHANCE, _CERTAIN = 1.0, 3.0


class Stack(NamedTuple):
    """Candidates that are averaged: places int (M,) and shares float32 (M,), which sum to 1."""

    places: Int[np.ndarray, "M"]
    shares: Float[np.ndarray, "M"]


def stack(products: Float[np.ndarray, "L L"], count: float, specs: Sequence[FitSpec]) -> Stack:
    """The best mean of at most ``MOST`` families, and the mean of f; shares of 0 fill up.

    The least of many errors is small by chance. So what the families gain on the mean of f alone
    is trusted wholly from 3 standard errors up, not at all below 1, and in proportion between;
    the mean of f has the rest.

    Args:
      products: Σ r_a r_b over the masks held out in the folds.
      count: the number of these masks.
      specs: the candidates, :data:`~spexjax.surrogates.fits.MEAN` among them.
    """
    errors = np.diagonal(products)
    families: dict[str, list[int]] = {}
    for place, spec in enumerate(specs):
        families.setdefault(spec.family, []).append(place)
    mean = families.pop(MEAN.family)[0]
    best = np.array([min(places, key=lambda p: errors[p]) for places in families.values()])
    best = best[np.argsort(errors[best], kind="stable")]
    shares = simplex(products[np.ix_(best, best)])
    chosen = np.argsort(-shares, kind="stable")[:MOST]
    used = best[chosen[shares[chosen] >= _LEAST_SHARE]]
    shares = simplex(products[np.ix_(used, used)])
    gain = _gain(products, used, shares, mean, count)
    trust = float(np.clip((gain - _CHANCE) / (_CERTAIN - _CHANCE), 0.0, 1.0))
    used, shares = np.append(used, mean), np.append(trust * shares, 1 - trust)
    used, shares = used[shares > 0], shares[shares > 0]
    fill = (0, MOST + 1 - len(used))
    return Stack(np.pad(used, fill, "edge"), np.pad(shares, fill).astype(np.float32))


def _gain(
    products: Float[np.ndarray, "L L"],
    used: Int[np.ndarray, "M"],
    shares: Float[np.ndarray, "M"],
    mean: int,
    count: float,
) -> float:
    """How much less a stack errs than the mean of f does, in standard errors.

    With residuals r and r', Σ r'² − Σ r² has a standard deviation near 2 σ (Σ (r' − r)²)^½, σ that
    of r.
    """
    before = float(products[mean, mean])
    after = float(shares @ products[np.ix_(used, used)] @ shares)
    moved = before + after - 2 * float(shares @ products[used, mean])
    error = 2 * np.sqrt(max(after, 0.0) / max(count, 1.0) * max(moved, 0.0))
    if error <= 1e-12 * max(before, after):  # residuals of rounding
        return np.inf if before > after else 0.0
    return (before - after) / error


def simplex(R: Float[np.ndarray, "M M"]) -> Float[np.ndarray, "M"]:
    """The s ≥ 0, Σ s = 1, that minimise sᵀR s, R positive semidefinite."""
    from scipy.optimize import nnls  # here, because importing it takes a fifth of a second

    scale = float(np.diagonal(R).max())
    values, vectors = np.linalg.eigh(R.astype(float) / (scale if scale > 0 else 1.0))
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    # min sᵀR s + (Σ s − 1)² has the same direction: R fixes the scale of s only.
    rows = np.concatenate([root, np.ones((1, len(R)))])
    s, _ = nnls(rows, np.append(np.zeros(len(R)), 1.0))
    return s / s.sum()
