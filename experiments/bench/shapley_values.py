"""How near are ``target=…`` and every estimator of shapiq to an interaction index, at equal calls?

``python -m spexjax.experiments shapley-values`` prints the relative squared error
Σ (found − true)² / Σ true² over all sets of the index's orders, the mean of a few seeds, on 33
games with known values, and how many of our 95 % intervals hold the truth; below the table
geometric means over the games. ``--peers`` adds
shapiq's estimators, and what ours has of the best of them, game by game, and of the one that is
best over all games (needs the extra ``peers``). Errors below 1e-10 count as 1e-10: float32 has no
better values.
"""

import itertools
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
from matplotlib.figure import Figure

from spexjax.experiments.bench.index_games import GAMES, Game
from spexjax.experiments.harness.methods import EXPLAINERS, METHODS
from spexjax.experiments.harness.timing import timed
from spexjax.experiments.peers import shapiq_estimators as shapiq
from spexjax.experiments.peers.shapiq_estimators import Estimator
from spexjax.experiments.reporting.rows import Rows
from spexjax.experiments.tasks.item import known
from spexjax.explain import explain
from spexjax.indices.interaction_values import Interactions
from spexjax.masks.budget import BudgetError
from spexjax.spectra import subsets

_ADJUSTED = (("adjustment", True),)
_FOLDED = (("adjustment", True), ("k_folds", 5))
_PROXIES = (
    Estimator("ProxySHAP", ("xgboost",)),
    Estimator("ProxySHAP", ("xgboost",), _ADJUSTED),
    Estimator("ProxySHAP", ("xgboost",), _FOLDED),
)
_PAIRS = (
    Estimator("KernelSHAPIQ"), Estimator("InconsistentKernelSHAPIQ"), Estimator("SVARMIQ"),
    Estimator("SHAPIQ"), Estimator("PermutationSamplingSII"), *_PROXIES,
)  # fmt: skip
PEERS: dict[str, tuple[Estimator, ...]] = {
    "SV": (
        Estimator("KernelSHAP"), Estimator("LeverageSHAP"), Estimator("PolySHAP"),
        Estimator("OddSHAP", ("lightgbm",)), Estimator("RegressionMSR", ("xgboost",)),
        Estimator("kADDSHAP"), Estimator("PermutationSamplingSV"), Estimator("SVARM"),
        Estimator("UnbiasedKernelSHAP"), Estimator("StratifiedSamplingSV"),
        Estimator("OwenSamplingSV"), *_PROXIES,
    ),
    "k-SII": _PAIRS,
    "SII": _PAIRS,
    "STII": (Estimator("SVARMIQ"), Estimator("SHAPIQ"), Estimator("PermutationSamplingSTII"),
             *_PROXIES),
    "FSII": (Estimator("RegressionFSII"), Estimator("SHAPIQ"), Estimator("SVARMIQ"), *_PROXIES),
    "BV": (Estimator("RegressionFBII"), Estimator("RegressionMSR", ("xgboost",)), *_PROXIES),
    "FBII": (Estimator("RegressionFBII"), *_PROXIES),
}  # fmt: skip
"""What shapiq 1.8 has for an index."""
EXACT = 1e-10
_SLOW, _LARGE = {"kADDSHAP": 30, "PolySHAP": 60}, 100  # players from which they take minutes


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    index: str = "SV"
    """One of SV, SII, k-SII, STII, FSII, BV, FBII."""
    games: tuple[str, ...] = tuple(GAMES)
    """By name."""
    calls: tuple[str, ...] = ("5n", "20n", "100n", "1000", "4000")
    """Calls, calls per player (5n), or per set of the index, besides the ends (2s); what buys nine
    tenths of all masks is left out."""
    seeds: int = 2
    """How many."""
    methods: tuple[str, ...] = ("target", "kernelshap")
    """Of ours: target, or methods that ``explain`` does."""
    peers: bool = False
    """Whether shapiq's estimators are measured, too."""
    figure: str | None = None
    """A file to draw the geometric means into."""


