"""Boosted trees beside LightGBM: held-out R² and seconds, at equal settings.

``python -m spexjax.experiments boosting`` grows the same number of trees of the same depth,
learning rate and minimum child size on the same masks of the synthetic families and of forests on
scikit-learn's breast-cancer and diabetes tables. Ours are grown for five folds and all rows at
once, so the peer's time is that of its six fits, on one thread as in shapiq.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from spexjax.experiments.bench.budget_cases import forest_cases
from spexjax.experiments.functions import synthetic
from spexjax.experiments.harness.timing import timed
from spexjax.experiments.reporting.rows import Rows
from spexjax.experiments.tasks.item import known
from spexjax.trees import boosting
from spexjax.trees.boosting import BoostConfig, Trees
from spexjax.typing import ValueFunction

FOLDS = 5
TEST_MASKS = 4000
NAMES = (*synthetic.FAMILIES, "forest-cancer", "forest-diabetes")


class Comparison(NamedTuple):
    """One comparison; seconds of ours warm, compiled before."""

    ours: float
    theirs: float
    seconds: float
    their_seconds: float


def functions(families: Sequence[str], n: int, seed: int) -> dict[str, tuple[int, ValueFunction]]:
    """The functions by name, each with its number of inputs, which a table fixes itself."""
    found: dict[str, tuple[int, ValueFunction]] = {
        name: (n, synthetic.family(name, n, seed))
        for name in families
        if name in synthetic.FAMILIES
    }
    if len(found) < len(families):
        forests = {case.name: (case.n, case.f) for case in forest_cases()}
        found |= {name: forests[name] for name in families if name in forests}
    return found


def compare(f: ValueFunction, n: int, rows: int, depth: int, trees: int, seed: int) -> Comparison:
    """R² and seconds of both.

    Raises:
      ImportError: if LightGBM is not installed.
    """
    import lightgbm

    rng = np.random.default_rng(seed)
    masks, test = rng.random((rows, n)) < 0.5, rng.random((TEST_MASKS, n)) < 0.5
    values, truth = np.asarray(f(masks), np.float32), np.asarray(f(test), float)
    fold = (np.arange(rows) % FOLDS).astype(np.int32)
    config = BoostConfig(depth=depth, trees=trees, patience=trees)
    for _ in range(2):
        seconds, found = timed(
            lambda: boosting.fit(masks, values, fold, jax.random.key(seed), config, FOLDS)
        )
    full = Trees(*(x[0, FOLDS] for x in found.trees))._replace(size=jax.numpy.int32(trees))
    settings = {
        "max_depth": depth, "num_leaves": 2**depth, "learning_rate": 0.1, "verbosity": -1,
        "min_data_in_leaf": 20, "min_sum_hessian_in_leaf": 0.0, "num_threads": 1,
    }  # fmt: skip

    def theirs(inside: np.ndarray) -> Any:
        data = lightgbm.Dataset(masks[inside].astype(np.float32), values[inside])
        return lightgbm.train(settings, data, trees)

    their_seconds, peers = timed(lambda: [theirs(fold != c) for c in range(FOLDS + 1)])
    spread = np.mean((truth - truth.mean()) ** 2) or 1.0

    def r2(guess: np.ndarray) -> float:
        return 1 - float(np.mean((truth - guess) ** 2) / spread)

    ours = r2(np.asarray(boosting.predict(full, test)))
    return Comparison(
        ours, r2(np.asarray(peers[-1].predict(test.astype(np.float32)))), seconds, their_seconds
    )


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    families: tuple[str, ...] = NAMES
    """Functions."""
    n: tuple[int, ...] = (64,)
    """Inputs of the synthetic ones."""
    rows: int = 2000
    """Masks to learn from."""
    depths: tuple[int, ...] = (3, 5)
    """Of the trees."""
    trees: int = 200
    """How many."""
    seeds: int = 5
    """Of functions and masks."""


def run(config: Config) -> Rows:
    """A row for every function, n and depth.

    Raises:
      ImportError: if LightGBM is not installed.
    """
    for name in config.families:
        known("family", name, NAMES)
    return Rows(
        f"{config.rows} masks, {config.trees} trees, means of {config.seeds} seeds; s for six fits",
        {"function": "<15", "n": ">5d", "depth": ">5d", "R²": ">8.4f", "LightGBM": ">8.4f",
         "s": ">7.2f", "its s": ">7.2f"},
        measured(config),
        _gaps,
    )  # fmt: skip


def measured(config: Config) -> Iterator[tuple]:
    """Function, n, depth, and the means of :class:`Comparison` over seeds."""
    for n in config.n:
        drawn = [functions(config.families, n, seed) for seed in range(config.seeds)]
        for depth in config.depths:
            for name, (size, _) in drawn[0].items():
                runs = [
                    compare(fs[name][1], size, config.rows, depth, config.trees, seed)
                    for seed, fs in enumerate(drawn)
                ]
                yield (name, size, depth, *np.mean(runs, axis=0).tolist())


def _gaps(rows: list[tuple]) -> list[str]:
    gaps = [row[3] - row[4] for row in rows]
    return [f"ours − LightGBM: mean {np.mean(gaps):+.4f}, worst {min(gaps):+.4f}"]
