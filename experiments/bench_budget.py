"""R² against model calls: which method makes the most of a budget?

``python -m spexjax.experiments.bench_budget --data DIR`` explains synthetic functions, scikit-learn
forests and sentences of SST-2 and reviews of IMDB (under the sentiment model that ships with the
package) by every method at every budget, and scores all on the same fresh uniform masks. Figures
are means over seeds of the masks. ``--peers`` adds the published recipe of ProxySPEX on LightGBM
and shapiq's own approximators; ``--figure`` draws the means.

DIR (or $SPEXJAX_DATA) holds ``sst2/dev.tsv`` and ``imdb/dev.tsv``; without it there are no texts.
"""

import argparse
import csv
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from spexjax import ProxySpex, explain
from spexjax.baselines import Lasso
from spexjax.experiments import shapiq_peers, synthetic
from spexjax.methods import affords_all

TEST_MASKS = 1000
METHODS = {
    "linear": "linear",
    "pairs": Lasso(order=2),
    "spex": "spex",
    "proxyspex": "proxyspex",
    "auto": "auto",
}
PEERS = {"paper": ProxySpex(recipe="paper", proxy="lightgbm")}
WORDS = ((16, 24), (25, 34), (35, 48), (60, 80), (90, 128))
Function = Callable[[Bool[np.ndarray, "N n"]], Float[np.ndarray, "N"]]


class Case(NamedTuple):
    """A function, with values that tests use again and again."""

    name: str
    n: int
    f: Function
    test: Bool[np.ndarray, "N n"]
    truth: Float[np.ndarray, "N"]


class Row(NamedTuple):
    """One run."""

    case: str
    n: int
    budget: int
    seed: int
    method: str
    r2: float
    seconds: float
    done: str


def case(name: str, n: int, f: Function) -> Case:
    test = np.random.default_rng(12345).random((TEST_MASKS, n)) < 0.5
    return Case(name, n, f, test, np.asarray(f(test), float))


def synthetic_cases(sizes: tuple[int, ...]) -> Iterator[Case]:
    """Every family at every n."""
    options: dict[str, dict] = {"flat": {"n_terms": 30}, "linear": {"noise": 0.3}}
    for n in sizes:
        for name in synthetic.FAMILIES:
            yield case(f"{name}-{n}", n, synthetic.family(name, n, 0, **options.get(name, {})))


def forest_cases() -> Iterator[Case]:
    """Forests on tables: a masked column takes its value in another row."""
    from sklearn.datasets import load_breast_cancer, load_diabetes
    from sklearn.ensemble import RandomForestRegressor

    for name, table in (("cancer", load_breast_cancer()), ("diabetes", load_diabetes())):
        model = RandomForestRegressor(100, random_state=0, n_jobs=1).fit(table.data, table.target)
        row, other = table.data[0], np.median(table.data, axis=0)

        def f(bits, model=model, row=row, other=other):
            return model.predict(np.where(bits, row, other))

        yield case(f"forest-{name}", table.data.shape[1], f)


def text_cases(folder: Path, per_size: int) -> Iterator[Case]:
    """``per_size`` texts of every range of lengths, from the start of the files."""
    from spexjax.models.classifier import load_classifier
    from spexjax.models.parallel import value_function

    with (folder / "sst2" / "dev.tsv").open(encoding="utf-8") as file:
        short = [
            r["sentence"] for r in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]
    with (folder / "imdb" / "dev.tsv").open(encoding="utf-8", newline="") as file:
        long = [r["Text"].replace("<br />", " ") for r in csv.DictReader(file, dialect="excel-tab")]
    model = load_classifier()
    for low, high in WORDS:
        pool = [t for t in short + long if low <= len(t.split()) <= high]
        for text in pool[:per_size]:
            f = value_function(model, text)
            yield case(f"text-{f.n}", f.n, f)


def r2(truth: np.ndarray, guess: np.ndarray) -> float:
    """1 − Σ (f − f̂)² / Σ (f − mean f)²; 0 if f is constant."""
    spread = float(np.var(truth))
    return 1 - float(np.mean((truth - guess) ** 2)) / spread if spread else 0.0


def run(one: Case, budget: int, seed: int, methods: dict) -> Iterator[Row]:
    """Every method on one case; those that cannot do with the budget are left out."""
    for name, method in methods.items():
        spent = 0.0

        def f(bits):
            nonlocal spent
            start = time.perf_counter()
            values = one.f(bits)
            spent += time.perf_counter() - start
            return values

        start = time.perf_counter()
        try:
            e = explain(f, one.n, budget=budget, method=method, seed=seed)
        except ValueError as error:
            if "budget" not in str(error):
                raise
            continue
        seconds = time.perf_counter() - start - spent
        score = r2(one.truth, np.asarray(e.predict(one.test), float))
        yield Row(one.name, one.n, budget, seed, name, score, seconds, e.method)


