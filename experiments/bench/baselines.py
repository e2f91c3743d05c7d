"""The baselines' error beside shapiq's at equal budget, over random games.

    python -m spexjax.experiments baselines [--games 20] [--players 10] [--budget 300 600 …]

A game is a sum of 30 ANDs of any size with Gaussian weights. Budgets are below 2^n, where nothing
is exact. The error is the root mean square over all sets of the index's orders and over the
games; the truth comes from all 2^n masks. shapiq is needed (``pip install 'spexjax[peers]'``).
"""

import argparse
import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from spexjax.explain import explain
from spexjax.methods.baselines import (
    Banzhaf,
    FaithBanzhaf,
    FaithShapley,
    KernelShap,
    Lasso,
    Lime,
    ShapleyTaylor,
)
from spexjax.typing import ValueFunction


@dataclass(frozen=True)
class Case:
    """A baseline and its counterpart."""

    config: Any
    index: str
    order: int
    peer: str
    """A class of ``shapiq.approximator``."""


CASES = {
    "kernelshap": Case(KernelShap(), "SV", 1, "KernelSHAP"),
    "banzhaf": Case(Banzhaf(), "BV", 1, "RegressionFBII"),
    "lime": Case(Lime(), "BV", 1, "RegressionFBII"),
    "faith-banzhaf 2": Case(FaithBanzhaf(2), "FBII", 2, "RegressionFBII"),
    "faith-banzhaf 3": Case(FaithBanzhaf(3), "FBII", 3, "RegressionFBII"),
    "lasso 2": Case(Lasso(2), "FBII", 2, "RegressionFBII"),
    "lasso 3": Case(Lasso(3), "FBII", 3, "RegressionFBII"),
    "faith-shapley 2": Case(FaithShapley(2), "FSII", 2, "RegressionFSII"),
    "faith-shapley 3": Case(FaithShapley(3), "FSII", 3, "RegressionFSII"),
    "shapley-taylor 2": Case(ShapleyTaylor(2), "STII", 2, "PermutationSamplingSTII"),
    "shapley-taylor 3": Case(ShapleyTaylor(3), "STII", 3, "PermutationSamplingSTII"),
}


def game(n: int, seed: int, terms: int = 30) -> ValueFunction:
    """A weighted sum of ANDs of any size."""
    rng = np.random.default_rng(seed)
    sets = rng.random((terms, n)) < rng.uniform(0.1, 0.6, (terms, 1))
    weights = rng.standard_normal(terms)

    def f(masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "N"]:
        masks = np.atleast_2d(np.asarray(masks, bool))
        return (weights * (masks[:, None] | ~sets).all(axis=2)).sum(axis=1)

    return f


def errors(case: Case, n: int, budget: int, games: int, seed: int = 100) -> tuple[float, float]:
    """The root mean square error of ours and of shapiq's.

    Args:
      case: what is compared.
      n: players.
      budget: calls, below 2^n.
      games: how many random games.
      seed: of the first game; the others follow.

    Raises:
      ValueError: if the budget is too small for the baseline, or not below 2^n.
      ImportError: if shapiq is not installed.
    """
    from shapiq import approximator

    if budget >= 2**n:
        raise ValueError(f"budget must be below 2^n = {2**n}, got {budget}.")
    orders = range(1, case.order + 1)
    sets = [s for k in orders for s in itertools.combinations(range(n), k)]
    kind = getattr(approximator, case.peer)
    given = {} if case.peer == "KernelSHAP" else {"max_order": case.order}
    squares = np.zeros(2)
    for i in range(games):
        f = game(n, seed + i)
        truth = explain(f, n, budget=2**n, method="exact").interactions(case.index, case.order)
        own = explain(f, n, budget=budget, method=case.config, seed=i)
        found = own.interactions(case.index, case.order)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = kind(n=n, random_state=i, **given).approximate(budget, f).interactions
        for s in sets:
            squares += (np.array([found[s], theirs.get(s, 0.0)]) - truth[s]) ** 2
    ours, theirs = np.sqrt(squares / (games * len(sets))).tolist()
    return ours, theirs


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=20)
    parser.add_argument("--players", type=int, default=10)
    parser.add_argument("--budget", type=int, nargs="+", default=[300, 600, 900])
    parser.add_argument("--method", nargs="+", default=[*CASES], choices=CASES, metavar="NAME")
    args = parser.parse_args(argv)
    print(f"{args.games} games of {args.players} players")
    print(f"{'method':>16} {'index':>5} {'budget':>6} {'ours':>8} {'shapiq':>8} {'ratio':>6}  peer")
    for name in args.method:
        case = CASES[name]
        for budget in args.budget:
            start = f"{name:>16} {case.index:>5} {budget:>6}"
            try:
                ours, theirs = errors(case, args.players, budget, args.games)
            except ValueError as error:
                print(f"{start}  {error}", flush=True)
                continue
            ratio = ours / theirs
            print(f"{start} {ours:>8.4f} {theirs:>8.4f} {ratio:>6.2f}  {case.peer}", flush=True)
