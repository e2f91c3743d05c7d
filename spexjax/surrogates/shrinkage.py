"""Least squares where equations are few: ridge regression, as strong as cross-validation asks.

Near as many equations as unknowns, least squares solve for noise and err most. The strength that
minimises generalised cross-validation (Golub, Heath, Wahba 1979), mean square residual over
(1 − trace of the hat matrix / equations)², goes to 0 where equations are many, or solved without
error. Where all masks come in pairs of complements, sets of even and of odd size have equations,
and a strength, of their own.
"""

import numpy as np
from jaxtyping import Float

from spexjax.masks.design import Design
from spexjax.processes.likelihood import factored
from spexjax.processes.pairs import pairs_of, parts
from spexjax.processes.sparse import characters
from spexjax.processes.threads import one_thread
from spexjax.spectra.subsets import Terms

# Masks for each set. Of more the strengths are near 0; with fewer, of all that solve the equations
# the coefficients of least norm err as little.
_FEWEST, _FEW = 1.2, 10.0
_MOST = 2048  # sets: a strength takes a fifth of a second
_LEAST, _LARGEST = 1e-6, 10.0  # strengths, in units of the mean square of a column
_STRENGTHS = 15
_PATIENCE = 3  # strengths in a row that are no better for any output


def few(rows: int, sets: Terms) -> bool:
    """Whether this is for so many masks and sets."""
    count = len(sets.sizes)
    return _FEWEST * count <= rows < _FEW * count and count <= _MOST


@one_thread()
def least_squares(
    design: Design,
    values: Float[np.ndarray, "N K"],
    sets: Terms,
    weights: Float[np.ndarray, "N"],
    constrained: bool,
) -> Float[np.ndarray, "S K"]:
    """Fourier coefficients of the sets.

    Args:
      design: the masks; the first two are 1…1 and 0…0 if ``constrained``.
      values: f there.
      sets: the regressors.
      weights: of the masks.
      constrained: the fit is exact at 1…1 and 0…0.
    """
    even = sets.sizes % 2 == 0
    found = pairs_of(design)
    if 2 * len(found.places) == len(design):
        signs, w = found.signs, weights[found.places].sum(axis=1)
        problems = list(zip((even, ~even), parts(values, found), strict=True))
    else:
        signs, w = np.where(design.masks(), 1.0, -1.0), weights
        problems = [(np.ones(len(even), bool), values)]
    total, change = (values[0] + values[1]) / 2, (values[1] - values[0]) / 2
    F = np.zeros((len(even), values.shape[1]))
    for those, y in problems:
        X = characters(signs, sets.members[those]).T.astype(float)
        # At both ends the coefficients of a half add up to what f is there.
        halves = [(even[those], total), (~even[those], change)] if constrained else []
        for half, level in halves:
            means = X[:, half].mean(axis=1, keepdims=True) if half.any() else np.zeros((len(X), 1))
            X[:, half] -= means
            y = y - means * level
        centre, middle = np.zeros(X.shape[1]), np.zeros(values.shape[1])
        if not constrained and those[0]:
            centre, middle = w @ X / w.sum(), w @ y / w.sum()
        root = np.sqrt(w[w > 0])[:, None]
        own = _ridge((X - centre)[w > 0] * root, (y - middle)[w > 0] * root)
        for half, level in halves:
            own[half] += (level - own[half].sum(axis=0)) / max(half.sum(), 1)
        if those[0]:  # ∅
            own[0] += middle - centre @ own
        F[those] = own
    return F


def _ridge(X: Float[np.ndarray, "N C"], y: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "C K"]:
    """Of several strengths that of the smallest criterion, for every output."""
    from scipy.linalg import lapack

    N, C = X.shape
    dual = N < C
    M, rhs = (X @ X.T, y) if dual else (X.T @ X, X.T @ y)
    unit = float(np.trace(M)) / C
    best, least, waited = np.zeros((C, y.shape[1])), np.full(y.shape[1], np.inf), 0
    if not unit:
        return best
    for strength in unit * np.geomspace(_LARGEST, _LEAST, _STRENGTHS):
        found = factored(M, strength, rhs)
        if found is None:  # nor will it be for smaller ones
            break
        F = X.T @ found.weights if dual else found.weights
        inverse, _ = lapack.dtrtri(found.factor, lower=1, overwrite_c=1)  # 0 above the diagonal
        # N − trace of the hat matrix
        free = strength * np.vdot(inverse, inverse) + max(N - C, 0)
        score = np.sum((y - X @ F) ** 2, axis=0) / free**2
        waited = 0 if np.any(score < least) else waited + 1
        best[:, score < least] = F[:, score < least]
        least = np.minimum(score, least)
        if waited == _PATIENCE:
            break
    return best
