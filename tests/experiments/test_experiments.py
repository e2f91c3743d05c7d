"""The experiments' commands on small tables, resumed runs, and the page that shows all results."""

import dataclasses
import glob
import json
import os
import re
import time

import numpy as np
import pytest
from matplotlib import image

from spexjax.experiments import command
from spexjax.experiments.bench.registry import BENCHES
from spexjax.experiments.data.folder import with_data
from spexjax.experiments.harness import protocol, results, runner, timing
from spexjax.experiments.harness.case import FEWEST_FRESH, Case, Subject
from spexjax.experiments.harness.journal import plain
from spexjax.experiments.harness.methods import EXPLAINERS, METHODS
from spexjax.experiments.harness.protocol import Protocol
from spexjax.experiments.harness.results import Cell, Result
from spexjax.experiments.harness.watched import Remembered
from spexjax.experiments.papers import faithfulness, hierarchy, report
from spexjax.experiments.papers.registry import PAPERS
from spexjax.experiments.reporting import figures, summary
from spexjax.experiments.tasks import registry
from spexjax.experiments.tasks.item import Item, TaskConfig
from spexjax.masks import plan_budget

# Ten features: the budget of b = 4 buys all 1 024 masks, so nothing has to be compiled.
TABLE = ["--task", "tabular", "--groups", "diabetes-forest", "--per-group", "2", "--b", "4",
         "--methods", "spex", "lime"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every experiment's result, made by its command."""
    pytest.importorskip("sklearn")
    path = tmp_path_factory.mktemp("results")
    options = {"removal": ["--largest", "3"], "sparsity": ["--terms", "1", "10", "2000"]}
    for name in ("faithfulness", "removal", "sparsity", "runtime", "hierarchy", "shapley"):
        command.main([name, *TABLE, "--folder", str(path), *options.get(name, [])])
    command.main(
        ["recovery", "--groups", "evidence-16", "flat-16", "--per-group", "2", "--b", "3",
         "--methods", "lime", "--k", "3", "--folder", str(path)]
    )  # fmt: skip
    return path


def load(folder, name) -> Result:
    (path,) = folder.glob(f"{name}-*.json")
    return Result.load(path)


def values(result: Result, method: str, name: str) -> list:
    return [cell.values[name] for cell in result.cells if cell.method == method]


def test_all_masks_give_a_perfect_surrogate_and_lime_the_best_of_order_one(folder):
    result = load(folder, "faithfulness")
    np.testing.assert_allclose(values(result, "spex", "r2"), 1, atol=1e-4)
    assert all(0.3 < r2 < 0.99 for r2 in values(result, "lime", "r2"))
    assert [cell.calls for cell in result.cells] == [1024] * 4
    gain = summary.paired(result, faithfulness.R2, "spex", "lime", b=4)
    assert gain.items == 2 and gain.mean > 0


def test_removal_finds_the_best_single_input(folder):
    result = load(folder, "removal")
    items = {i.name: i for i in registry.items(TaskConfig("tabular", ("diabetes-forest",), 2))}
    for cell in result.cells:
        if cell.method == "spex":
            f = items[cell.item].f
            whole = f(np.ones((1, 10), bool))[0]
            best = np.abs(whole - f(~np.eye(10, dtype=bool))).max() / abs(whole)
            assert cell.values["curve"][0] == pytest.approx(best, rel=1e-4)


def test_sparsity_ends_at_the_whole_surrogate(folder):
    for curve in values(load(folder, "sparsity"), "spex", "curve"):
        assert curve[0] < curve[1] < curve[2] == pytest.approx(1, abs=1e-4)


def test_an_exact_spectrum_has_the_right_shapley_values(folder):
    assert values(load(folder, "shapley"), "spex", "recall") == [1, 1]


def test_runtime_tells_the_model_from_the_method(folder):
    for cell in load(folder, "runtime").cells:
        assert cell.values["model"] > 0.001  # a forest at 1 024 masks

    def slow(masks):
        time.sleep(0.2)
        return masks.sum(axis=1)

    masks = np.eye(3, dtype=bool)
    own, spent, total = timing.own(lambda f: f(masks).sum() + f(masks).sum(), slow)
    assert total == 6 and spent >= 0.4 and own < 0.2


def test_recovery_uses_annotated_items_only(folder):
    result = load(folder, "recovery")
    assert {cell.group for cell in result.cells} == {"evidence-16"}
    assert all(curve[0] == 1 for curve in values(result, "lime", "curve"))  # eight of 16 stand out


def test_the_page_shows_every_result(folder):
    markdown, page = report.write(folder)
    text = page.read_text()
    assert results.versions() in text and results.versions() in markdown.read_text()
    for name in ("Faithfulness", "Removal", "Recovery", "Sparsity", "Runtime", "Hierarchy"):
        assert f"## {name}: " in markdown.read_text() and f">{name}: " in text
    assert text.count('src="data:image/png;base64,') == 7
    assert "http" not in text  # nothing to load
    for picture in folder.glob("*.png"):
        drawn = image.imread(picture)[..., :3]
        assert (drawn.std(axis=(0, 1)) > 0.02).all()  # not an empty canvas


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="no results"):
        command.main(["report", "--folder", str(tmp_path)])
    with pytest.raises(SystemExit, match="did you mean 'removal'"):
        command.main(["removall"])


