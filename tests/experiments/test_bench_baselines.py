"""The benchmark compares what it says, and says where a budget is too small."""

import itertools

import numpy as np
import pytest

from spexjax import explain
from spexjax.experiments.bench import baselines
from spexjax.experiments.bench.baselines import RIVALS, Config
from spexjax.experiments.harness.methods import METHODS
from spexjax.experiments.peers import shapiq_estimators

pytestmark = pytest.mark.loose_promotion


def test_games_are_sums_of_conjunctions():
    f = baselines.game(5, 0, terms=3)
    rng = np.random.default_rng(0)
    sets = rng.random((3, 5)) < rng.uniform(0.1, 0.6, (3, 1))
    weights = rng.standard_normal(3)
    masks = np.random.default_rng(1).random((20, 5)) < 0.5
    right = [sum(w for w, s in zip(weights, sets, strict=True) if m[s].all()) for m in masks]
    np.testing.assert_allclose(f(masks), right)


def test_the_error_is_over_all_sets_and_games():
    exact = [explain(baselines.game(4, i), 4, budget=16, method="exact") for i in range(2)]
    truth = [e.interactions("FBII", 2) for e in exact]
    sets = [s for s in itertools.chain(*(itertools.combinations(range(4), k) for k in (1, 2)))]
    size = np.sqrt(np.mean([[t[s] ** 2 for s in sets] for t in truth]))
    assert baselines.root_mean_square([{}, {}], truth) == pytest.approx(size)
    shifted = [{s: t[s] + 0.5 for s in sets} for t in truth]
    assert baselines.root_mean_square(shifted, truth) == pytest.approx(0.5)


def test_rivals_have_methods_and_budgets_are_checked(monkeypatch):
    assert {rival.method for rival in RIVALS} <= set(METHODS)
    with pytest.raises(ValueError, match="budgets must be below 2\\^players = 64, got 64"):
        baselines.run(Config(players=6, budgets=(40, 64)))
    with pytest.raises(ValueError, match="method must be one of"):
        baselines.run(Config(methods=("guess",)))
    monkeypatch.setattr(shapiq_estimators, "version", lambda: "0")
    rows = baselines.run(Config(2, 6, (30,), ("faith-shapley-3",))).rows
    assert "the number of sets, for method 'faith-shapley'" in next(iter(rows))[-1]


def test_beside_shapiq():
    pytest.importorskip("shapiq")
    (row, _) = baselines.run(Config(2, 6, (40,), ("kernelshap",))).rows
    assert row[:4] == ("kernelshap", "SV", 1, 40) and row[-1] == "KernelSHAP(pairing_trick=True)"
    assert row[6] == pytest.approx(row[4] / row[5]) and 0.1 < row[6] < 10
