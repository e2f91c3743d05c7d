"""Cross-validated L1 and ridge regression beside scikit-learn's, on the same arrays.

    python -m spexjax.experiments regression [--rows 4000] [--columns 2000]
        [--designs plain masks neighbours factor] [--fits lasso ridge]

Prints, per design: the first call (with compilation), the best warm call, scikit-learn's best
time, the ratio of that to the warm call, max |Δw| / max |w| at the strength we chose, and how far
the two chosen strengths lie apart in steps of the grid. Both get the same grid and contiguous
folds. scikit-learn gets two processes and a precomputed Gram, and is timed in float32 and float64;
for the comparison of coefficients it is run in float64 to a tolerance of 1e-8.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from spexjax.experiments.harness.timing import timed
from spexjax.experiments.reporting.rows import Rows
from spexjax.regression import lasso_cv, ridge_cv

Kind = Literal["plain", "masks", "neighbours", "factor"]
DESIGNS: tuple[Kind, ...] = ("plain", "masks", "neighbours", "factor")
FOLDS = 5


def design(kind: str, rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """X and y, float32; 5 % of the columns matter and a fifth of y's variance is noise.

    ``plain``: independent normal columns; ``masks``: ±1; ``neighbours``: column j has correlation
    0.95 with column j + 1; ``factor``: all pairs of columns have correlation 0.95.
    """
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, columns))
    if kind == "masks":
        X = np.sign(X)
    elif kind == "neighbours":
        for j in range(1, columns):
            X[:, j] = 0.95 * X[:, j - 1] + np.sqrt(1 - 0.95**2) * X[:, j]
    elif kind == "factor":
        X = np.sqrt(0.95) * rng.standard_normal((rows, 1)) + np.sqrt(0.05) * X
    elif kind != "plain":
        raise ValueError(f"kind must be one of {DESIGNS}, got {kind!r}.")
    count = max(1, columns // 20)
    w = np.zeros(columns)
    signs = rng.choice([-1, 1], count)
    w[rng.choice(columns, count, replace=False)] = rng.uniform(0.5, 2, count) * signs
    y = X @ w
    y += 0.5 * y.std() * rng.standard_normal(rows)
    return X.astype(np.float32), y.astype(np.float32)


def peer_lasso(X: np.ndarray, y: np.ndarray, grid: np.ndarray) -> float:
    """The strength that scikit-learn chooses."""
    from sklearn.linear_model import LassoCV

    return LassoCV(alphas=grid, cv=FOLDS, n_jobs=2, precompute=True).fit(X, y).alpha_


def peer_ridge(X: np.ndarray, y: np.ndarray, grid: np.ndarray) -> float:
    """As ``RidgeCV(grid, cv=5)``, which is this grid search on one process."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    search = GridSearchCV(
        Ridge(), {"alpha": grid}, cv=FOLDS, n_jobs=2, scoring="neg_mean_squared_error"
    )
    return search.fit(X, y).best_params_["alpha"]


def exact_lasso(strength: float) -> Any:
    from sklearn.linear_model import Lasso

    return Lasso(alpha=strength, tol=1e-8, max_iter=100_000, precompute=True)


def exact_ridge(strength: float) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=strength)


FITS: dict[str, tuple[Callable[..., Any], ...]] = {
    "lasso": (lasso_cv, peer_lasso, exact_lasso),
    "ridge": (ridge_cv, peer_ridge, exact_ridge),
}


def measure(fit: str, kind: str, rows: int, columns: int, rounds: int) -> dict[str, float]:
    """Times in seconds and distances of one fit on one design."""
    ours, peer, exact = FITS[fit]
    X, y = design(kind, rows, columns)
    A, b = jnp.asarray(X), jnp.asarray(y)
    cold, _ = timed(lambda: ours(A, b))
    warm, result = min((timed(lambda: ours(A, b)) for _ in range(rounds)), key=lambda t: t[0])
    grid = np.asarray(result.strengths, float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = [
            timed(partial(peer, X.astype(dtype), y.astype(dtype), grid))
            for dtype in (np.float32, np.float64)
        ]
        strength = float(result.strength)
        w = exact(strength).fit(X.astype(float), y.astype(float)).coef_
    theirs = min(seconds for seconds, _ in runs)
    chosen = float(runs[-1][1])
    error = np.abs(np.asarray(result.coefficients) - w).max() / np.abs(w).max()
    return {
        "cold": cold,
        "warm": warm,
        "peer": theirs,
        "peer/cold": theirs / cold,
        "peer/warm": theirs / warm,
        "error": float(error),
        "steps": float(abs(np.log(strength / chosen)) / np.log(grid[0] / grid[1])),
    }


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    rows: int = 4000
    """Of the matrices."""
    columns: int = 2000
    """Of the matrices."""
    designs: tuple[Kind, ...] = DESIGNS
    """Kinds of matrices."""
    fits: tuple[Literal["lasso", "ridge"], ...] = ("lasso", "ridge")
    """Kinds of regression."""
    rounds: int = 2
    """Warm calls; the best one counts."""


def run(config: Config) -> Rows:
    """A row for every fit on every design.

    Raises:
      ValueError: if there are fewer rows than folds.
      ImportError: if scikit-learn is not installed.
    """
    if config.rows < FOLDS:
        raise ValueError(f"rows must be at least {FOLDS}, got {config.rows}.")
    names = ("cold", "warm", "peer", "peer/cold", "peer/warm")
    return Rows(
        f"{config.rows} x {config.columns}, {FOLDS} folds, {jax.devices()[0].platform}; times in "
        "s; cold includes compilation on the first design only",
        {"fit": ">6", "design": ">11"}
        | dict.fromkeys(names, ">9.2f")
        | {"error": ">9.1e", "steps": ">9.2f"},
        (
            (fit, kind, *measure(fit, kind, config.rows, config.columns, config.rounds).values())
            for fit in config.fits
            for kind in config.designs
        ),
    )
