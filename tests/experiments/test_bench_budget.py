"""The benchmark of budgets: tables, verdicts, and a run of its cheapest case."""

import dataclasses
import json

import numpy as np
import pytest

from spexjax.experiments.bench import boosting, budget, budget_cases, budget_report
from spexjax.experiments.bench.budget import Config
from spexjax.experiments.bench.budget_report import Row
from spexjax.experiments.harness.methods import METHODS
from spexjax.experiments.peers import shapiq as shapiq_peers
from spexjax.store.store import Store


def rows():
    scores = {
        ("a", 500, "linear"): (0.5, 0.7), ("a", 500, "auto"): (0.8, 1.0),
        ("b", 500, "linear"): (0.9, 0.9), ("b", 500, "auto"): (0.8, 0.8),
        ("b", 500, "spex"): (np.nan,), ("b", 1000, "auto"): (0.9, 0.91, 0.2),
        ("b", 4000, "proxyspex-paper"): (0.91, 0.9), ("b", 4000, "auto"): (0.99, 0.99),
        ("a", 4000, "proxyspex-paper"): (0.95,), ("a", 4000, "auto"): (0.94,),
    }  # fmt: skip
    return [
        Row("text", case, 20, budget, seed, method, r2, 1.0, method)
        for (case, budget, method), values in scores.items()
        for seed, r2 in enumerate(values)
    ]


def test_tables_hold_means_over_seeds_and_cases():
    lines = budget_report.table(rows()).splitlines()
    assert [c.strip() for c in lines[0].split("|")[4:-1]] == [
        "linear",
        "auto",
        "spex",
        "proxyspex-paper",
    ]
    cells = {tuple(c.strip() for c in line.split("|")[1:4]): line.split("|")[4:6] for line in lines}
    assert [c.strip() for c in cells["a", "20", "500"]] == ["0.600", "**0.900**"]
    assert [c.strip() for c in cells["b", "20", "500"]] == ["**0.900**", "0.800"]
    assert [c.strip() for c in cells["mean of 2", "", "500"]] == ["0.750", "**0.850**"]


def test_the_verdict_compares_equal_seeds():
    said = budget_report.verdict(rows())
    first = said.splitlines()[0]
    assert "mean +0.1000" in first and "worst -0.1000 (b, linear)" in first
    assert "more than 0.005 behind on 1 of 2 cases" in first
    assert budget_report.gaps(rows())[500]["linear"] == pytest.approx({"a": 0.3, "b": -0.1})
    # On the two seeds that both have, 1 000 calls are as good as the recipe's 4 000.
    assert budget_report.calls_needed(rows()) == {"b": 1000, "a": None}
    assert "on 1 of 2 cases" in said.splitlines()[-1]


SMALL = {
    "kinds": ("forest",),
    "cases": ("forest-cancer",),
    "budgets": (60,),
    "seeds": 1,
    "methods": ("linear", "auto"),
}


def test_a_run_is_resumed(capsys, tmp_path, monkeypatch):
    quick = dataclasses.replace(METHODS["auto"], config="banzhaf")
    monkeypatch.setitem(METHODS, "auto", quick)
    first = budget.run(Config(out=tmp_path, **SMALL)).show()
    assert [row[:4] for row in first][-1] == ("forest-cancer", 60, 0, "auto")
    assert "auto − best of the others" in capsys.readouterr().out
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"kind": "forest", "ca')  # killed while it wrote
    again = budget.run(Config(out=tmp_path, redo=("auto",), **SMALL)).show()
    assert [row[3] for row in again] == ["auto"]
    np.testing.assert_allclose([r[4] for r in again], [r[4] for r in first if r[3] == "auto"])
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["method"] for line in lines] == ["linear", "auto"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert len(summary["means"]) == 2 and summary["auto_minus"]["60"]["linear"]
    assert "| forest-cancer | 30 | 60 |" in (tmp_path / "table.md").read_text()


def test_the_figure_shows_the_means():
    (ax,) = budget_report.draw([r for r in rows() if r.budget == 500 and r.case == "a"]).axes
    lines = [bars.lines[0] for bars in ax.containers]
    drawn = {line.get_color(): line.get_ydata()[0] for line in lines}
    assert drawn[METHODS["auto"].colour] == pytest.approx(0.9)
    assert drawn[METHODS["linear"].colour] == pytest.approx(0.6)


def test_rows_of_earlier_versions_load(tmp_path):
    old = {"kind": "text", "case": "a", "n": 9, "budget": 60, "seed": 0, "method": "pairs",
           "r2": float("nan"), "seconds": 1.0, "done": ""}  # fmt: skip
    (tmp_path / "rows.jsonl").write_text(json.dumps(old) + "\n")
    found = budget.run(Config(out=tmp_path, kinds=()))
    assert found.show() == []
    assert "lasso-2" in (tmp_path / "table.md").read_text() or found.notes([])


def test_methods_are_checked(monkeypatch):
    with pytest.raises(ValueError, match="method must be one of"):
        budget.run(Config(methods=("random",)))
    absent = dataclasses.replace(METHODS["shapiq SPEX"], needs=("no_such_package",))
    monkeypatch.setitem(METHODS, "shapiq SPEX", absent)
    with pytest.raises(ImportError, match="shapiq SPEX needs no_such_package"):
        budget.run(Config(methods=("shapiq SPEX",)))


def test_what_the_budget_does_not_afford_is_left_out():
    item = budget_cases.Item("i", "g", 30, lambda masks: masks.sum(axis=1).astype(float))
    case = budget.Case(budget.Subject(item, 50), "spex", 60, 0)
    assert budget.measure(case).r2 is None


def test_values_are_asked_for_once(tmp_path):
    asked = []

    def f(bits):
        asked.append(len(bits))
        return bits @ np.arange(5.0)

    masks = np.random.default_rng(0).random((40, 5)) < 0.5
    for _ in range(2):
        with Store(tmp_path / "calls.sqlite") as store:
            g = budget_cases.remembered(f, 5, "f", store)
            np.testing.assert_array_equal(g(masks), masks @ np.arange(5.0))
    assert asked == [40]


def test_a_surrogate_is_a_sum_over_subsets():
    found = shapiq_peers.Surrogate(
        np.array([[0, 0], [1, 0], [1, 1]], bool), np.array([1.0, 2, 4]), 0
    )
    masks = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], bool)
    np.testing.assert_allclose(found.predict(masks), [1, 3, 1, 7])


def test_boosting_beside_lightgbm():
    pytest.importorskip("lightgbm")
    config = boosting.Config(("trees", "forest-cancer"), (30,), 300, (2,), 20, 1)
    found = boosting.run(config).show()
    assert all(abs(row[3] - row[4]) < 0.01 for row in found)