def test_budgets_hold_the_design_that_they_are_named_for():
    for n in (9, 27, 100, 300):
        for b in (3, 5, 8):
            calls = protocol.budget(n, b)
            assert plan_budget(n, calls, 5, 3).b == b
            assert plan_budget(n, calls - 1, 5, 3).b != b


def test_methods_that_make_no_sense_are_left_out():
    assert protocol.reason_to_skip("lime", 500, 100) is None
    assert "1276 sets" in protocol.reason_to_skip("faith-banzhaf-2", 50, 2000)
    assert protocol.reason_to_skip("faith-banzhaf-2", 50, 4000) is None
    assert protocol.reason_to_skip("lasso-2", 50, 2000) is None
    assert "too many" in protocol.reason_to_skip("lasso-2", 500, 4000)


@pytest.fixture
def counted(monkeypatch):
    """A task of three linear functions that says how often it was asked."""
    asked = []

    def items(config):
        for i in range(3):

            def f(masks, i=i):
                asked.append(i)
                return masks @ np.arange(i, i + 10.0)

            yield Item(f"item-{i}", "g", 10, f)

    monkeypatch.setattr(registry, "items", items)
    return asked


def test_a_killed_run_goes_on_where_it_was(counted, tmp_path):
    config = faithfulness.Config(Protocol(methods=("lime",), b=(4, 5), folder=str(tmp_path)))
    done = 0

    def dying(case):
        nonlocal done
        done += 1
        if done == 4:
            raise KeyboardInterrupt
        return faithfulness.measure(case)

    with pytest.raises(KeyboardInterrupt):
        runner.run("faithfulness", config, dying)
    (journal,) = tmp_path.glob("*.jsonl")
    with journal.open("a") as file:
        file.write('{"item": "item-1", "gro')  # cut short
    counted.clear()
    result = faithfulness.run(config)
    assert set(counted) == {1, 2}  # item 0 was finished
    assert len(result.cells) == 6 and len(journal.read_text().splitlines()) == 7
    counted.clear()
    assert faithfulness.run(config) == result and not counted
    more = dataclasses.replace(config.protocol, methods=("lime", "linear"))
    assert len(faithfulness.run(faithfulness.Config(more)).cells) == 12
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    other = dataclasses.replace(config.protocol, test_masks=50)
    faithfulness.run(faithfulness.Config(other))
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_rates_of_a_hierarchy():
    complete = {(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)}
    assert hierarchy.rates(complete) == {"direct": 1, "all": 1, "staircase": 1}
    assert hierarchy.rates({(0, 1, 2), (4,)}) == {"direct": 0, "all": 0, "staircase": 0}
    partial = hierarchy.rates({(0,), (0, 1), (0, 1, 2)})
    assert partial == {"direct": (1 / 2 + 1 / 3) / 2, "all": (1 / 2 + 2 / 6) / 2, "staircase": 1}
    assert hierarchy.rates({(0,)})["direct"] is None
    assert hierarchy.energy({(): 9.0, (0,): 1.0, (1, 2, 3): 3.0}, 2) == [0.1, 0.9]
    assert hierarchy.strongest({(): 9.0, (0,): 1.0, (1,): 0.0, (2,): -3.0}, 1) == {(2,)}


