"""The baselines' error beside shapiq's at equal budget, over random games.

    python -m spexjax.experiments baselines [--games 20] [--players 10] [--budgets 300 600 900]

A game is a sum of 30 ANDs of any size with Gaussian weights. Budgets are below 2^n, where nothing
is exact. The error is the root mean square over all sets of the index's orders and over the games;
the truth comes from all 2^n masks. Every estimator of shapiq has the best options that it offers
(masks in pairs, where it can), and ``auto`` is set against the best that shapiq has for an index.
shapiq is needed, and xgboost for some of its estimators (``pip install shapiq xgboost``).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from spexjax.experiments.functions.planted import Support
from spexjax.experiments.harness.methods import METHODS
from spexjax.experiments.peers import shapiq_estimators as shapiq
from spexjax.experiments.peers.shapiq_estimators import Estimator
from spexjax.experiments.reporting.rows import Rows
from spexjax.experiments.tasks.item import known
from spexjax.explain import explain
from spexjax.explanation import Explanation
from spexjax.indices.interaction_values import Interactions
from spexjax.masks.budget import BudgetError
from spexjax.typing import ValueFunction

_PROXY = Estimator("ProxySHAP", ("xgboost",))
_MSR = Estimator("RegressionMSR", ("xgboost",))
_ODD = Estimator("OddSHAP", ("lightgbm",))


_STII = (Estimator("PermutationSamplingSTII"), Estimator("SVARMIQ"))


class Rival(NamedTuple):
    """A method of ours, the index ``of`` some order, and estimators of shapiq."""

    method: str
    of: str
    order: int
    theirs: tuple[Estimator, ...]


RIVALS = (
    Rival("kernelshap", "SV", 1, (Estimator("KernelSHAP"), Estimator("LeverageSHAP"))),
    Rival("banzhaf", "BV", 1, (Estimator("RegressionFBII"),)),
    Rival("lime", "BV", 1, (Estimator("RegressionFBII"),)),
    Rival("faith-banzhaf-2", "FBII", 2, (Estimator("RegressionFBII"),)),
    Rival("faith-banzhaf-3", "FBII", 3, (Estimator("RegressionFBII"),)),
    Rival("lasso-2", "FBII", 2, (Estimator("RegressionFBII"),)),
    Rival("lasso-3", "FBII", 3, (Estimator("RegressionFBII"),)),
    Rival("faith-shapley-2", "FSII", 2, (Estimator("RegressionFSII"),)),
    Rival("faith-shapley-3", "FSII", 3, (Estimator("RegressionFSII"),)),
    Rival("shapley-taylor-2", "STII", 2, _STII),
    Rival("shapley-taylor-3", "STII", 3, _STII),
    Rival("auto", "SV", 1, (_PROXY, _MSR, _ODD)),
    Rival("auto", "BV", 1, (_PROXY,)),
    Rival("auto", "FBII", 2, (_PROXY,)),
    Rival("auto", "FBII", 3, (_PROXY,)),
    Rival("auto", "FSII", 2, (_PROXY,)),
    Rival("auto", "FSII", 3, (_PROXY,)),
    Rival("auto", "STII", 2, (_PROXY,)),
    Rival("auto", "STII", 3, (_PROXY,)),
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    games: int = 20
    """How many."""
    players: int = 10
    """Of each game."""
    budgets: tuple[int, ...] = (300, 600, 900)
    """Calls, below 2^players."""
    methods: tuple[str, ...] = tuple(dict.fromkeys(r.method for r in RIVALS))
    """Of ours."""
    seed: int = 100
    """Of the first game; the others follow."""


def game(n: int, seed: int, terms: int = 30) -> ValueFunction:
    """A weighted sum of ANDs of any size."""
    rng = np.random.default_rng(seed)
    sets = rng.random((terms, n)) < rng.uniform(0.1, 0.6, (terms, 1))
    weights = rng.standard_normal(terms)

    def f(masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "N"]:
        masks = np.atleast_2d(np.asarray(masks, bool))
        return (weights * (masks[:, None] | ~sets).all(axis=2)).sum(axis=1)

    return f


def run(config: Config) -> Rows:
    """A row for every method, index, budget and estimator of shapiq.

    Raises:
      ValueError: if a budget buys all masks, or a method is unknown.
      ImportError: if shapiq is not installed.
    """
    for name in config.methods:
        known("method", name, [r.method for r in RIVALS])
    if max(config.budgets) >= 2**config.players:
        raise ValueError(
            f"budgets must be below 2^players = {2**config.players}, got {max(config.budgets)}."
        )
    return Rows(
        f"{config.games} games of {config.players} players, shapiq {shapiq.version()}; "
        "root mean square error",
        {"method": "<16", "index": "<5", "order": ">5d", "budget": ">6d", "ours": ">7.4f",
         "theirs": ">7.4f", "ratio": ">5.2f", "shapiq's": "<40"},
        _compared(config),
    )  # fmt: skip


def _compared(config: Config) -> Iterator[tuple]:
    n = config.players
    games = [game(n, config.seed + i) for i in range(config.games)]
    exact = [explain(f, n, budget=2**n, method="exact") for f in games]
    for budget in config.budgets:
        for method in config.methods:
            rivals = [rival for rival in RIVALS if rival.method == method]
            try:
                ours = [
                    explain(f, n, budget=budget, method=METHODS[method].config, seed=i)
                    for i, f in enumerate(games)
                ]
            except BudgetError as error:
                yield (method, rivals[0].of, rivals[0].order, budget, None, None, None, str(error))
                continue
            for rival in rivals:
                truth = [e.interactions(rival.of, rival.order) for e in exact]
                yield from _rows(config, rival, budget, ours, games, truth)


def _rows(
    config: Config,
    rival: Rival,
    budget: int,
    ours: list[Explanation],
    games: list[ValueFunction],
    truth: list[Interactions],
) -> Iterator[tuple]:
    """A row for every estimator of shapiq."""
    n, head = config.players, (rival.method, rival.of, rival.order, budget)
    read = [e.interactions(rival.of, rival.order).to_dict() for e in ours]
    own = root_mean_square(read, truth)
    for one in rival.theirs:
        if not shapiq.offered(one.name) or not all(map(find_spec, one.needs)):
            yield (*head, own, None, None, f"{one.name} is not installed")
            continue
        found = [
            shapiq.estimate(one.name, f, n, rival.of, rival.order, budget, i)
            for i, f in enumerate(games)
        ]
        theirs = root_mean_square(found, truth)
        on = ", ".join(f"{k}={v}" for k, v in shapiq.options(one.name).items())
        yield (*head, own, theirs, own / theirs, f"{one.name}({on})")


def root_mean_square(
    found: Sequence[Mapping[Support, float]], truth: Sequence[Interactions]
) -> float:
    """Of the errors on all non-empty sets of the orders of the truth, and over the games."""
    squares = []
    for guess, right in zip(found, truth, strict=True):
        orders = range(1, right.max_order + 1)
        sets = [s for k in orders for s in itertools.combinations(range(right.n), k)]
        squares.append(np.mean([(guess.get(s, 0.0) - right[s]) ** 2 for s in sets]))
    return float(np.sqrt(np.mean(squares)))
