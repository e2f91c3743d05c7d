"""What a value function knows of itself, text, labels and row, is the explanation's too."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest

import spexjax as sx
from spexjax.report import facts
from spexjax.steps import default_budget

TEXT = "Not good, not bad."
SPANS = ((0, 3), (4, 8), (10, 13), (14, 17))


class Value:
    """f = x₀x₁ − x₃ of four words, all that ``explain`` reads of a text's value function."""

    n = 4
    source = SimpleNamespace(text=TEXT, spans=SPANS)
    words = tuple(TEXT[a:b] for a, b in SPANS)
    description = "a toy <model>"

    def __call__(self, masks):
        kept = np.asarray(masks, float)
        return kept[:, 0] * kept[:, 1] - kept[:, 3]


@pytest.fixture(scope="module")
def e():
    return sx.explain(Value(), budget=16)


def test_the_page_needs_nothing_but_a_name(e, tmp_path):
    assert e.features == Value.words
    e.to_html(tmp_path / "e.html")
    e.to_html(tmp_path / "same.html", TEXT, SPANS, "a toy <model>")
    page = (tmp_path / "e.html").read_text()
    assert page == (tmp_path / "same.html").read_text()
    assert "a toy &lt;model&gt;" in page and "</span>, <span" in page  # the comma between words
    e.to_html(tmp_path / "other.html", model="mine")
    assert "mine" in (tmp_path / "other.html").read_text()


def test_the_text_is_saved(e, tmp_path):
    e.save(tmp_path / "e.json")
    again = sx.Explanation.load(tmp_path / "e.json")
    assert again.passage == e.passage == (TEXT, SPANS, "a toy <model>")
    again.to_html(tmp_path / "again.html")
    e.to_html(tmp_path / "e.html")
    assert (tmp_path / "again.html").read_text() == (tmp_path / "e.html").read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": 5},
        {"spans": [[0, 3], [2, 8], [10, 13], [14, 17]]},
        {"spans": [[0, 3]]},
        {"spans": [[0, True], [4, 8], [10, 13], [14, 17]]},
        {"spans": [[0, 3], [4, 8], [10, 13], [14, 99]]},
        {"model": []},
    ],
)
def test_a_file_with_another_text_is_refused(e, tmp_path, wrong):
    e.save(tmp_path / "e.json")
    raw = json.loads((tmp_path / "e.json").read_text())
    raw["passage"] |= wrong
    (tmp_path / "e.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError):
        sx.Explanation.load(tmp_path / "e.json")


def test_files_from_before_texts_were_kept_can_be_read(e, tmp_path):
    e.save(tmp_path / "e.json")
    raw = json.loads((tmp_path / "e.json").read_text())
    del raw["passage"], raw["data"]
    (tmp_path / "e.json").write_text(json.dumps(raw))
    assert sx.Explanation.load(tmp_path / "e.json").passage is None


def test_fit_takes_them_from_the_function(e):
    design = sx.design(4, budget=16)
    again = sx.fit(design, Value()(design.masks()), source=Value())
    assert again.passage == e.passage and again.features == e.features
    bare = sx.fit(design, Value()(design.masks()))
    assert bare.passage is None and bare.features == ("x0", "x1", "x2", "x3")


def test_a_source_that_is_no_text_is_left_alone():
    class Other(Value):
        source = SimpleNamespace(text=TEXT, spans=((0, 99),) * 4)
        words = ("too", "few")

    e = sx.explain(Other(), budget=16)
    assert e.passage is None and e.features == ("x0", "x1", "x2", "x3")


def test_a_budget_is_picked_and_told(caplog):
    with caplog.at_level(logging.WARNING, "spexjax"):
        e = sx.explain(Value())
    assert (e.budget, e.calls, e.method) == (16, 16, "exact")
    assert "no budget given: up to 16 calls for 4 inputs" in caplog.text
    assert [default_budget(n) for n in (1, 10, 11, 64, 1000)] == [2, 1024, 2000, 2000, 20_000]


def test_what_explains_little_says_what_not_to_believe():
    def said(r2, method="linear"):
        return facts.caution(SimpleNamespace(faithfulness=r2, method=method, calls=5))

    assert said(np.float32(0.1)).startswith("do not believe sizes or ranks: R² = 0.10, so")
    assert said(-248.7).startswith("believe none of this: on masks unseen by its fit, R² = -249 is")
    assert said(np.nan).startswith("believe none of this: of 5 calls none were left")
    assert said(0.6) == said(1.0, "exact") == ""
