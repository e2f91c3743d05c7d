"""The page holds what the explanation says, needs nothing else, and lets no text act."""

import base64
import hashlib
import html.parser
import json
import re

import numpy as np
import pytest
import uncertain

import spexjax as sx
from spexjax import report
from spexjax.report import features as features_module
from spexjax.report import notebook
from spexjax.report import page as page_module

NASTY = (
    "</script><script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>", "{{data}}",
    '" onmouseover="window.hacked=1', "$x$ & y", "\ud800\x00\u202e", "<!--", "]]>",
)  # fmt: skip

BOTH_ENDS = np.array([[True] * 8, [False] * 8])


class Page(html.parser.HTMLParser):
    """Tags, attributes and the text of each element that holds raw text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.raw, self.words, self.text = [], [], {}, ""
        self._word = self._raw = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        if tag in ("script", "style"):
            self._raw = ""
        if "data-i" in given:
            self._word = int(given["data-i"])
            self.words[self._word] = ""

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.raw.append((*self.tags[-1], self._raw))
            self._raw = None
        if tag == "span":
            self._word = None

    def handle_data(self, data):
        if self._raw is not None:
            self._raw += data
            return
        self.text += data
        if self._word is not None:
            self.words[self._word] += data

    def data(self):
        (found,) = (d for _, given, d in self.raw if given.get("id") == "data")
        return json.loads(found)


def explanation(terms, n, features=None, **changes):
    settings = {
        "method": "spex", "calls": 500, "full": np.float32(1.5), "empty": np.float32(-0.25),
        "faithfulness": np.float32(0.9),
        "faithfulness_interval": (np.float32(0.85), np.float32(0.94)),
        "features": tuple(features or (f"x{i}" for i in range(n))),
        "budget": 600, "seed": 7, "max_order": 4,
    } | changes  # fmt: skip
    return sx.Explanation(spectrum=sx.Spectrum.from_dict(terms, n), n=n, **settings)


def some_terms(n, count, seed=0):
    rng = np.random.default_rng(seed)
    terms = {(): 0.3} | {(i,): float(rng.normal()) for i in range(n)}
    while len(terms) < count:
        size = int(rng.integers(2, 5))
        terms[tuple(sorted(rng.choice(n, size, replace=False).tolist()))] = float(rng.normal())
    return terms


@pytest.fixture(scope="module")
def nasty():
    e = explanation(some_terms(8, 30), 8, NASTY)
    return e, report.render(e, model=NASTY[0])


def unflattened(sets):
    at, out = 0, {}
    for size, value in zip(sets["sizes"], sets["values"], strict=True):
        out[tuple(sets["members"][at : at + size])] = value
        at += size
    assert at == len(sets["members"])
    return out


def test_nothing_is_loaded(nasty):
    page = Page(nasty[1])
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"link", "img", "iframe", "object", "embed", "base", "form", "audio", "video"}
    for tag, given in page.tags:
        for name, value in given.items():
            assert name not in ("src", "action", "srcdoc")
            assert not name.startswith("on")
            if name in ("href", "xlink:href"):
                assert value.startswith("#"), tag
            assert "url(" not in (value or "") or "url(#" in value


def test_only_the_pages_own_script_may_run(nasty):
    page = Page(nasty[1])
    scripts = [(given, data) for tag, given, data in page.raw if tag == "script"]
    assert len(scripts) == sum(tag == "script" for tag, _ in page.tags) == 2
    (policy,) = (
        given["content"]
        for tag, given in page.tags
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    (code,) = (data for given, data in scripts if given.get("type") != "application/json")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"


def test_text_is_shown_and_not_obeyed(nasty):
    e, source = nasty
    page = Page(source)
    expected = [*NASTY[:5], "\ufffd\ufffd\ufffd", *NASTY[6:]]
    assert [page.words[i] for i in range(8)] == expected == page.data()["names"]
    assert NASTY[0] in page.text  # the model's name
    assert "window.hacked" not in "".join(d for _, given, d in page.raw if "id" not in given)
    source.encode("utf-8")
    running = " ".join(NASTY)
    spans, at = [], 0
    for name in NASTY:
        spans.append((at, at + len(name)))
        at += len(name) + 1
    page = Page(report.render(e, running, spans))
    assert [page.words[i] for i in range(8)] == expected
    assert " ".join(expected) in page.text


def test_the_page_evaluates_the_surrogate(nasty, key):
    e, source = nasty
    terms = unflattened(Page(source).data()["terms"])
    masks = np.random.default_rng(1).random((20, 8)) < 0.5
    values = [sum(c * (-1) ** int(m[list(k)].sum()) for k, c in terms.items()) for m in masks]
    np.testing.assert_allclose(values, e.predict(masks), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("index", "order"), [("FBII", None), ("FSII", 2), ("SV", None)])
def test_all_sets_are_there(index, order):
    e = explanation(some_terms(8, 30), 8)
    data = Page(report.render(e, index=index, max_order=order)).data()
    expected = e.interactions(index, order).to_dict()
    assert unflattened(data["sets"]) == pytest.approx(expected)
    alone = [expected.get((i,), 0.0) for i in range(8)]
    assert data["alone"] == pytest.approx(alone)


def test_facts_are_stated(nasty):
    text = " ".join(Page(nasty[1]).text.split())
    for fact in (
        "R² = 0.900 on masks that its fit had not seen (95 %: 0.850 to 0.940)", "seed7",
        "500 calls of the model made, 600 allowed", "methodspex", "FBII up to order 4",
        "30 coefficients", "No masks were left from which errors could be told.",
    ):  # fmt: skip
        assert fact in text
    full, empty = (f"{v:+.3f}".replace("-", "−") for v in nasty[0].predict(BOTH_ENDS))
    assert (
        f"+1.500 (surrogate {full}) for all features kept, "
        f"−0.250 (surrogate {empty}) with all 8 features masked"
    ) in text
    exact = report.render(explanation({(0,): 1.0}, 2, method="exact"))
    assert "every mask was tried" in exact and "surrogate +" not in exact
    unknown = np.float32(np.nan)
    poor = explanation(
        {(0,): 1.0}, 2, faithfulness=unknown, faithfulness_interval=(unknown, unknown),
        empty=unknown,
    )  # fmt: skip
    page = Page(report.render(poor))
    assert "not measured" in page.text and page.data()["empty"] is None


def test_running_text_keeps_its_punctuation():
    text = "Well — “don't”,\nthey said."
    spans = [(0, 4), (8, 13), (16, 20), (21, 25)]
    e = explanation(some_terms(4, 8), 4, [text[a:b] for a, b in spans])
    page = Page(report.render(e, text, spans))
    assert text in page.text
    assert page.words == dict(enumerate(text[a:b] for a, b in spans))
    assert "The text" in page.text and "with all 4 words masked" in page.text


@pytest.mark.parametrize(
    ("text", "spans", "message"),
    [
        ("one two", None, "go together"),
        (None, [(0, 3), (4, 7)], "go together"),
        ("one two", [(0, 3)], "2 features, got 1"),
        ("one two", [(4, 7), (0, 3)], "in order"),
        ("one two", [(0, 5), (4, 7)], "in order"),
        ("one two", [(0, 3), (4, 8)], "within"),
        ("one two", [(0, 0), (4, 7)], "is not"),
    ],
)
def test_text_and_spans_must_fit(text, spans, message):
    with pytest.raises(ValueError, match=message):
        report.render(explanation({(0, 1): 1.0}, 2), text, spans)


def test_one_output_is_needed():
    e = explanation({(0, 1): 1.0}, 2)
    pair = [np.ones(2)] * 4
    many = sx.Explanation(
        sx.spectrum.stack([e.spectrum] * 2), 2, "spex", 9, *pair[:3], (pair[0], pair[1])
    )
    with pytest.raises(ValueError, match=r"pass e\[i\]"):
        report.render(many)


def test_what_is_left_out_is_said(monkeypatch):
    monkeypatch.setattr(page_module, "MOST_TERMS", 10)
    monkeypatch.setattr(page_module, "MOST_SETS", 12)
    monkeypatch.setattr(features_module, "MOST_SETS", 12)
    monkeypatch.setattr(features_module, "MOST_NAMES", 5)
    e = explanation(some_terms(8, 30), 8)
    page = Page(report.render(e))
    terms = unflattened(page.data()["terms"])
    spectrum = e.spectrum.to_dict()
    assert () in terms and len(terms) == 11
    assert min(abs(c) for k, c in terms.items() if k) >= max(
        abs(c) for k, c in spectrum.items() if k not in terms
    ) * (1 - 1e-6)
    # The error stated is the root mean square over all masks.
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    signs = {k: (-1.0) ** bits[:, list(k)].sum(axis=1) for k in spectrum}
    off = sum(c * signs[k] for k, c in spectrum.items() if k not in terms)
    stated = re.search(r"off by ([\d.e-]+)", page.text)
    assert float(stated[1]) == pytest.approx(np.sqrt((off**2).mean()), rel=0.06)
    assert len(unflattened(page.data()["sets"])) == 12
    assert "12 strongest of" in page.text
    assert len(page.words) == 5 and "Of 8 features, the 5" in page.text
    monkeypatch.undo()
    assert "strongest of" not in Page(report.render(e)).text


def test_pictures_follow_the_pages_colours(nasty):
    page = Page(nasty[1])
    figures = [given for tag, given in page.tags if tag == "figure"]
    assert len(figures) == sum(tag == "svg" for tag, _ in page.tags) - 1 == 3
    styles = " ".join(given.get("style", "") for tag, given in page.tags if tag != "span")
    assert "var(--positive)" in styles and "var(--negative)" in styles and "var(--ink)" in styles
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("terms", [{}, {(): 1.0}, {(0,): 1.0}, {(0,): 0.0, (): 1.0}])
def test_little_to_show(terms):
    page = Page(report.render(explanation(terms, 1)))
    assert len(page.words) == 1


def test_the_same_explanation_gives_the_same_page(tmp_path):
    e = explanation(some_terms(40, 60), 40)
    e.to_html(tmp_path / "a.html", model="a model", index="FSII", max_order=2)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page == report.render(e, model="a model", index="FSII", max_order=2)


def test_the_page_stays_small():
    e = explanation(some_terms(400, 700), 400)
    assert len(report.render(e)) < 400_000


def test_values_far_above_their_differences_keep_their_digits():
    e = explanation(
        {(): 1e9, (0,): 0.5}, 1, level=1e9 + 0.25, full=np.float64(1e9 - 0.25), empty=1e9 + 0.75
    )
    page = Page(report.render(e))
    assert unflattened(page.data()["terms"]) == {(): 1e9 + 0.25, (0,): 0.5}
    assert page.data()["full"] == 1e9 - 0.25 and page.data()["places"] == 3
    full, empty = "+999999999.750", "+1000000000.750"
    expected = f"{full} (surrogate {full}) for all features kept, {empty} (surrogate {empty}) with"
    assert expected in page.text


def several_outputs(count, terms=None, n=8):
    e = explanation(terms or some_terms(n, 20), n, NASTY if n == 8 else None)
    wide = np.ones(count)
    return sx.Explanation(
        spectrum=sx.spectrum.stack([e.spectrum] * count), n=n, method="spex", calls=500,
        full=1.5 * wide, empty=-0.25 * wide, faithfulness=np.linspace(0.8, 0.9, count),
        faithfulness_interval=(0.7 * wide, 0.95 * wide), features=e.features, budget=600,
    )  # fmt: skip


@pytest.mark.parametrize("several", [False, True])
def test_a_notebook_gets_a_fragment_that_can_do_nothing(nasty, several):
    fragment = report.panel(several_outputs(12) if several else nasty[0])
    page = Page(fragment)
    assert {tag for tag, _ in page.tags} <= {
        "div", "p", "b", "span", "code", "table", "tr", "th", "td"
    }  # fmt: skip
    for _, given in page.tags:
        assert given.keys() <= {"style", "title", "dir"} and "url(" not in given.get("style", "")
    assert fragment.startswith("<div") and fragment.endswith("</div>")
    for name in ('" onmouseover="window.h…',) if several else (NASTY[1], NASTY[3], "$x$ & y"):
        assert name in page.text
    assert "\ud800" not in page.text and "\u202e" not in page.text


def test_a_notebook_sees_what_matters(nasty):
    e = nasty[0]
    text = " ".join(Page(report.panel(e)).text.split())
    for fact in (
        "spex, sets of at most 4: 8 features, 500 of a budget of 600 calls, seed 7",
        "R² = 0.900 on masks",
        "FBII up to order 4, the 8 strongest of",
    ):  # fmt: skip
        assert fact in text
    for _, value in e.interactions().top(8):
        assert f"{value:+.2f}".replace("-", "−") in text
    spans = [given["title"] for tag, given in Page(report.panel(e)).tags if "title" in given]
    assert len(spans) == 8
    assert notebook.panel(explanation({}, 3)).count("no set has a value") == 1


def test_a_notebook_lists_the_strongest_of_many_features():
    e = explanation({(): 1.0, (899,): 2.0, (3, 500): 1.0}, 900, [f"word{i}" for i in range(900)])
    page = Page(report.panel(e))
    assert sum("title" in given for _, given in page.tags) == notebook.MOST_NAMES
    assert "Of 900 features, the 400 with the strongest" in page.text
    assert "word899" in page.text and "word500" in page.text and "word600" not in page.text
    assert len(report.panel(e)) < 200_000


def test_a_notebook_of_several_outputs():
    page = Page(report.panel(several_outputs(12)))
    assert sum(tag == "tr" for tag, _ in page.tags) == 11
    text = " ".join(page.text.split())
    assert "R² = 0.800 to 0.900 over 12 outputs" in text and "first 10 of 12" in text
    assert "first" not in Page(report.panel(several_outputs(2))).text


def test_ten_lines():
    words = ["never", "fails", "to", "impress", "to", "a" * 100, "x\ny", "bore"]
    terms = {(): 0.5, (2,): 1.0, (4,): -0.75, (0, 1): 0.25, (5,): 0.6, (6, 7): 0.05, (7,): 0.01}
    assert report.summary(explanation(terms, 8, words)).splitlines() == [
        "spex, sets of at most 4: 8 features",
        "calls         500 of a budget of 600, seed 7",
        "faithfulness  R² = 0.900 on masks that its fit had not seen (95 %: 0.850 to 0.940)",
        "value         +1.500 (surrogate −0.060) with all kept, −0.250 (surrogate +1.660) with all "
        "masked",
        "note          No masks were left from which errors could be told.",
        "FBII up to order 4, the 4 strongest of 9 sets",
        "  −2.000  to@2",
        "  +1.500  to@4",
        f"  −1.200  {'a' * 23}…",
        "  +1.000  never + fails",
    ]
    assert report.line(explanation(terms, 8, words)) == (
        "<Explanation by spex: 8 features, 500 calls, R² = 0.900>"
    )
    seeded = explanation(
        terms, 8, words, seed=(1, 2), method="exact", budget=0, faithfulness=np.float32(1)
    )
    lines = report.summary(seeded).splitlines()
    assert lines[:2] == ["exact: 8 features", "calls         500, seed 1 2"]
    assert lines[2] == "faithfulness  R² = 1, exact: every mask was tried"
    assert report.summary(explanation({}, 4)).endswith("FBII up to order 4: no set has a value")
    assert "all sets with a value" in report.summary(explanation({(0,): 1.0}, 2))


def test_lines_of_several_outputs():
    terms = {(): 0.5, (2,): 1.0, (0, 1): 0.25}
    lines = report.summary(several_outputs(12, terms, 3)).splitlines()
    assert lines[:5] == [
        "spex, sets of at most 5: 3 features",
        "calls         500 of a budget of 600, seed 0",
        "faithfulness  R² = 0.800 to 0.900 over 12 outputs",
        "output     R²  all kept  all masked  strongest set of e[output]",
        "     0  0.800    +1.500      −0.250  −2.000 x2",
    ]
    assert len(lines) == 10 and lines[-1] == "… and 7 more outputs"
    few = report.summary(several_outputs(2, terms, 3)).splitlines()
    assert len(few) == 6 and few[-1].split()[0] == "1"
    assert report.line(several_outputs(2, terms, 3)) == (
        "<Explanation by spex: 3 features, 2 outputs, 500 calls, R² = 0.800 to 0.900>"
    )
    nothing = report.summary(several_outputs(2, {(): 1.0}, 3)).splitlines()
    assert nothing[-1].split() == ["1", "0.900", "+1.500", "−0.250"]


def test_ten_lines_say_what_stands():
    lines = report.summary(uncertain.explanation(uncertain.TERMS, 0.3, off=1.0)).splitlines()
    assert len(lines) == 10
    assert lines[3] == (
        "value         +0.597 (surrogate −0.403) with all kept, "
        "+1.205 (surrogate +1.205) with all masked"
    )
    # The gravest of several flags.
    assert lines[4].startswith("note          With all kept f is 0.597 and the surrogate -0.403")
    assert lines[5] == (
        "FBII up to order 4, the 4 strongest; 3 of 10 sets stand (*) at a false discovery rate "
        "of 10 %"
    )
    rows = [re.fullmatch(r"  ([+−]\d\.\d{3}) ± (\d\.\d{3}) ([* ])  (.*)", x) for x in lines[6:]]
    assert [row[4] for row in rows if row[3] == "*"] == ["x3", "x0 + x1", "x2 + x3"]
    assert rows[-1][3] == " "
    ix = uncertain.explanation(uncertain.TERMS, 0.3).interactions()
    low, high = ix.interval()
    for row, value, a, b in zip(rows, ix.values, low, high, strict=False):
        # Value ± error holds the interval, and no more than it must.
        assert float(row[2]) == pytest.approx(max(b - value, value - a), abs=6e-4)


def test_errors_of_thousands_of_features():
    e = uncertain.explanation({(1999,): 1.0, (3, 1500): 0.01}, 0.3, n=2000)  # 2ⁿ is beyond a float
    assert "1 of 4 sets stands (*)" in str(e)


def test_nothing_stands_in_noise():
    e = uncertain.explanation(uncertain.NOISE, 0.3)
    assert "nothing stands: none of 10 sets, at a false discovery rate of 10 %" in str(e)
    assert "*" not in str(e)
    assert "nothing stands, no set has a value" in str(uncertain.explanation({(): 0.5}, 0.3))
    for shown in (report.render(e), report.panel(e)):
        page = Page(shown)
        assert "othing stands: none of 10 sets" in page.text
        assert "What moved the answer" not in page.text
        words = [
            g["style"] for t, g in page.tags if t == "span" and ("data-i" in g or "title" in g)
        ]
        assert len(words) == 20 and all(re.search(r"(--a:|/ )0(\)|$)", style) for style in words)
    page = Page(report.render(e))
    assert "Nothing stands" in page.text.split("20 features", 2)[1]  # above the title
    assert "no feature alone has a value that stands" in page.text


def test_the_page_knows_errors_and_what_stands():
    e = uncertain.explanation(uncertain.TERMS, 0.3, features=NASTY * 2 + NASTY[:4])
    page = Page(report.render(e, fdr=0.05))
    ix, sets = e.interactions(), page.data()["sets"]
    low, high = ix.interval()
    np.testing.assert_allclose(sets["low"], low, rtol=1e-3)
    np.testing.assert_allclose(sets["high"], high, rtol=1e-3)
    standing = [s for (s, _), stands in zip(ix, sets["stands"], strict=True) if stands]
    assert set(standing) == uncertain.STANDING
    text = " ".join(page.text.split())
    for said in (
        "3 of 10 sets stand at a false discovery rate of 5 %.", "only what stands (3 of 10)",
        "95 %, FBII of the function's projection on the 7 sets found",
    ):  # fmt: skip
        assert said in text
    for flag in e.flags():
        assert flag.text in text
    # Of the words, only the one that stands has a colour.
    shown = {g["data-i"]: g["style"] for tag, g in page.tags if "data-i" in g}
    assert {i for i, style in shown.items() if style != "--a:0"} == {"3"}


def test_a_page_without_errors_has_no_marks(nasty):
    page = Page(nasty[1])
    assert page.data()["sets"]["stands"] is None
    assert "only what stands" not in page.text and "What moved the answer" in page.text
    exact = uncertain.explanation(uncertain.TERMS, 0.3, method="exact", evidence=None)
    assert Page(report.render(exact)).data()["sets"]["stands"] is None
    assert "stand" not in str(exact) and "±" not in str(exact)
