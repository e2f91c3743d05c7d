"""R² against model calls: which method makes the most of a budget?

``python -m spexjax.experiments budget --data DIR --out RESULTS`` explains synthetic
functions, scikit-learn forests and texts of SST-2 and IMDB (under the sentiment model that ships
with the package) by every method at every budget, and scores all on the same fresh uniform masks.
``--peers`` adds the published recipe of ProxySPEX on LightGBM and shapiq's own approximators
(extra ``peers``), at ``--peer-budgets`` and for ``--peer-seeds`` only, since they are slow.

RESULTS gets every run as a line of rows.jsonl, a table, a figure, a summary, and the model's
values. What is in rows.jsonl is not done again; ``--redo auto`` forgets the runs of a method.
Seeds come one after the other, each over all cases, so that a run may be stopped at any time.

DIR (or $SPEXJAX_DATA) is read by :mod:`spexjax.experiments.data.texts`; without it the texts are
the package's own.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np

from spexjax import ProxySpex, explain
from spexjax.experiments.bench import budget_report
from spexjax.experiments.bench.budget_cases import Case, forest_cases, synthetic_cases, text_cases
from spexjax.experiments.bench.budget_report import Row
from spexjax.experiments.peers import shapiq as shapiq_peers
from spexjax.masks.budget import affords_all
from spexjax.methods.baselines import Lasso
from spexjax.store.store import Store

METHODS = {
    "linear": "linear",
    "pairs": Lasso(order=2),
    "spex": "spex",
    "proxyspex": "proxyspex",
    "auto": "auto",
    "paper": ProxySpex(recipe="paper", proxy="lightgbm"),
}
OWN = ("linear", "pairs", "spex", "proxyspex", "auto")
SHAPIQ: dict[str, Literal["SPEX", "ProxySPEX"]] = {
    "shapiq SPEX": "SPEX",
    "shapiq ProxySPEX": "ProxySPEX",
}
PEERS = ("paper", *SHAPIQ)


class Cell(NamedTuple):
    """One run to do."""

    case: Case
    budget: int
    seed: int
    method: str

    @property
    def key(self) -> tuple:
        return self.case.name, self.budget, self.seed, self.method


def r2(truth: np.ndarray, guess: np.ndarray) -> float:
    """1 − Σ (f − f̂)² / Σ (f − mean f)²; 0 if f is constant."""
    spread = float(np.var(truth))
    return 1 - float(np.mean((truth - guess) ** 2)) / spread if spread else 0.0


def run(cell: Cell) -> Row:
    """One method on one case; R² is NaN where the method cannot do with the budget."""
    one, spent = cell.case, 0.0
    score, seconds, done = np.nan, 0.0, ""

    def f(bits):
        nonlocal spent
        start = time.perf_counter()
        values = one.f(bits)
        spent += time.perf_counter() - start
        return values

    if cell.method in SHAPIQ:
        name = SHAPIQ[cell.method]
        found = shapiq_peers.surrogate(name, one.f, one.n, cell.budget, cell.seed)
        if found is not None:
            score, seconds = r2(one.truth, found.predict(one.test)), found.seconds
    else:
        start = time.perf_counter()
        method = METHODS[cell.method]
        try:
            e = explain(f, one.n, budget=cell.budget, method=method, seed=cell.seed)
            seconds, done = time.perf_counter() - start - spent, e.method
            score = r2(one.truth, np.asarray(e.predict(one.test), float))
        except ValueError as error:
            if "budget" not in str(error):
                raise
    return Row(one.kind, one.name, one.n, cell.budget, cell.seed, cell.method, score, seconds, done)


def cells(cases: list[Case], args: argparse.Namespace) -> Iterator[Cell]:
    """All runs: seed by seed, the peers last."""
    for seed in range(args.seeds):
        for slow in (False, True):
            for one in cases:
                for budget in args.budgets:
                    for method in args.methods:
                        peer = method in PEERS
                        asked = not peer or (budget in args.peer_budgets and seed < args.peer_seeds)
                        if peer == slow and asked and not affords_all(one.n, budget):
                            yield Cell(one, budget, seed, method)


def read_rows(path: Path, forget: tuple[str, ...]) -> list[Row]:
    """The rows of an earlier run, rewritten without those of the methods to forget."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    # A run that was killed may have left half a line.
    rows = [Row(**json.loads(line)) for line in lines if line.endswith("}")]
    rows = [r for r in rows if r.method not in forget]
    text = "".join(json.dumps(r._asdict()) + "\n" for r in rows)
    path.with_suffix(".new").write_text(text, encoding="utf-8")
    path.with_suffix(".new").replace(path)
    return rows


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("SPEXJAX_DATA"), metavar="DIR")
    parser.add_argument("--out", type=Path, metavar="RESULTS", help="folder of the results")
    parser.add_argument("--kinds", nargs="+", default=["synthetic", "forest", "text"],
                        choices=["synthetic", "forest", "text"])  # fmt: skip
    parser.add_argument("--budgets", nargs="+", type=int, default=[250, 500, 1000, 2000, 4000])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64], help="n, synthetic")
    parser.add_argument("--texts", type=int, default=2, help="texts per range of lengths")
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, *SHAPIQ], default=list(OWN))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--peer-budgets", nargs="+", type=int, default=[1000, 4000])
    parser.add_argument("--peer-seeds", type=int, default=5)
    parser.add_argument("--redo", nargs="+", default=[], metavar="METHOD")
    args = parser.parse_args(argv)
    if args.peers:
        args.methods = list(dict.fromkeys([*args.methods, *PEERS]))
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    store, path, rows = None, None, []
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        store, path = Store(args.out / "calls.sqlite"), args.out / "rows.jsonl"
        rows = read_rows(path, tuple(args.redo))
    cases: list[Case] = []
    if "synthetic" in args.kinds:
        cases += synthetic_cases(tuple(args.sizes))
    if "forest" in args.kinds:
        cases += forest_cases()
    if "text" in args.kinds:
        cases += text_cases(Path(args.data) if args.data else None, args.texts, store)
    finished = {(r.case, r.budget, r.seed, r.method) for r in rows}
    todo = [c for c in cells(cases, args) if c.key not in finished]
    for place, cell in enumerate(todo):
        if place and cell.seed != todo[place - 1].seed:
            # Programs of all sizes stay mapped, and Linux grants a process 65 530 maps.
            jax.clear_caches()
        r = run(cell)
        rows.append(r)
        if path is not None:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(r._asdict()) + "\n")
        print(
            f"{place + 1}/{len(todo)} {r.case:24} {r.budget:6d} seed {r.seed} {r.method:16} "
            f"R² {r.r2:.4f} {r.seconds:6.1f} s {r.done}",
            flush=True,
        )
    print(budget_report.table(rows))
    print(budget_report.verdict(rows))
    if args.out:
        budget_report.write(rows, args.out)
    if store is not None:
        store.close()
