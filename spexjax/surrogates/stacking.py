"""The mean of several fits whose held-out residuals cancel best (stacking: Breiman 1996).

A family is one way of fitting at many strengths. Cross-validation picks each family's strength,
then the shares s ≥ 0, Σ s = 1, that minimise sᵀR s, R the products of the families' held-out
residuals. The error of such a mean is at most that of the best family, but for what choosing
costs, and a family joins only if it errs elsewhere than the best one does.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spexjax.surrogates import problem
from spexjax.surrogates.fits import STRENGTHS
from spexjax.surrogates.proposals import SCHEMES

MOST = 4
_LEAST_SHARE = 0.05
# In standard errors: up to the first a gain is taken for chance, from the second on for real.
_CHANCE, _CERTAIN = 1.0, 3.0
# L1 at the strength at which nothing is left but the mean.
_CONSTANT = problem.METHODS.index("sparse") * len(problem.RIDGE_STRENGTHS)


class Menu(NamedTuple):
    """What the candidates of a cross-validation are, in their order.

    Attributes:
      family: int (L,), rising: ``refit.METHODS``, then the schemes by L1, then the same relaxed.
      scheme: int (L,), place in ``SCHEMES``; 0 where there is no L1 penalty.
      lasso: float32 (L,), L1 strength, relative; 0 where there is none.
      ridge: float32 (L,), ridge strength; 0 where there is an L1 penalty.
    """

    family: Int[np.ndarray, "L"]
    scheme: Int[np.ndarray, "L"]
    lasso: Float[np.ndarray, "L"]
    ridge: Float[np.ndarray, "L"]

    def names(self, places: Int[np.ndarray, "M"]) -> set[str]:
        """The methods of candidates but the mean: those of ``refit.METHODS`` or "wider"."""
        known = dict(enumerate(problem.METHODS))
        return {known.get(int(self.family[p]), "wider") for p in places if p != _CONSTANT}


def menu(wider: bool) -> Menu:
    """The candidates of :mod:`spexjax.surrogates.problem`, then, if wider, those of :mod:`spexjax.surrogates.fits`."""
    A, S, few = len(STRENGTHS), len(SCHEMES), len(problem.RIDGE_STRENGTHS)
    methods = len(problem.METHODS)
    plain = np.array([problem.strength(m, a) for m in problem.METHODS for a in range(few)])
    none = np.zeros(len(plain))
    first = np.repeat(np.arange(methods), few), none.astype(int), none, plain
    families = np.repeat(methods + np.arange(2 * S), A)
    schemes = np.tile(np.repeat(np.arange(S), A), 2)
    sparse = np.concatenate([np.tile(STRENGTHS, S), np.zeros(S * A)])
    relaxed = np.where(sparse > 0, 0.0, problem.DEBIASING)
    parts = list(zip(first, (families, schemes, sparse, relaxed), strict=True))
    family, scheme, lasso, ridge = (np.concatenate(p if wider else p[:1]) for p in parts)
    return Menu(family, scheme, lasso.astype(np.float32), ridge.astype(np.float32))


class Mixture(NamedTuple):
    """Candidates that are averaged: places int (M,) and shares float32 (M,), which sum to 1."""

    places: Int[np.ndarray, "M"]
    shares: Float[np.ndarray, "M"]


def mix(products: Float[np.ndarray, "L L"], count: float, menu: Menu) -> Mixture:
    """The best mean of at most ``MOST`` families, and the mean of f; shares of 0 fill up.

    The least of many errors is small by chance. So what the families gain on the mean of f alone
    is trusted wholly from 3 standard errors up, not at all below 1, and in proportion between;
    the mean of f has the rest.

    Args:
      products: Σ r_a r_b over the masks held out in the folds.
      count: the number of these masks.
      menu: the candidates.
    """
    errors = np.diagonal(products)
    starts = np.flatnonzero(np.diff(menu.family, prepend=-1))
    best = starts + [np.argmin(part) for part in np.split(errors, starts[1:])]
    best = best[np.argsort(errors[best], kind="stable")]
    shares = simplex(products[np.ix_(best, best)])
    chosen = np.argsort(-shares, kind="stable")[:MOST]
    used = best[chosen[shares[chosen] >= _LEAST_SHARE]]
    shares = simplex(products[np.ix_(used, used)])
    gain = _gain(products, used, shares, count)
    trust = float(np.clip((gain - _CHANCE) / (_CERTAIN - _CHANCE), 0.0, 1.0))
    used, shares = np.append(used, _CONSTANT), np.append(trust * shares, 1 - trust)
    used, shares = used[shares > 0], shares[shares > 0]
    fill = (0, MOST + 1 - len(used))
    return Mixture(np.pad(used, fill, "edge"), np.pad(shares, fill).astype(np.float32))


def _gain(
    products: Float[np.ndarray, "L L"],
    used: Int[np.ndarray, "M"],
    shares: Float[np.ndarray, "M"],
    count: float,
) -> float:
    """How much less a mixture errs than the mean of f does, in standard errors.

    With residuals r and r', Σ r'² − Σ r² has a standard deviation near 2 σ (Σ (r' − r)²)^½, σ that
    of r.
    """
    before = float(products[_CONSTANT, _CONSTANT])
    after = float(shares @ products[np.ix_(used, used)] @ shares)
    moved = before + after - 2 * float(shares @ products[used, _CONSTANT])
    error = 2 * np.sqrt(max(after / max(count, 1.0) * moved, 1e-30))
    return (before - after) / error


def simplex(R: Float[np.ndarray, "M M"]) -> Float[np.ndarray, "M"]:
    """The s ≥ 0, Σ s = 1, that minimise sᵀR s, R positive semidefinite."""
    from scipy.optimize import nnls  # here, because importing it takes a fifth of a second

    scale = max(float(np.diagonal(R).max()), 1e-30)
    values, vectors = np.linalg.eigh(R.astype(float) / scale)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    # min sᵀR s + (Σ s − 1)² has the same direction: R fixes the scale of s only.
    rows = np.concatenate([root, np.ones((1, len(R)))])
    s, _ = nnls(rows, np.append(np.zeros(len(R)), 1.0))
    return s / s.sum()