def cells(scores: dict[str, list[float]], b=3) -> tuple[Cell, ...]:
    return tuple(
        Cell(f"i{i}", "8-15", 12, method, b, 0, 500, 500, None, {"r2": value})
        for method, found in scores.items()
        for i, value in enumerate(found)
    )


def result_of(found: tuple[Cell, ...]) -> Result:
    raw = json.loads(json.dumps(dataclasses.asdict(faithfulness.Config())))
    return Result("faithfulness", raw, found)


def test_the_verdict_is_paired():
    apart = cells({"spex": [0.9, 0.5, 0.7], "lime": [0.8, 0.41, 0.6]})
    found = result_of(apart)
    gain = summary.paired(found, faithfulness.R2, "spex", "lime", b=3)
    np.testing.assert_allclose(gain.mean, (0.1 + 0.09 + 0.1) / 3)
    np.testing.assert_allclose(gain.error, np.std([0.1, 0.09, 0.1], ddof=1) / np.sqrt(3))
    assert faithfulness.verdict(gain) == "above" and faithfulness.first_above(found, "8-15") == 3
    tied = result_of(cells({"spex": [0.9, 0.3], "lime": [0.8, 0.41]}))
    assert faithfulness.first_above(tied, "8-15") is None
    text = faithfulness.section(found).markdown()
    assert "| 0.997" in text and "| above" in text and "0.700 ± 0.115" in text


def test_seeds_are_averaged_before_items():
    one = Cell("i0", "g", 12, "lime", 3, 0, 500, 500, None, {"r2": 0.0})
    found = result_of((one, dataclasses.replace(one, seed=1, values={"r2": 1.0}),
                       dataclasses.replace(one, item="i1", values={"r2": 1.0}),
                       dataclasses.replace(one, item="i2", values={}, skipped="no")))  # fmt: skip
    mean = summary.over_items(found, faithfulness.R2, group="g")
    assert mean.mean == 0.75 and mean.items == 2


def test_a_figure_has_the_means_and_the_methods_look():
    found = result_of(cells({"spex": [0.9, 0.5], "lime": [0.8, 0.4]}))
    (ax,) = faithfulness.draw(found).axes
    lines = [bars.lines[0] for bars in ax.containers]
    drawn = {line.get_color(): line.get_ydata()[0] for line in lines}
    assert drawn[METHODS["spex"].colour] == pytest.approx(0.7)
    assert drawn[METHODS["lime"].colour] == pytest.approx(0.6)
    assert len({figures.look(name) for name in METHODS}) == len(METHODS)


def test_cells_keep_the_versions_that_made_them(counted, tmp_path, monkeypatch):
    config = faithfulness.Config(Protocol(methods=("lime",), b=(4,), folder=str(tmp_path)))
    monkeypatch.setattr(results, "versions", lambda: "jax 1")
    assert faithfulness.run(config).made_by == ("jax 1",)
    monkeypatch.setattr(results, "versions", lambda: "jax 2")
    more = faithfulness.Config(dataclasses.replace(config.protocol, methods=("lime", "linear")))
    result = faithfulness.run(more)
    made = {(cell.method, cell.made_by) for cell in result.cells}
    assert made == {("lime", "jax 1"), ("linear", "jax 2")}
    assert "jax 1; jax 2." in report.how(result)
    assert Result.load(result.path) == result


