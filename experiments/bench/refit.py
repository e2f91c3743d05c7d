"""Is SPEX ever worse than linear regression on the very same model calls?

``python -m spexjax.experiments refit`` explains twenty synthetic functions (some of them
noise, some too dense for peeling to find anything) at every budget from the smallest coded design
up, fits ridge regression to the same calls, and prints both held-out R² on fresh uniform masks.
"""

import argparse
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from spexjax import explain, masks, metrics
from spexjax.experiments.functions import synthetic
from spexjax.experiments.functions.planted import Synthetic

FAMILIES: dict[str, dict] = {
    "flat": {"noise": 0.5},
    "hierarchical": {},
    "conjunctions": {},
    "linear": {"noise": 0.5},
    "heavy": {},
    "trees": {},
    "network": {},
    "noise": {},
}


class Case(NamedTuple):
    """One function at one budget."""

    family: str
    seed: int
    b: int
    calls: int
    method: str
    spex: float
    linear: float
    reported: float


def cases(count: int, n: int) -> list[tuple[str, int, Synthetic]]:
    """``count`` functions, the families in turn."""
    names = list(FAMILIES)
    return [
        (name, seed, synthetic.family(name, n, seed, **FAMILIES[name]))
        for name, seed in ((names[i % len(names)], i) for i in range(count))
    ]


def ridge_linear(
    bits: Bool[np.ndarray, "N n"], values: Float[np.ndarray, "N"], folds: int = 5
) -> tuple[Float[np.ndarray, "n"], float]:
    """Ridge regression on single inputs with the strength chosen by cross-validation (NumPy)."""
    X = 1.0 - 2.0 * bits
    fold = np.random.default_rng(0).permutation(len(X)) % folds
    strengths = np.geomspace(1e-3, 1e4, 22)

    def path(keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centre, mean = X[keep].mean(0), values[keep].mean()
        A = X[keep] - centre
        eigenvalues, V = np.linalg.eigh(A.T @ A)
        rotated = V.T @ (A.T @ (values[keep] - mean))
        W = V @ (rotated[:, None] / (np.maximum(eigenvalues, 0)[:, None] + strengths))
        return W, mean - centre @ W

    errors = np.zeros(len(strengths))
    for k in range(folds):
        W, intercept = path(fold != k)
        errors += ((values[fold == k][:, None] - X[fold == k] @ W - intercept) ** 2).sum(0)
    best = int(np.argmin(errors))
    W, intercept = path(np.ones(len(X), bool))
    return W[:, best], float(intercept[best])


def run(n: int, count: int, budgets: list[tuple[int, int]], test_masks: int) -> list[Case]:
    """Every function at every (b, budget)."""
    rows = []
    for name, seed, f in cases(count, n):
        test = np.random.default_rng(seed + 1000).random((test_masks, n)) < 0.5
        truth = f(test)
        for b, budget in budgets:
            asked: list[np.ndarray] = []
            given: list[np.ndarray] = []

            def recorded(m, f=f, asked=asked, given=given):
                asked.append(m)
                given.append(f(m))
                return given[-1]

            e = explain(recorded, n, budget=budget, method="spex", seed=seed)
            w, c = ridge_linear(np.concatenate(asked), np.concatenate(given).astype(float))
            linear = float(metrics.r2(truth, ((1.0 - 2.0 * test) @ w + c).astype(np.float32)))
            ours = float(metrics.r2(truth, np.asarray(e.predict(test))))
            rows.append(Case(name, seed, b, e.calls, e.method, ours, linear, float(e.faithfulness)))
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--functions", type=int, default=20)
    parser.add_argument("--largest-b", type=int, default=7)
    parser.add_argument("--test-masks", type=int, default=10_000)
    args = parser.parse_args(argv)
    budgets = []
    for b in range(masks.SMALLEST_B, args.largest_b + 1):
        exact = masks.design_cost(args.n, b, 5)
        budgets += [(b, smallest_budget(args.n, b)), (b, smallest_budget(args.n, b) + exact // 2)]
    rows = run(args.n, args.functions, budgets, args.test_masks)
    print(f"n = {args.n}, {args.functions} functions, jax on {jax.default_backend()}")
    print(f"{'family':14} {'seed':>4} {'b':>2} {'calls':>6} {'spex':>7} {'linear':>7} {'gain':>7}")
    for r in rows:
        gain = r.spex - r.linear
        print(
            f"{r.family:14} {r.seed:4d} {r.b:2d} {r.calls:6d} {r.spex:7.3f} {r.linear:7.3f} "
            f"{gain:+7.3f} {r.method} (reported {r.reported:.3f})"
        )
    for b, budget in budgets:
        gains = np.array([r.spex - r.linear for r in rows if (r.b, r.calls) == (b, budget)])
        print(f"b = {b}, {budget} calls: mean gain {gains.mean():+.4f}, worst {gains.min():+.4f}")


def smallest_budget(n: int, b: int, t: int = 5, groups: int = 3) -> int:
    """The smallest budget whose plan holds the coded design with 2^b bins."""
    budget = masks.design_cost(n, b, t, groups)
    while (masks.plan_budget(n, budget, t, groups).b or 0) < b:
        budget += max(1, budget // 1000)
    return budget
