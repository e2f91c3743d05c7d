"""The benchmark of interaction indices: its games' truth, its scores, its summary."""

import dataclasses
import itertools

import numpy as np
import pytest

import spexjax as sx
from spexjax.experiments.bench import index_games, shapley_values
from spexjax.experiments.bench.shapley_values import Config
from spexjax.experiments.functions.conjunctions import Conjunctions, of_trees, planted


def every(n):
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


@pytest.mark.parametrize("index,order", [("SV", 1), ("k-SII", 2), ("FSII", 2)])
def test_conjunctions_have_the_index_of_their_table(index, order):
    rng = np.random.default_rng(0)
    keep = rng.random((9, 6)) < 0.3
    f = Conjunctions(keep, ~keep & (rng.random((9, 6)) < 0.3), rng.standard_normal(9))
    table = index_games.Table(f(every(6)))
    for members in itertools.chain(
        *(itertools.combinations(range(6), k) for k in range(order + 1))
    ):
        found = [g.interactions(index, order)[members] for g in (f, table)]
        assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_trees_are_their_conjunctions():
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((200, 5))
    model = ensemble.RandomForestRegressor(5, max_depth=5, random_state=0).fit(
        rows, rows[:, 0] * rows[:, 1]
    )
    row, background = rows[0], rows[1]
    f = of_trees([e.tree_ for e in model.estimators_], row, background, 1 / 5)
    masks = every(5)
    np.testing.assert_allclose(f(masks), model.predict(np.where(masks, row, background)))


def test_intervals_that_miss_are_counted():
    f = index_games.Table(np.random.default_rng(0).standard_normal(2**7))
    e = sx.explain(f, 7, budget=80, target="SV")
    found, right = e.interactions("SV"), f.interactions("SV", 1)
    low, high = found.interval()
    truth = np.array([right[members] for members, _ in found])
    held = np.mean((low <= truth) & (truth <= high))
    assert shapley_values._covered(found, right) == held > 0.5
    elsewhere = dataclasses.replace(right, values=right.values + 100.0)
    assert shapley_values._covered(found, elsewhere) == 0


def test_rows_and_summary(monkeypatch, tmp_path):
    monkeypatch.setitem(index_games.GAMES, "small", lambda: planted(9, 0, 6, 3))
    config = Config(games=("small",), calls=("5n", "300"), seeds=1, figure=str(tmp_path / "a.svg"))
    rows = shapley_values.run(config)
    found = rows.show()
    assert [row[3:5] for row in found] == [
        (calls, method) for calls in ("5n", "300") for method in ("target", "kernelshap")
    ]
    assert found[2][5] < found[0][5] and (tmp_path / "a.svg").stat().st_size > 1000
    assert all(0.5 < row[8] <= 1 for row in found if row[4] == "target")
    theirs = [(*row[:4], "theirs", 2 * row[5], *row[6:]) for row in found if row[4] == "target"]
    (line,) = (t for t in rows.notes([*found[:2], theirs[0]]) if "best of" in t)
    assert "0.500, worst 0.50 on small; / theirs" in line
    with pytest.raises(ValueError, match="game must be one of"):
        shapley_values.run(Config(games=("text",)))