def run(config: Config) -> Rows:
    """A row for every game, number of calls and estimator.

    Raises:
      ValueError: if a game, the index or a method is unknown.
      ImportError: if shapiq is wanted and not installed.
    """
    for name in config.games:
        known("game", name, GAMES)
    known("index", config.index, PEERS)
    for method in config.methods:
        known("method", method, ("target", *EXPLAINERS))
    versus = f", shapiq {shapiq.version()}" if config.peers else ""
    return Rows(
        f"{config.index} of {len(config.games)} games, {config.seeds} seeds{versus}: relative "
        "squared error",
        {"game": "<22", "n": ">3d", "calls": ">6d", "of": ">5", "estimator": "<34",
         "error": ">9.2g", "Spearman": ">8.3f", "top 5": ">5.2f", "covered": ">7.3f",
         "seconds": ">7.2f"},
        _measured(config),
        partial(_noted, config),
    )  # fmt: skip


def _measured(config: Config) -> Iterator[tuple]:
    order = 1 if config.index in ("SV", "BV") else 2
    for name in config.games:
        game = GAMES[name]()
        right = game.interactions(config.index, order)
        sets = [s for k in range(1, order + 1) for s in itertools.combinations(range(game.n), k)]
        truth = np.array([right[s] for s in sets])
        for asked in config.calls:
            calls = _number(asked, game.n, order)
            if game.n < 60 and calls >= 0.9 * 2**game.n:
                continue
            estimators: list[str | Estimator] = [*config.methods, *_peers(config, game.n)]
            for estimator in estimators:
                found = _runs(config, estimator, game, order, calls, right)
                if found is None:
                    continue
                values, covered, seconds = found
                guesses = [np.array([guess.get(s, 0.0) for s in sets]) for guess in values]
                scores = np.mean([_scores(guess, truth) for guess in guesses], axis=0)
                yield (name, game.n, calls, asked, str(estimator), *scores, covered, seconds)


def _number(asked: str, n: int, order: int) -> int:
    """How many calls are asked for."""
    if asked.endswith("s"):
        return 2 + int(asked[:-1]) * subsets.count(n, order)
    return int(asked[:-1]) * n if asked.endswith("n") else int(asked)


def _peers(config: Config, n: int) -> Iterator[Estimator]:
    for one in PEERS[config.index] if config.peers else ():
        there = shapiq.offered(one.name) and all(map(find_spec, one.needs))
        if there and n <= _SLOW.get(one.name, 10 * _LARGE):
            yield one


def _runs(
    config: Config,
    estimator: str | Estimator,
    game: Game,
    order: int,
    calls: int,
    truth: Interactions,
) -> tuple[list[dict], float, float] | None:
    """The values of every seed, the share of intervals that hold the truth, and the seconds of the
    last seed; None if it cannot be.
    """
    values, covered, seconds = [], [], 0.0
    for seed in range(config.seeds):

        def found(seed: int = seed) -> dict | Interactions:
            if isinstance(estimator, Estimator):
                return shapiq.estimate(
                    estimator.name, game, game.n, config.index, order, calls, seed,
                    dict(estimator.options),
                )  # fmt: skip
            return _ours(estimator, game, config.index, order, calls, seed)

        try:
            seconds, one = timed(found)
        except BudgetError:
            return None
        except Exception as error:
            if not isinstance(estimator, Estimator):
                raise
            warnings.warn(f"{estimator}: {error!r}", stacklevel=2)  # shapiq's own, at few calls
            return None
        if isinstance(one, Interactions):
            covered.append(_covered(one, truth))
            one = one.to_dict()
        values.append(one)
    return values, float(np.mean(covered or [np.nan])), seconds


