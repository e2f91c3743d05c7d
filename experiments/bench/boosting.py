"""Boosted trees beside LightGBM: held-out R² and seconds, at equal settings.

``python -m spexjax.experiments boosting`` grows the same number of trees of the same depth,
learning rate and minimum child size on the same masks of the synthetic families and of forests on
scikit-learn's breast-cancer and diabetes tables. Ours are grown for five folds and all rows at
once, so the peer's time is that of its six fits, on one thread as in shapiq.
"""

import argparse
import time
from typing import NamedTuple

import jax
import numpy as np

from spexjax.experiments.bench.budget_cases import Function, forest_cases
from spexjax.experiments.functions import synthetic
from spexjax.trees import boosting
from spexjax.trees.boosting import BoostConfig, Trees

FOLDS = 5
TEST_MASKS = 4000
NAMES = [*synthetic.FAMILIES, "forest-cancer", "forest-diabetes"]


class Result(NamedTuple):
    """One comparison; seconds of ours warm, compiled before."""

    ours: float
    theirs: float
    seconds: float
    their_seconds: float


def functions(families: list[str], n: int, seed: int) -> dict[str, tuple[int, Function]]:
    """The functions by name, each with its number of inputs, which a table fixes itself."""
    found: dict[str, tuple[int, Function]] = {
        name: (n, synthetic.family(name, n, seed))
        for name in families
        if name in synthetic.FAMILIES
    }
    if len(found) < len(families):
        forests = {case.name: (case.n, case.f) for case in forest_cases()}
        found |= {name: forests[name] for name in families if name in forests}
    return found


def compare(f: Function, n: int, rows: int, depth: int, trees: int, seed: int) -> Result:
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
        start = time.perf_counter()
        found = boosting.fit(masks, values, fold, jax.random.key(seed), config, FOLDS)
        jax.block_until_ready(found)
        seconds = time.perf_counter() - start
    full = Trees(*(x[0, FOLDS] for x in found.trees))._replace(size=jax.numpy.int32(trees))
    settings = {
        "max_depth": depth, "num_leaves": 2**depth, "learning_rate": 0.1, "verbosity": -1,
        "min_data_in_leaf": 20, "min_sum_hessian_in_leaf": 0.0, "num_threads": 1,
    }  # fmt: skip
    start = time.perf_counter()
    for c in range(FOLDS + 1):
        inside = fold != c
        data = lightgbm.Dataset(masks[inside].astype(np.float32), values[inside])
        peer = lightgbm.train(settings, data, trees)
    their_seconds = time.perf_counter() - start
    spread = np.mean((truth - truth.mean()) ** 2) or 1.0

    def r2(guess: np.ndarray) -> float:
        return 1 - float(np.mean((truth - guess) ** 2) / spread)

    ours = r2(np.asarray(boosting.predict(full, test)))
    return Result(
        ours, r2(np.asarray(peer.predict(test.astype(np.float32)))), seconds, their_seconds
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--n", nargs="+", type=int, default=[64])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--depths", nargs="+", type=int, default=[3, 5])
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args(argv)
    print(f"{args.rows} masks, {args.trees} trees, means of {args.seeds} seeds; s for six fits")
    print(f"{'function':15} {'n':>5} {'depth':>5} {'R²':>8} {'LightGBM':>9} {'s':>7} {'its s':>7}")
    gaps = []
    for n in args.n:
        drawn = [functions(args.families, n, seed) for seed in range(args.seeds)]
        for depth in args.depths:
            for name, (size, _) in drawn[0].items():
                runs = [
                    compare(fs[name][1], size, args.rows, depth, args.trees, seed)
                    for seed, fs in enumerate(drawn)
                ]
                r = Result(*np.mean(runs, axis=0))
                gaps.append(r.ours - r.theirs)
                print(
                    f"{name:15} {size:5d} {depth:5d} {r.ours:8.4f} {r.theirs:9.4f} "
                    f"{r.seconds:7.2f} {r.their_seconds:7.2f}",
                    flush=True,
                )
    print(f"ours − LightGBM: mean {np.mean(gaps):+.4f}, worst {min(gaps):+.4f}")
