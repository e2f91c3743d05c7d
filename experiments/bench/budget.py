"""R² against model calls: which method makes the most of a budget?

``python -m spexjax.experiments budget --data DIR --out RESULTS`` explains synthetic
functions, scikit-learn forests and texts of SST-2 and IMDB (under the sentiment model that ships
with the package) by every method at every budget, and scores all on the same uniform masks, those
left out that a method bought.
``--peers`` adds the published recipe of ProxySPEX on LightGBM and shapiq's own approximators
(extra ``peers``), at ``--peer-budgets`` and for ``--peer-seeds`` only, since they are slow.

RESULTS gets every run as a line of rows.jsonl, a table, a figure, a summary, and the model's
values. What is in rows.jsonl is not done again; ``--redo auto`` forgets the runs of a method.
Seeds come one after the other, each over all cases, so that a run may be stopped at any time.

DIR (or $SPEXJAX_DATA) is read by :mod:`spexjax.experiments.data.texts`; without it the texts are
the package's own.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax

from spexjax import metrics
from spexjax.experiments.bench import budget_report
from spexjax.experiments.bench.budget_cases import forest_cases, synthetic_cases, text_cases
from spexjax.experiments.bench.budget_report import Row
from spexjax.experiments.harness.case import Case, Subject
from spexjax.experiments.harness.journal import Journal
from spexjax.experiments.harness.methods import EXPLAINERS, METHODS
from spexjax.experiments.harness.timing import timed
from spexjax.experiments.peers import shapiq as shapiq_peers
from spexjax.experiments.reporting.rows import Rows
from spexjax.experiments.tasks.item import Item, known
from spexjax.masks.budget import BudgetError, affords_all
from spexjax.store.store import Store

OWN = ("linear", "lasso-2", "spex", "proxyspex", "auto")
SHAPIQ: dict[str, Literal["SPEX", "ProxySPEX"]] = {
    "shapiq SPEX": "SPEX",
    "shapiq ProxySPEX": "ProxySPEX",
}
PEERS = ("proxyspex-paper", *SHAPIQ)
TEST_MASKS = 1000


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    data: str | None = None
    """Folder of texts; $SPEXJAX_DATA if not given."""
    out: Path | None = None
    """Folder of the results; without one nothing is kept."""
    kinds: tuple[Literal["synthetic", "forest", "text"], ...] = ("synthetic", "forest", "text")
    """Of functions."""
    cases: tuple[str, ...] = ()
    """Beginnings of names of functions; all if none is given."""
    budgets: tuple[int, ...] = (250, 500, 1000, 2000, 4000)
    """Model calls."""
    sizes: tuple[int, ...] = (64,)
    """Inputs of the synthetic functions."""
    texts: int = 2
    """Texts per range of lengths."""
    methods: tuple[str, ...] = OWN
    """Those compared."""
    seeds: int = 5
    """Of the masks."""
    peers: bool = False
    """The peers too."""
    peer_budgets: tuple[int, ...] = (1000, 4000)
    """Their model calls."""
    peer_seeds: int = 5
    """Of their masks."""
    redo: tuple[str, ...] = ()
    """Methods whose earlier runs are forgotten."""

    @property
    def compared(self) -> tuple[str, ...]:
        """Methods, the peers among them."""
        return tuple(dict.fromkeys([*self.methods, *(PEERS if self.peers else ())]))


def run(config: Config) -> Rows:
    """A row for every function, budget, seed and method; earlier ones are read.

    Raises:
      ValueError: if a method is unknown.
      ImportError: if one needs what is not installed.
    """
    for name in config.compared:
        if not METHODS[known("method", name, (*EXPLAINERS, *SHAPIQ))].installed():
            needed = ", ".join(METHODS[name].needs)
            raise ImportError(f"{name} needs {needed}: pip install {needed.replace(',', '')}.")
    rows: list[Row] = []
    return Rows(
        f"{len(config.compared)} methods, {TEST_MASKS} test masks",
        {"function": "<24", "calls": ">6d", "seed": ">4d", "method": "<16", "R²": ">8.4f",
         "s": ">7.1f", "done": "<16"},
        _measured(config, rows),
        lambda _: [budget_report.table(rows), budget_report.verdict(rows)],
    )  # fmt: skip


def _measured(config: Config, rows: list[Row]) -> Iterator[tuple]:
    """Appends all rows, and yields those done now."""
    store, path = None, None
    if config.out:
        config.out.mkdir(parents=True, exist_ok=True)
        store, path = Store(config.out / "calls.sqlite"), config.out / "rows.jsonl"
    journal = Journal(path, Row, lambda row: row.key)
    journal.forget(lambda row: row.method in config.redo)
    rows += journal.done.values()
    last = None
    for case in cases(config, functions(config, store)):
        if key_of(case) in journal.done:
            continue
        if last not in (None, case.seed):
            # Programs of all sizes stay mapped, and Linux grants a process 65 530 maps.
            jax.clear_caches()
        last = case.seed
        r = journal.add(measure(case))
        rows.append(r)
        yield r.case, r.budget, r.seed, r.method, r.r2, r.seconds, r.done
    if config.out:
        budget_report.write(rows, config.out)
    if store is not None:
        store.close()


def functions(config: Config, store: Store | None) -> list[Item]:
    """The functions that are wanted."""
    found: list[Item] = []
    if "synthetic" in config.kinds:
        found += synthetic_cases(config.sizes)
    if "forest" in config.kinds:
        found += forest_cases()
    if "text" in config.kinds:
        found += text_cases(Path(config.data) if config.data else None, config.texts, store)
    return [item for item in found if not config.cases or item.name.startswith(config.cases)]


def cases(config: Config, items: list[Item]) -> Iterator[Case]:
    """All runs: seed by seed, the peers last."""
    subjects = [Subject(item, TEST_MASKS) for item in items]
    for seed in range(config.seeds):
        for slow in (False, True):
            for subject in subjects:
                for budget in config.budgets:
                    for method in config.compared:
                        peer = method in PEERS
                        asked = not peer or (
                            budget in config.peer_budgets and seed < config.peer_seeds
                        )
                        if peer == slow and asked and not affords_all(subject.item.n, budget):
                            yield Case(subject, method, budget, seed)


def key_of(case: Case) -> tuple[str, int, int, str]:
    """What tells the runs apart."""
    return case.subject.item.name, case.budget, case.seed, case.method


def measure(case: Case) -> Row:
    """One run; R² is None where the method cannot do with the budget."""
    item, score, seconds, done = case.subject.item, None, 0.0, ""
    if case.method in SHAPIQ:
        name = SHAPIQ[case.method]
        found = shapiq_peers.surrogate(name, case.f, item.n, case.budget, case.seed)
        if found is not None:
            rows, seconds = case.scored(), found.seconds
            guess = found.predict(case.subject.test[rows])
            score = float(metrics.r2(case.subject.truth[rows], guess.astype("float32")))
    else:
        with contextlib.suppress(BudgetError):
            whole, e = timed(case.explain)
            score, seconds, done = case.r2(e), whole - case.f.seconds, e.method
    return Row(
        item.group, item.name, item.n, case.budget, case.seed, case.method, score, seconds, done
    )