def _ours(method: str, game: Game, index: str, order: int, calls: int, seed: int) -> Interactions:
    if method == "target":
        e = explain(game, game.n, budget=calls, target=(index, order), seed=seed)
    else:
        e = explain(game, game.n, budget=calls, method=METHODS[method].config, seed=seed)
    return e.interactions(index, order)


def _covered(found: Interactions, truth: Interactions) -> float:
    """The share of 95 % intervals that hold the truth, to float32's rounding; NaN without them."""
    right = np.array([truth[members] for members, _ in found])
    low, high = found.interval()
    slack = 1e-6 * np.abs(right).max()
    held = (low - slack <= right) & (right <= high + slack)
    return float(np.mean(held)) if np.isfinite(low).all() else np.nan


def _scores(guess: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Relative squared error, Spearman's correlation, and the share of the five largest found."""
    from scipy.stats import rankdata

    error = float(((guess - truth) ** 2).sum() / (truth**2).sum())
    ranks = np.corrcoef(rankdata(guess), rankdata(truth))[0, 1] if np.ptp(guess) else 0.0
    largest = [set(np.argsort(-np.abs(x), kind="stable")[:5]) for x in (guess, truth)]
    return error, float(ranks), len(largest[0] & largest[1]) / len(largest[1])


def _noted(config: Config, rows: list[tuple]) -> Iterator[str]:
    found = by_calls(rows)
    if config.figure:
        draw(found, config.index).savefig(config.figure)
    yield from _summary(found)


Errors = dict[str, dict[tuple[str, int], dict[str, float]]]
"""The errors of every estimator, by calls asked for, and by game and calls."""


def by_calls(rows: list[tuple]) -> Errors:
    """The errors in the rows, those below 1e-10 as 1e-10."""
    table: Errors = defaultdict(lambda: defaultdict(dict))
    for game, _, calls, asked, estimator, error, *_ in rows:
        table[asked][game, calls][estimator] = max(error, EXACT)
    return table


def _means(games: dict[tuple[str, int], dict[str, float]]) -> dict[str, float]:
    """Each estimator's geometric mean over the games, of those that did all of them."""
    names = set.intersection(*(set(found) for found in games.values()))
    means = {name: _geometric([found[name] for found in games.values()]) for name in names}
    return dict(sorted(means.items(), key=lambda item: item[1]))


def draw(table: Errors, index: str) -> Figure:
    """Error against calls, a line for every estimator."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    means = {asked: _means(games) for asked, games in table.items()}
    last = list(means.values())[-1]
    names = sorted({n for m in means.values() for n in m}, key=lambda n: last.get(n, 1e9))
    for place, name in enumerate(names):
        y = [m.get(name, np.nan) for m in means.values()]
        width = 2.5 if name == "target" else 1.0
        axes.plot(
            list(means), y, "o-" if place < 10 else "o--", markersize=3, linewidth=width, label=name
        )
    axes.set_yscale("log")
    axes.set_xlabel("calls (n inputs)")
    axes.set_ylabel(f"relative squared error of {index}, geometric mean")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _summary(table: Errors) -> Iterator[str]:
    """For every number of calls geometric means over the games, and ours against the best."""
    for asked, games in table.items():
        means = _means(games)
        names = {name for found in games.values() for name in found}
        yield f"{asked}: geometric mean of the error over {len(games)} games"
        yield "  " + ", ".join(f"{k} {v:.2g}" for k, v in means.items())
        theirs = [k for k in names if k != "target" and k not in METHODS]
        if "target" not in means or not set(theirs) & set(means):
            continue
        ratios = {
            game: found["target"] / min(found[k] for k in theirs if k in found)
            for (game, _), found in games.items()
        }
        worst = max(ratios, key=lambda game: ratios[game])
        single = next(name for name in means if name in theirs)
        yield (
            f"  target / best of shapiq on each game {_geometric(list(ratios.values())):.3f}, "
            f"worst {ratios[worst]:.2f} on {worst}; / {single}, the best over all games, "
            f"{means['target'] / means[single]:.3f}"
        )


def _geometric(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
