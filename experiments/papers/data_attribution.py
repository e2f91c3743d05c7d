"""Data attribution: which training points, and which sets of them, made a model answer so.

Every method foretells the margins of test points by models trained on other halves of the data. The
linear datamodelling score is Spearman's correlation over these halves between foretold and true
margins (Park et al. 2023); between two trainings it is a ceiling. ``lasso-1`` is a datamodel (Ilyas
et al. 2022); ``trak``, ``influence`` and ``knn`` hardly train anything, and have the best of a few
settings on the very halves that count, in their favour. Butler et al. (NeurIPS 2025, appendix C.1)
look at CIFAR-10 so.

    python -m spexjax.experiments data-attribution --task digits
"""

import dataclasses
import functools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from spexjax import evaluate, selection
from spexjax.experiments.harness import runner
from spexjax.experiments.harness.journal import plain
from spexjax.experiments.harness.methods import METHODS
from spexjax.experiments.harness.results import Cell, Result
from spexjax.experiments.harness.runner import Work
from spexjax.experiments.papers import data_attribution_tables as tables
from spexjax.experiments.reporting.tables import Section
from spexjax.experiments.tasks.training_sets import TrainingSet, training_set
from spexjax.explanation import Explanation
from spexjax.inference import discover
from spexjax.masks.design import Design
from spexjax.models.training import DataValue, check_budget, metrics
from spexjax.models.training.influence import by_feature, influence, leave_one_out
from spexjax.models.training.neighbours import knn_shapley
from spexjax.models.training.trak import trak
from spexjax.steps import design, fit

Bought = Literal["auto", "lasso-1", "linear", "proxyspex", "lasso-2"]
Scored = Literal["trak", "influence", "knn", "leave-one-out"]
SCORES: tuple[Scored, ...] = ("trak", "influence", "knn", "leave-one-out")
_MODELS = 10  # of TRAK
_FDR = 0.1


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    task: str = "digits"
    """One of digits, digits-groups, cifar, planted."""
    data: str | None = None
    """Folder of data sets, for cifar; $SPEXJAX_DATA if not given."""
    methods: tuple[Bought | Scored, ...] = ("auto", "lasso-1", *SCORES)
    """Those compared."""
    budgets: tuple[int, ...] = (2000,)
    """Retrainings, for each method that learns from them."""
    tests: int = 60
    """Test points; each is an output, and above 64 ``auto`` gives them all the same sets."""
    held_out: int = 200
    """Halves of the data that a score is measured on."""
    shares: tuple[float, ...] = (0.01, 0.02, 0.05)
    """Of the training points, which are removed to make a test point wrong."""
    seeds: int = 1
    """Trainings of each mask, which are averaged."""
    folder: str = "results"
    """Where results, and all retrainings, go."""


class Attribution(NamedTuple):
    """What a method says."""

    foretold: Float[np.ndarray, "halves K"]
    """Margins, or numbers in the same order."""
    calls: int
    """Models that it trained."""
    explanation: Explanation | None = None
    values: Float[np.ndarray, "n K"] | None = None
    """What each feature adds, of methods without an explanation."""


@dataclass(eq=False)
class Truth:
    """The task, and the margins that count.

    Attributes:
      task, f: the training points, and margins as a function of them.
      halves: masks that no method learns from.
      margins: of models trained on these; ``again`` of the same with other beginnings.
      full: margins with all data.
      store: file that has all retrainings.
    """

    task: TrainingSet
    f: DataValue
    halves: Bool[np.ndarray, "halves n"]
    margins: Float[np.ndarray, "halves K"]
    again: Float[np.ndarray, "halves K"]
    full: Float[np.ndarray, "K"]
    store: Path

    def bought(self, asked: Design) -> np.ndarray:
        """Margins at the masks of a design."""
        return np.asarray(evaluate(self.f, asked, store=self.store, progress=True))


def run(config: Config) -> Result:
    """Every method at every number of retrainings, a cell for each test point.

    Raises:
      ValueError: if a budget is too small for the number of features.
    """
    task = training_set(config.task, config.tests, config.data)
    f = task.value(seeds=config.seeds)
    for budget in config.budgets:
        check_budget(f.n, budget)
    raw = plain(dataclasses.asdict(config))
    raw["protocol"] = {"folder": config.folder, "task": {"name": config.task}}
    truth = _truth(config, task, f)
    return runner.finish("data-attribution", raw, _work(config, truth))


