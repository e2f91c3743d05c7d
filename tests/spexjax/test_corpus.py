"""Means over texts, against definitions written out, and the page that shows them."""

import json
import re

import numpy as np
import pytest
from scipy import stats

import spexjax as sx
from spexjax.corpus import Text
from spexjax.corpus.summary import _summary

WEIGHTS = {"bad": -2.0, "good": 1.5, "not": -0.5, "film": 0.0, "fine": 0.7}


def line(words, sets, kind=None, **more):
    row = {
        "words": words,
        "interactions": [[list(members), value] for members, value in sets],
        "standard_error": [0.1] * len(sets),
        "index": "FBII",
        "order": 5,
        "faithfulness": 0.9,
    }
    return row | more | ({} if kind is None else {"class": kind})


@pytest.fixture(scope="module")
def lines():
    """Sixty texts of six words, whose values are those of the words with a spread of 0.3."""
    rng = np.random.default_rng(0)
    found = []
    for t in range(60):
        words = [str(word) for word in rng.permutation(list(WEIGHTS))[:4]]
        sets = [((i,), WEIGHTS[word] + 0.3 * rng.normal()) for i, word in enumerate(words)]
        if {"not", "good"} <= set(words):
            pair = tuple(sorted((words.index("not"), words.index("good"))))
            sets.append((pair, -1.0 + 0.3 * rng.normal()))
        words[0] = words[0].upper()  # case does not tell forms apart
        found.append(line(words, sets, "even" if t % 2 == 0 else "odd"))
    return found


def test_means_are_over_the_texts_that_have_the_words(lines):
    summary = sx.corpus.summarize(lines)
    for word in WEIGHTS:
        values = [
            value
            for row in lines
            for members, value in row["interactions"]
            if [row["words"][i].lower() for i in members] == [word]
        ]
        form = summary[word]
        t = stats.ttest_1samp(values, 0)
        low, high = t.confidence_interval(0.95)
        assert (form.texts, form.listed) == (len(values), len(values))
        np.testing.assert_allclose(
            [form.mean, form.spread, form.low, form.high, form.p_value],
            [np.mean(values), np.std(values, ddof=1), low, high, t.pvalue],
            rtol=1e-9, atol=1e-14,
        )  # fmt: skip
        assert form.stands == (word != "film")
    pair = summary["GOOD", "not"]
    assert pair.words == ("good", "not") and pair.stands and pair.agreement == 1.0
    assert summary.forms[0].words == ("bad",)


def test_a_set_that_is_not_listed_has_the_value_0():
    texts = [line(["not", "good"], [((0, 1), -2.0)])] * 3 + [line(["good", "not"], [])] * 3
    form = sx.corpus.summarize(texts)["not", "good"]
    assert (form.mean, form.texts, form.listed) == (-1.0, 6, 3)


def test_repeated_words_are_one_form_of_their_mean():
    texts = [line(["bad", "Bad"], [((0,), -1.0), ((1,), -3.0), ((0, 1), 0.5)])]
    summary = sx.corpus.summarize(texts)
    form = summary["bad"]
    assert (form.mean, form.texts) == (-2.0, 1) and not form.stands  # one text is never tested
    assert form.high - form.mean == pytest.approx(1.96 * 0.1, rel=1e-3)
    assert summary["bad", "bad"].mean == 0.5


def test_false_discoveries_are_kept_to_the_rate():
    """Forty words without any effect, in fifty corpora: hardly one of them names a word."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(50):
        texts = [
            Text(
                tuple(f"w{i}" for i in range(40)),
                tuple(((i,), float(x)) for i, x in enumerate(rng.normal(size=40))),
                (np.nan,) * 40, "FBII", 5, None, 1.0,
            )
            for _ in range(12)
        ]  # fmt: skip
        wrong += any(form.stands for form in _summary(texts, 0.1, 5, {}).forms)
    assert wrong <= 11  # 10 % of 50, and three standard errors


def test_classes_have_summaries_of_their_own(lines):
    summary = sx.corpus.summarize(lines)
    assert list(summary.groups) == ["even", "odd"]
    assert [part.texts for part in summary.groups.values()] == [30, 30]
    even = sx.corpus.summarize(lines[::2])
    assert summary.groups["even"].forms == even.forms and not even.groups


def test_a_file_and_explanations(lines, tmp_path):
    path = tmp_path / "out.jsonl"
    rows = [*lines, {"line": 61, "text": "?", "error": "nothing to explain"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = sx.corpus.summarize(path)
    assert summary.texts == 60 and summary.forms == sx.corpus.summarize(lines).forms

    e = sx.explain(lambda m: m[:, 0] - 2.0 * m[:, 1], 2, budget=4, features=["A", "b"])
    again = sx.corpus.summarize([e, e])
    assert again["a"].mean == pytest.approx(1.0) and again["b"].mean == pytest.approx(-2.0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("not json", "line 1 is not JSON"),
        ("{}", "line 1 is not of an explained text"),
        (json.dumps(line(["a"], [((3,), 1.0)])), "not of its words"),
        (json.dumps({"error": "x"}), "no explained texts"),
    ],
)
def test_files_of_something_else(tmp_path, row, message):
    (tmp_path / "out.jsonl").write_text(row + "\n")
    with pytest.raises(ValueError, match=message):
        sx.corpus.summarize(tmp_path / "out.jsonl")


def test_indices_must_agree():
    texts = [line(["a"], [((0,), 1.0)]), line(["a"], [((0,), 1.0)], index="SV")]
    with pytest.raises(ValueError, match="one index"):
        sx.corpus.summarize(texts)


def test_of_few_texts_nothing_is_tested():
    a, b = line(["a"], [((0,), 1.0)]) | {"class": "x"}, line(["a"], [((0,), 2.0)]) | {"class": "y"}
    printed = str(sx.corpus.summarize([a, b]))
    assert printed.startswith(
        "2 texts, 1 word and 0 sets; none was tested, since none is in 5 texts or more\n"
    )
    assert "x: 1 text; a +1.00" in printed


def test_what_is_shown(lines, tmp_path):
    summary = sx.corpus.summarize(lines)
    printed = str(summary)
    assert printed.startswith("60 texts, 5 words and 1 set; 5 of the 6 in 5 texts or more stand")
    assert re.search(r"^-[12]\.\d{3} +0\.\d{3} +\* +0\.\d{3} +100% +\d+ +bad$", printed, re.M)
    ix = summary.interactions()
    assert ix["bad"] == summary["bad"].mean and ix.index == "mean FBII"
    low, high = ix.interval()
    assert (low[0], high[0]) == (summary["bad"].low, summary["bad"].high)
    sx.plot.bar(ix)
    sx.plot.network(ix)
    lines = [*lines, line(["<script>"], [((0,), 9.0)], "even")]
    sx.corpus.summarize(lines).to_html(tmp_path / "s.html", "mine <b>")
    page = (tmp_path / "s.html").read_text()
    assert "mine &lt;b&gt;" in page and "<script>" not in page and page.count("<figure") == 3