def run_shapiq(one: Case, budget: int, seed: int) -> Iterator[Row]:
    """shapiq's SPEX and ProxySPEX on masks of their own."""
    for name in ("SPEX", "ProxySPEX"):
        found = shapiq_peers.surrogate(name, one.f, one.n, budget, seed)
        if found is not None:
            score = r2(one.truth, found.predict(one.test))
            yield Row(one.name, one.n, budget, seed, f"shapiq {name}", score, found.seconds, "")


def table(rows: list[Row]) -> str:
    """Means over seeds: cases and budgets down, methods across; then the means over cases."""
    names = list(dict.fromkeys(r.method for r in rows))
    lines = [f"{'case':20} {'n':>4} {'calls':>6}" + "".join(f"{m:>17}" for m in names)]

    def cells(chosen: list[Row]) -> str:
        found = [[r.r2 for r in chosen if r.method == m] for m in names]
        return "".join(f"{np.mean(v):>17.3f}" if v else f"{'':>17}" for v in found)

    for key in dict.fromkeys((r.case, r.n, r.budget) for r in rows):
        chosen = [r for r in rows if (r.case, r.n, r.budget) == key]
        lines.append(f"{key[0]:20} {key[1]:4d} {key[2]:6d}" + cells(chosen))
    for budget in sorted({r.budget for r in rows}):
        chosen = [r for r in rows if r.budget == budget]
        lines.append(f"{'mean':20} {'':4} {budget:6d}" + cells(chosen))
    return "\n".join(lines)


def verdict(rows: list[Row]) -> str:
    """How far ``auto`` stays behind the best of the others, case by case."""
    lines = []
    for budget in sorted({r.budget for r in rows}):
        gaps = {}
        for name in dict.fromkeys(r.case for r in rows if r.budget == budget):
            means: dict[str, list[float]] = {}
            for r in rows:
                if (r.case, r.budget) == (name, budget):
                    means.setdefault(r.method, []).append(r.r2)
            scores = {m: float(np.mean(v)) for m, v in means.items()}
            if "auto" in scores and len(scores) > 1:
                gaps[name] = scores.pop("auto") - max(scores.values())
        if gaps:
            worst = min(gaps, key=lambda name: gaps[name])
            mean = np.mean(list(gaps.values()))
            lines.append(
                f"{budget} calls: auto − best of the others: mean {mean:+.4f}, "
                f"worst {gaps[worst]:+.4f} ({worst})"
            )
    return "\n".join(lines)


def draw(rows: list[Row], path: Path) -> None:
    """R² against calls, the mean over the cases that all methods did."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for name in dict.fromkeys(r.method for r in rows):
        budgets = sorted({r.budget for r in rows if r.method == name})
        means = [
            np.mean([r.r2 for r in rows if (r.method, r.budget) == (name, b)]) for b in budgets
        ]
        axes.plot(budgets, means, marker="o", label=name)
    axes.set(xscale="log", xlabel="model calls", ylabel="R² on fresh masks")
    axes.legend()
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("SPEXJAX_DATA"), metavar="DIR")
    parser.add_argument("--kinds", nargs="+", default=["synthetic", "forest", "text"],
                        choices=["synthetic", "forest", "text"])  # fmt: skip
    parser.add_argument("--budgets", nargs="+", type=int, default=[250, 500, 1000, 2000, 4000])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64])
    parser.add_argument("--texts", type=int, default=2, help="texts per range of lengths")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args(argv)
    methods = {m: METHODS[m] for m in args.methods} | (PEERS if args.peers else {})
    cases: list[Case] = []
    if "synthetic" in args.kinds:
        cases += synthetic_cases(tuple(args.sizes))
    if "forest" in args.kinds:
        cases += forest_cases()
    if "text" in args.kinds and args.data:
        cases += text_cases(Path(args.data), args.texts)
    rows: list[Row] = []
    for one in cases:
        for budget in args.budgets:
            if affords_all(one.n, budget):
                continue
            for seed in range(args.seeds):
                new = list(run(one, budget, seed, methods))
                if args.peers:
                    new += run_shapiq(one, budget, seed)
                for r in new:
                    print(
                        f"{r.case:20} {r.budget:6d} seed {r.seed} {r.method:17} R² {r.r2:.4f} "
                        f"{r.seconds:6.1f} s {r.done}",
                        flush=True,
                    )
                rows += new
    print(table(rows))
    print(verdict(rows))
    if args.figure:
        draw(rows, args.figure)


if __name__ == "__main__":
    main()