def _truth(config: Config, task: TrainingSet, f: DataValue) -> Truth:
    halves = metrics.half_subsets(f.n, config.held_out, seed=1)
    both = np.concatenate([np.ones((1, f.n), bool), halves])
    f(both[: f.chunk_size])  # compiles
    start = time.perf_counter()
    values = f(both)
    rate = len(both) / (time.perf_counter() - start)
    asked = sum(config.budgets) * sum(m not in SCORES for m in config.methods)
    print(
        f"{config.task}: {f.n} features, {rate:.0f} retrainings a second; up to {asked} take "
        f"{asked / rate:.0f} s, and the fits come on top",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    again = task.value(key=1, seeds=config.seeds)(halves)
    folder = Path(config.folder)
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / f"data-attribution-{config.task}.sqlite"
    return Truth(task, f, halves, values[1:], again, values[0], store)


def _work(config: Config, truth: Truth) -> Iterator[Work]:
    for method in ("ceiling", *config.methods):
        budgets = (0,) if method in (*SCORES, "ceiling") else config.budgets
        for budget in budgets:
            found = functools.cache(functools.partial(_attribution, truth, method, budget))
            lost = functools.cache(functools.partial(_lost, truth, found, config))

            def measure(cell: Cell, found=found, lost=lost) -> tuple[int, dict[str, Any]]:
                j = int(cell.item.split()[1])
                return found().calls, _measured(truth, found(), lost(), j)

            cells = (
                Cell(f"test {j}", config.task, truth.f.n, method, 0, 0, budget)
                for j in range(truth.f.outputs)
            )
            yield Work(
                f"{method}, {budget} retrainings" if budget else method, tuple(cells), measure
            )


def _measured(
    truth: Truth, found: Attribution, lost: dict[str, np.ndarray], j: int
) -> dict[str, Any]:
    """What is said of one test point."""

    def score(true: np.ndarray) -> float:
        one = np.s_[:, j : j + 1]
        return float(metrics.linear_datamodelling_score(found.foretold[one], true[one])[0])

    values: dict[str, Any] = {"lds": score(truth.margins)}
    if found.foretold is not truth.again:
        values["other seed"] = score(truth.again)
    values |= {share: float(flipped[j]) for share, flipped in lost.items()}
    if found.explanation is not None:
        e = found.explanation[j]
        error = np.sum((found.foretold[:, j] - truth.margins[:, j]) ** 2)
        spread = np.sum((truth.margins[:, j] - truth.margins[:, j].mean()) ** 2)
        values |= {"r2": float(1 - error / spread), "reported": float(e.faithfulness)}
        target, pairs = int(truth.task.test[1][j]), e.interactions("Moebius")
        values |= metrics.pairs_by_class(pairs, truth.task.labels, target)._asdict()
        if truth.task.planted:
            values |= _recovered(truth, e, j)
    return values


def _recovered(truth: Truth, e: Explanation, j: int) -> dict[str, Any]:
    """Whether the pair planted for a test point stands, and how many others do."""
    pair, sign = truth.task.planted[j]
    found = discover(e, "pairs", fdr=_FDR).sets()
    value = e.interactions("FBII", max_order=2)[pair]
    return {
        "planted": "XOR" if sign > 0 else "duplicates",
        "found": pair in found,
        "right sign": bool(np.sign(value) == sign),
        "others": len(set(found) - {pair}),
    }


def _attribution(truth: Truth, method: str, budget: int) -> Attribution:
    f, halves = truth.f, truth.halves
    if method == "ceiling":
        return Attribution(truth.again, 0)
    if budget:
        asked = design(f.n, budget=budget, method=METHODS[method].config)
        e = fit(asked, truth.bought(asked))
        return Attribution(_columns(e.predict(halves), len(halves)), e.calls, e)
    tried, calls = _scores(truth, method)
    scores = [
        metrics.linear_datamodelling_score(halves @ v, truth.margins).mean() for v in tried
    ]  # fmt: skip
    best = tried[int(np.argmax(scores))]
    return Attribution(halves @ best, calls, values=best)


def _columns(predicted: Any, rows: int) -> np.ndarray:
    """Predictions with the outputs last."""
    predicted = np.asarray(predicted)
    return predicted if len(predicted) == rows else predicted.T


def _scores(truth: Truth, method: str) -> tuple[list[np.ndarray], int]:
    """Values (n, K) of a method at some settings, and the models that it trained."""
    f = truth.f
    points = len(truth.task.train[1])
    if method == "trak":
        sizes = sorted({max(points // 4, 1), max(points // 2, 1)})
        return [
            trak(f, min(size, 512), _MODELS, ridge=ridge) for size in sizes for ridge in (0.1, 1.0)
        ], _MODELS  # fmt: skip
    if method == "influence":
        return [influence(f, damping=d) for d in (1e-3, 1e-2, 1e-1)], 1
    if method == "knn":
        train, test = truth.task.train, truth.task.test
        return [by_feature(f, knn_shapley(*train, *test, k)) for k in (1, 5, 10)], 0
    return [leave_one_out(f)], f.n + 1


def _lost(truth: Truth, found: Any, config: Config) -> dict[str, np.ndarray]:
    """Which test points are wrong without the points that a method names, by share."""
    attribution: Attribution = found()
    if attribution.explanation is None and attribution.values is None:
        return {}
    n, lost = truth.f.n, {}
    for share in config.shares:
        r = max(round(share * n), 1)
        removed = np.zeros((truth.f.outputs, n), bool)
        for j in range(len(removed)):
            removed[j, _helpful(attribution, j, r)] = True
        lost[f"flips {share:g}"] = metrics.flips(truth.f, removed, truth.full)
    return lost


def _helpful(found: Attribution, j: int, r: int) -> list[int]:
    """The r features without which a test point's margin is lowest, as a method sees it."""
    if found.explanation is not None:
        chosen = selection.greedy(found.explanation[j].spectrum, r, "remove", "lower")
        return list(chosen.members)
    assert found.values is not None
    return np.argsort(-found.values[:, j], kind="stable")[:r].tolist()


def section(result: Result) -> Section:
    """Scores, paired differences, flips, pairs by class, and planted pairs if there are."""
    return tables.section(result)


def draw(result: Result) -> Figure:
    """The score against the retrainings."""
    return tables.draw(result)
