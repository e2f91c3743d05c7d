"""With a few calls per input, is ``auto`` ever beaten, and does its R² say what is true?

``python -m spexjax.experiments few-calls`` prints the R² of every method on the same fresh masks,
the mean of ten seeds, how far the R² that an explanation gives of itself is from it, and how often
its interval holds it; below the table how far ``auto`` is from the best of the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from spexjax import metrics
from spexjax.experiments.bench.index_games import GAMES, Game
from spexjax.experiments.harness.methods import EXPLAINERS, METHODS
from spexjax.experiments.reporting.rows import Rows
from spexjax.experiments.tasks.item import known
from spexjax.explain import explain
from spexjax.masks.budget import BudgetError

_MASKS = 2000
_STREAM = 7
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    games: tuple[str, ...] = (
        "diabetes-forest-0", "diabetes-boosting-3", "wine-forest-0", "cancer-30-forest-0",
        "cancer-30-boosting", "text-0", "text-1", "digits-mean-0", "digits-blank-2",
    )  # fmt: skip
    """By name, of those of shapley-values."""
    per_input: tuple[int, ...] = (4, 8, 20)
    """Calls for each input."""
    methods: tuple[str, ...] = ("auto", "linear", "lasso-2", "proxyspex", "kernelshap")
    """Those compared."""
    seeds: int = 10
    """Of the masks."""


def run(config: Config) -> Rows:
    """A row for every game, number of calls and method.

    Raises:
      ValueError: if a game or a method is unknown.
    """
    for name in config.games:
        known("game", name, GAMES)
    for method in config.methods:
        known("method", method, EXPLAINERS)
    return Rows(
        f"R² on {_MASKS} fresh masks, {config.seeds} seeds",
        {"game": "<22", "n": ">3d", "calls": ">6d", "method": "<12", "R²": ">8.4f",
         "|own − R²|": ">11.4f", "held": ">5.2f"},
        _measured(config),
        _behind,
    )  # fmt: skip


def _measured(config: Config) -> Iterator[tuple]:
    for name in config.games:
        game = GAMES[name]()
        masks = np.random.default_rng(_STREAM).random((_MASKS, game.n)) < 0.5
        truth = np.asarray(game(masks), np.float32)
        for calls in (game.n * times for times in config.per_input):
            for method in config.methods:
                try:
                    found = [
                        _scores(game, masks, truth, calls, method, seed)
                        for seed in range(config.seeds)
                    ]
                except BudgetError:
                    continue
                yield (name, game.n, calls, method, *np.mean(found, axis=0).tolist())


def _scores(
    game: Game,
    masks: Bool[np.ndarray, "N n"],
    truth: Float[np.ndarray, "N"],
    calls: int,
    method: str,
    seed: int,
) -> tuple[float, float, bool]:
    """R² on the masks, how far that which the explanation gives is from it, and whether its
    interval holds it, to float32's rounding.
    """
    e = explain(game, game.n, budget=calls, method=METHODS[method].config, seed=seed)
    right = float(metrics.r2(truth, np.asarray(e.predict(masks), np.float32)))
    low, high = map(float, e.faithfulness_interval)
    return right, abs(float(e.faithfulness) - right), low - _ROUNDING <= right <= high + _ROUNDING


def _behind(rows: list[tuple]) -> Iterator[str]:
    """How far ``auto`` is from the best of the others, on the mean of the seeds."""
    for game, calls in dict.fromkeys((row[0], row[2]) for row in rows):
        scores = {row[3]: row[4] for row in rows if (row[0], row[2]) == (game, calls)}
        others = {method: r2 for method, r2 in scores.items() if method != "auto"}
        if "auto" in scores and others:
            best = max(others, key=lambda method: others[method])
            yield f"{game}, {calls} calls: auto − {best}: {scores['auto'] - others[best]:+.4f}"
