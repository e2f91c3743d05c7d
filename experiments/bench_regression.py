"""Cross-validated L1 and ridge regression beside scikit-learn on one design.

    python -m spexjax.experiments.bench_regression [--rows 4000] [--columns 2000] [--correlation 0]

Prints warm and cold seconds, scikit-learn's, the ratio, the strengths chosen, and the largest
difference of coefficients at the strength that scikit-learn chose, relative to the largest one.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import jax
import numpy as np

from spexjax import regression


def problem(rows: int, columns: int, correlation: float, seed: int = 0):
    """Equicorrelated Gaussian columns, of which a twentieth matter, and noise."""
    rng = np.random.default_rng(seed)
    X = np.sqrt(1 - correlation) * rng.standard_normal((rows, columns))
    X += np.sqrt(correlation) * rng.standard_normal((rows, 1))
    w = np.zeros(columns)
    w[: columns // 20] = rng.standard_normal(columns // 20)
    y = X @ w + rng.standard_normal(rows)
    return X.astype(np.float32), y.astype(np.float32)


def seconds(call: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, result


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--columns", type=int, default=2000)
    parser.add_argument("--correlation", type=float, default=0.0)
    args = parser.parse_args(argv)
    from sklearn.linear_model import Lasso, LassoCV, Ridge, RidgeCV

    warnings.simplefilter("ignore")
    X, y = problem(args.rows, args.columns, args.correlation)
    grid = np.geomspace(1e-2, 1e5, 24)
    runs = {
        "lasso_cv": (
            lambda: regression.lasso_cv(X, y),
            lambda: LassoCV(cv=5, alphas=100, n_jobs=2).fit(X, y),
            lambda a: regression.lasso(X, y, a).coefficients,
            lambda a: Lasso(alpha=a, tol=1e-7, max_iter=20_000).fit(X, y).coef_,
        ),
        "ridge_cv": (
            lambda: regression.ridge_cv(X, y, grid),
            lambda: RidgeCV(alphas=grid, cv=5).fit(X, y),
            lambda a: regression.ridge(X, y, a).coefficients,
            lambda a: Ridge(alpha=a).fit(X.astype(float), y.astype(float)).coef_,
        ),
    }
    print(f"{args.rows} x {args.columns}, correlation {args.correlation}")
    for name, (ours, theirs, fit, refit) in runs.items():
        cold, _ = seconds(ours)
        warm, found = seconds(ours)
        peer, reference = seconds(theirs)
        w = refit(reference.alpha_)
        error = np.max(np.abs(np.asarray(fit(reference.alpha_)) - w)) / np.max(np.abs(w))
        print(
            f"{name}: cold {cold:.2f} s, warm {warm:.2f} s, scikit-learn {peer:.2f} s "
            f"({peer / warm:.1f} times), strength {float(found.strength):.4g} against "
            f"{reference.alpha_:.4g}, max |dw| / max |w| {error:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