def test_results_of_earlier_versions_load(tmp_path):
    raw = plain(dataclasses.asdict(result_of(cells({"lime": [0.5]}))))
    for cell in raw["cells"]:
        del cell["made_by"]
    path = tmp_path / "faithfulness-sentiment-00000000.json"
    path.write_text(json.dumps(raw | {"versions": {"python": "3.11", "jax": "0.7"}}))
    assert Result.load(path).made_by == ("python 3.11, jax 0.7",)
    # A journal of then knows no versions, and today's are not put in their place.
    assert result_of(cells({"lime": [0.5]})).made_by == ("versions unknown",)
    path.write_text('{"cells": 3}')
    with pytest.raises(ValueError, match="is not a result"):
        Result.load(path)


def test_scores_leave_out_what_was_bought():
    subject = Subject(Item("i", "g", 12, lambda masks: masks @ np.arange(12.0)), 1000)
    case = Case(subject, "lime", 600, seed=0)
    case.explain()
    rows = case.scored()
    bought = {mask.tobytes() for mask in subject.test[~rows]}
    assert 0 < (~rows).sum() < 300 and not bought & {m.tobytes() for m in subject.test[rows]}
    np.testing.assert_array_equal(rows, case.f.fresh(subject.test))


def test_nearly_all_masks_bought_means_the_population():
    subject = Subject(Item("i", "g", 10, lambda masks: masks @ np.arange(10.0)), 1000)
    assert len(np.unique(subject.test, axis=0)) == 1024  # all there are
    case = Case(subject, "lime", 1000, seed=0)
    case.explain()
    assert case.f.fresh(subject.test).sum() == 24 < FEWEST_FRESH
    assert case.scored().all()


def test_every_method_that_is_listed_can_be_asked_for():
    for name in EXPLAINERS:
        Protocol(methods=(name,))
    with pytest.raises(ValueError, match="method must be one of"):
        Protocol(methods=("random",))


def test_options_reach_the_configuration(monkeypatch):
    monkeypatch.delenv("SPEXJAX_DATA", raising=False)
    options = ["--task", "two-hop", "--groups", "16", "--b", "3", "5", "--k", "7", "--C", "4"]
    config = command.config_of("recovery", options)
    assert config.protocol.task == TaskConfig("two-hop", ("16",), 5)
    assert (config.protocol.b, config.protocol.C, config.k) == ((3, 5), 4, 7)
    monkeypatch.setenv("SPEXJAX_DATA", "here")
    assert command.config_of("recovery", []).protocol.task.data == "here"
    assert command.config_of("recovery", ["--data", "there"]).protocol.task.data == "there"
    for name in PAPERS:
        assert command.config_of(name, []) == with_data(PAPERS[name].Config())
    assert command.config_of("pruning", ["--layers", "0", "1"]).layers == (0, 1)
    with pytest.raises(SystemExit):
        command.config_of("pruning", ["--methods", "guess"])


def test_the_documents_commands_exist():
    """Names and options of every command that the README and the site show."""
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    shown = []
    pages = [os.path.join(root, name) for name in ("README.md", "CONTRIBUTING.md")]
    for name in (*pages, *glob.glob(os.path.join(root, "docs", "**", "*.md"), recursive=True)):
        with open(name, encoding="utf-8") as file:
            text = file.read()
        shown += [c.split() for c in re.findall(r"python -m spexjax\.experiments ([^`\n…]+)", text)]
    names = {words[0] for words in shown}
    assert {"faithfulness", "recovery", "report", "decode", "baselines"} <= names
    for name, *options in shown:
        if name in (*PAPERS, *BENCHES):
            command.config_of(name, options)
        else:
            assert name in ("report", "NAME")


def test_every_mask_is_asked_for_once():
    asked = []

    def f(masks):
        asked.append(len(masks))
        return masks.sum(axis=1)

    remembered = Remembered(f, 12)
    masks = np.random.default_rng(0).random((50, 12)) < 0.5
    masks[10] = masks[3]
    np.testing.assert_array_equal(remembered(masks), masks.sum(axis=1))
    np.testing.assert_array_equal(remembered(masks[::-1]), masks[::-1].sum(axis=1))
    assert asked == [len(np.unique(masks, axis=0))]
