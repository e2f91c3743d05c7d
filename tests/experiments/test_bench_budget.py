"""The benchmark of budgets: tables, verdicts, and a run of its cheapest case."""

import numpy as np
import pytest

from spexjax.experiments import bench_boosting, bench_budget, shapiq_peers
from spexjax.experiments.bench_budget import Row


def rows():
    scores = {("a", "linear"): (0.5, 0.7), ("a", "auto"): (0.8, 1.0), ("b", "linear"): (0.9, 0.9),
              ("b", "auto"): (0.8, 0.8)}  # fmt: skip
    return [
        Row(case, 20, 500, seed, method, r2, 1.0, method)
        for (case, method), values in scores.items()
        for seed, r2 in enumerate(values)
    ]


def test_tables_hold_means_over_seeds_and_cases():
    lines = bench_budget.table(rows()).splitlines()
    assert lines[0].split()[-2:] == ["linear", "auto"]
    cells = [line.split()[-2:] for line in lines[1:]]
    assert cells == [["0.600", "0.900"], ["0.900", "0.800"], ["0.750", "0.850"]]


def test_the_verdict_names_the_worst_case():
    said = bench_budget.verdict(rows())
    assert "mean +0.1000" in said and "worst -0.1000 (b)" in said


def test_a_run_prints_every_method(capsys):
    bench_budget.main(
        ["--kinds", "forest", "--budgets", "60", "--seeds", "1", "--methods", "linear", "auto"]
    )
    said = capsys.readouterr().out
    assert "forest-cancer" in said and "auto − best of the others" in said


def test_a_surrogate_is_a_sum_over_subsets():
    found = shapiq_peers.Surrogate(
        np.array([[0, 0], [1, 0], [1, 1]], bool), np.array([1.0, 2, 4]), 0
    )
    masks = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], bool)
    np.testing.assert_allclose(found.predict(masks), [1, 3, 1, 7])


def test_boosting_beside_lightgbm(capsys):
    pytest.importorskip("lightgbm")
    bench_boosting.main(
        ["--families", "trees", "--n", "16", "--rows", "300", "--depths", "2", "--trees", "20",
         "--seeds", "1"]
    )  # fmt: skip
    ours, theirs = map(float, capsys.readouterr().out.splitlines()[-1].split()[3:5])
    assert abs(ours - theirs) < 0.01
