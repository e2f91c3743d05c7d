"""Is SPEX ever worse than linear regression on the very same model calls?

``python -m spexjax.experiments refit`` explains twenty synthetic functions (some of them
noise, some too dense for peeling to find anything) at every budget from the smallest coded design
up, fits ridge regression to the same calls, and prints both held-out R² on fresh uniform masks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Bool, Float

from spexjax import explain, masks, metrics
from spexjax.experiments.functions import synthetic
from spexjax.experiments.functions.planted import Synthetic
from spexjax.experiments.reporting.rows import Rows

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


def compared(
    n: int, count: int, budgets: list[tuple[int, int]], test_masks: int
) -> Iterator[tuple]:
    """Family, seed, b, calls, R² of both, the gain, the method and the R² that it reports."""
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
            reported = float(e.faithfulness)
            yield name, seed, b, e.calls, ours, linear, ours - linear, e.method, reported


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    n: int = 64
    """Inputs."""
    functions: int = 20
    """The families in turn."""
    largest_b: int = 7
    """log2 of the bins of the largest design."""
    test_masks: int = 10_000
    """Fresh masks on which both are scored."""


def run(config: Config) -> Rows:
    """A row for every function at every budget."""
    budgets = []
    for b in range(masks.SMALLEST_B, config.largest_b + 1):
        least, more = smallest_budget(config.n, b), masks.design_cost(config.n, b, 5) // 2
        budgets += [(b, least), (b, least + more)]
    return Rows(
        f"n = {config.n}, {config.functions} functions, jax on {jax.default_backend()}",
        {"family": "<14", "seed": ">4d", "b": ">2d", "calls": ">6d", "spex": ">7.3f",
         "linear": ">7.3f", "gain": ">+7.3f", "method": "<14", "reported": ">8.3f"},
        compared(config.n, config.functions, budgets, config.test_masks),
        _gains,
    )  # fmt: skip


def _gains(rows: list[tuple]) -> Iterator[str]:
    for b, calls in dict.fromkeys((row[2], row[3]) for row in rows):
        gains = np.array([row[6] for row in rows if row[2:4] == (b, calls)])
        yield f"b = {b}, {calls} calls: mean gain {gains.mean():+.4f}, worst {gains.min():+.4f}"


def smallest_budget(n: int, b: int, t: int = 5, groups: int = 3) -> int:
    """The smallest budget whose plan holds the coded design with 2^b bins."""
    budget = masks.design_cost(n, b, t, groups)
    while (masks.plan_budget(n, budget, t, groups).b or 0) < b:
        budget += max(1, budget // 1000)
    return budget
