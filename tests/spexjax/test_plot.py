"""Pictures show what the interactions say, at any size, whatever the features are called."""

import itertools
import subprocess
import sys
from dataclasses import replace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import uncertain

import spexjax as sx
from spexjax import plot
from spexjax.plot import lines, style, terms

PICTURES = [plot.text, plot.bar, plot.network, plot.upset]


def explanation(n=8, sets=12, seed=0, features=None, largest=4):
    """An explanation with every single feature and random sets of two or more."""
    rng = np.random.default_rng(seed)
    spectrum = {(): 0.3} | {(i,): 0.1 * float(rng.normal()) for i in range(n)}
    while len(spectrum) < n + 1 + sets and n > 1:
        size = int(rng.integers(2, min(largest, n) + 1))
        members = tuple(sorted(rng.choice(n, size, replace=False).tolist()))
        spectrum[members] = 0.1 * float(rng.normal())
    return sx.Explanation(
        spectrum=sx.Spectrum.from_dict(spectrum, n), n=n, method="spex", calls=500,
        full=np.float32(1.5), empty=np.float32(-0.25), faithfulness=np.float32(0.9),
        faithfulness_interval=(np.float32(0.85), np.float32(0.94)),
        features=tuple(features or (f"x{i}" for i in range(n))), budget=600, seed=7, max_order=4,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def texts(ax):
    """All text in a figure."""
    drawn = [t.get_text() for t in ax.figure.findobj(matplotlib.text.Text)]
    return [t for t in drawn if t]


def signed(value):
    return f"{value:+.3f}".replace("-", "−")


@pytest.mark.parametrize("picture", PICTURES)
def test_draws_into_the_axes_given_or_into_new_ones(picture):
    e = explanation()
    new = picture(e)
    assert new.figure.number in plt.get_fignums()
    _, ax = plt.subplots()
    open_figures = plt.get_fignums()
    assert picture(e, ax) is ax
    assert plt.get_fignums() == open_figures
    ax.figure.canvas.draw()


@pytest.mark.parametrize("picture", PICTURES)
def test_show_shows(picture, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    picture(explanation())
    assert not shown
    picture(explanation(), show=True)
    assert shown == [True]


@pytest.mark.parametrize("picture", PICTURES)
def test_one_output_is_needed(picture):
    e = explanation()
    many = sx.Explanation(
        spectrum=sx.spectrum.stack([e.spectrum, e.spectrum]), n=8, method="spex", calls=9,
        full=np.ones(2), empty=np.ones(2), faithfulness=np.ones(2),
        faithfulness_interval=(np.ones(2), np.ones(2)), features=e.features,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"has 2: pass e\[i\]"):
        picture(many)
    picture(many[1])


@pytest.mark.parametrize("picture", PICTURES)
def test_interactions_are_drawn_as_they_are(picture):
    e = explanation()
    drawn = [texts(picture(shown)) for shown in (e.interactions("FSII", 2), e)]
    assert drawn[0] == texts(picture(e, index="FSII", max_order=2)) != drawn[1]


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("spectrum", [{}, {(): 2.0}, {(0,): 1.0}])
def test_little_to_show(picture, spectrum):
    e = explanation(n=1, sets=0)
    e = replace(e, spectrum=sx.Spectrum.from_dict(spectrum, 1), level=None)
    picture(e).figure.canvas.draw()


@pytest.mark.parametrize("picture", PICTURES)
def test_any_name_is_shown_as_it_is(picture):
    names = ["$x^2$", "a_b", "\\frac{1", "twice", "twice", "line\nbreak", "\x1b[31mred", "{}"]
    ax = picture(explanation(features=names))
    ax.figure.canvas.draw()
    joined = "\n".join(texts(ax))
    assert "$x^2$" in joined and "line break" in joined
    assert "twice@3" in joined and "twice@4" in joined
    assert "\x1b" not in joined


@pytest.mark.parametrize("index", ["FBII", "FSII", "Moebius"])
def test_bars_are_the_strongest_sets(index):
    e = explanation()
    ax = plot.bar(e, index=index, max_order=3, top=5)
    expected = list(e.interactions(index, 3).top(5))
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([v for _, v in expected])
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [" + ".join(f"x{i}" for i in s) for s, _ in expected]
    numbers = [t for t in texts(ax) if t[0] in "+−"]
    assert numbers == [signed(v) for _, v in expected]
    # The strongest is at the top.
    low, high = ax.get_ylim()
    assert low > high


def test_a_network_has_a_chord_for_each_pair_and_a_dot_for_each_feature_in_one():
    e = explanation(n=60, sets=40, largest=3)
    ax = plot.network(e, top=9)
    pairs = list(e.interactions().order(2).top(9))
    chords = [p for p in ax.patches if isinstance(p, matplotlib.patches.PathPatch)]
    assert len(chords) == 9
    widths = sorted((p.get_linewidth() for p in chords), reverse=True)
    shares = [abs(v) / abs(pairs[0][1]) for _, v in pairs]
    np.testing.assert_allclose(widths, [0.7 + 4.8 * s for s in shares], rtol=1e-5)
    features = sorted({i for s, _ in pairs for i in s})
    labels = [t.get_text() for t in ax.texts]
    assert labels == [f"x{i}" for i in features]
    # Each chord joins the dots of its pair.
    dots = {i: c.get_offsets()[0] for i, c in zip(features, ax.collections, strict=True)}
    ends = {tuple(np.round(p.get_path().vertices[[0, -1]].ravel(), 5)) for p in chords}
    assert ends == {tuple(np.round(np.ravel([dots[i], dots[j]]), 5)) for (i, j), _ in pairs}


def test_few_features_are_all_in_the_network():
    assert len(plot.network(explanation(n=6, sets=12), top=4).texts) == 6


def test_upset_has_a_bar_and_dots_for_each_set():
    e = explanation(n=20, sets=15)
    bars, dots = plot.upset(e, top=7).child_axes
    sets = [row for row in e.interactions() if len(row[0]) > 1][:7]
    assert [p.get_height() for p in bars.patches] == pytest.approx([v for _, v in sets])
    members = sorted({i for s, _ in sets for i in s})
    assert [t.get_text() for t in dots.get_yticklabels()] == [f"x{i}" for i in members]
    filled = dots.collections[1:]  # after the grid
    for x, ((s, _), column) in enumerate(zip(sets, filled, strict=True)):
        at = {(x, members.index(i)) for i in s}
        assert {tuple(p) for p in column.get_offsets().astype(int).tolist()} == at


@pytest.mark.parametrize("n", [8, 400])
def test_text_shows_every_word_and_names_the_brackets(n):
    words = [f"word{i}" for i in range(n)]
    e = explanation(n=n, sets=30, features=words)
    ax = plot.text(e, top=6)
    drawn = texts(ax)
    assert set(words) <= set(drawn)
    sets = [row for row in e.interactions() if len(row[0]) > 1][:6]
    for members, value in sets:
        assert signed(value) in drawn
        assert any(t.startswith(words[members[0]]) and " + " in t for t in drawn)
    # Letters can be read, and all lies within the figure.
    figure = ax.figure
    figure.canvas.draw()
    box = figure.bbox.padded(1)
    for t in ax.texts:
        assert t.get_fontsize() >= 5
        extent = t.get_window_extent()
        assert box.contains(extent.x0, extent.y0) and box.contains(extent.x1, extent.y1)


def test_text_shrinks_into_the_axes_given():
    words = [f"word{i}" for i in range(120)]
    _, ax = plt.subplots(figsize=(5, 4))
    plot.text(explanation(n=120, sets=30, features=words), ax, top=4)
    ax.figure.canvas.draw()
    frame = ax.get_window_extent().padded(2)
    for t in ax.texts:
        extent = t.get_window_extent()
        assert frame.contains(extent.x0, extent.y0) and frame.contains(extent.x1, extent.y1)


def test_the_colour_of_a_word_is_its_own_value():
    e = explanation(n=3, sets=0, features=["up", "down", "none"])
    e = replace(e, spectrum=sx.Spectrum.from_dict({(0,): -1.0, (1,): 0.5}, 3), level=None)
    boxes = [p for p in plot.text(e).patches if hasattr(p, "get_boxstyle")]
    up, down = (p.get_facecolor() for p in boxes)  # the word without a value has none
    assert up[2] > up[0] and down[0] > down[2]  # blue, orange
    assert (up[3], down[3]) == pytest.approx((1.0, 0.5))


def unit_width(word):
    """A font whose letters are all half as wide as high."""
    return 0.5 * len(word)


@pytest.mark.parametrize("width", [60.0, 200.0, 580.0])
def test_lines_hold_all_words_in_order_without_overlap(width):
    rng = np.random.default_rng(0)
    words = ["x" * int(k) for k in rng.integers(1, 12, 150)] + ["many words " * 20, "w" * 300]
    page = lines.set_lines(words, [], 10.0, width, unit_width)
    assert [p.feature for p in page.pieces] == sorted(p.feature for p in page.pieces)
    assert {p.feature for p in page.pieces} == set(range(len(words)))
    for a, b in itertools.pairwise(page.pieces):
        assert b.line == a.line + 1 and b.x == 0 if b.line != a.line else b.x >= a.x + a.width
    assert page.used <= width + 1e-9
    spoken = " ".join(p.text for p in page.pieces if p.feature == 150)
    assert spoken.split() == words[150].split()


@pytest.mark.parametrize("n", [8, 400])
def test_brackets_reach_every_member_and_do_not_overlap(n):
    e = explanation(n=n, sets=40, seed=3)
    sets = [row for row in e.interactions() if len(row[0]) > 1][:25]
    page = lines.set_lines([f"word{i}" for i in range(n)], sets, 10.0, 300.0, unit_width)
    brackets = lines.brackets(page, [s for s, _ in sets])
    where = {p.feature: p for p in page.pieces}
    for number, (members, _) in enumerate(sets):
        legs = [(b.line, x) for b in brackets if b.number == number for x in b.legs]
        assert len(legs) == len(members)
        for (line, x), i in zip(sorted(legs), members, strict=True):
            assert line == where[i].line and where[i].x < x < where[i].x + where[i].width
    for a, b in itertools.combinations(brackets, 2):
        if (a.line, a.level) == (b.line, b.level):
            assert a.end < b.start or b.end < a.start
    assert all(b.level < page.levels[b.line] for b in brackets)
    # Each bracket keeps above its words and below the line before.
    for b in brackets:
        y = page.bracket_height(b.line, b.level)
        assert y < page.baselines[b.line] - 10.0
        assert b.line == 0 or y > page.baselines[b.line - 1]


def test_names():
    assert terms.labels(["a", "b", "a"]) == ["a@0", "b", "a@2"]
    assert terms.labels(["long" * 9 + "1", "long" * 9 + "2"], 9) == ["longlong…@0", "longlong…@1"]
    assert terms.printable("a\tb\n c\x00\u202ed\ud800") == "a b c\ufffd\ufffdd\ufffd"
    assert terms.printable("👩\u200d🔬") == "👩\u200d🔬"
    assert terms.joined((0, 2), ["a", "b", "c"]) == "a + c"


@pytest.mark.parametrize(
    ("largest", "shown"),
    [(2.15432, "+2.154"), (-0.5, "−0.500"), (0.01234, "+0.0123"), (0.000123456, "+0.000123"),
     (1234.5, "+1234"), (56.789, "+56.79"), (3e9, "+3.00e+09"), (2e-7, "+2.00e−07"),
     (0.0, "+0.000")],
)  # fmt: skip
def test_numbers(largest, shown):
    assert terms.signed(largest, terms.decimals([largest, 0.1 * largest])) == shown


def test_numbers_that_are_none():
    assert terms.decimals([float("nan"), 2.0]) == 3
    assert terms.signed(float("nan"), 3) == "unknown"
    assert terms.signed(float("-inf"), 3) == "−∞"


def test_importing_does_not_import_matplotlib():
    code = (
        "import sys, spexjax.plot, spexjax.report; "
        "assert not {'matplotlib', 'pandas', 'shap', 'shapiq'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def doubtful(shape):
    return matplotlib.colors.to_hex(shape.get_facecolor()) == style.RULE


@pytest.mark.parametrize("index", ["FBII", "SV"])
def test_bars_have_whiskers_and_are_grey_where_they_do_not_stand(index):
    e = uncertain.explanation(uncertain.TERMS, 0.3)
    ix = e.interactions(index).top(7)
    ax = plot.bar(e, index=index, top=7)
    assert [not doubtful(bar) for bar in ax.patches] == ix.stands().tolist()
    assert any(map(doubtful, ax.patches)) and not all(map(doubtful, ax.patches))
    spans = [x for x in (line.get_xdata() for line in ax.lines[:-1]) if len(x) == 2]
    bound = 2 * abs(ix.values[0])
    np.testing.assert_allclose(spans, np.clip(np.transpose(ix.interval()), -bound, bound))
    # What is cut has an arrow.
    arrows = [line for line in ax.lines if line.get_marker() in "<>"]
    assert bool(arrows) == (index == "SV")
    left, right = ax.get_xlim()
    assert left <= np.min(spans) and np.max(spans) < right
    assert "grey: does not stand (FDR 10 %)" in ax.get_title("left")


def test_pairs_that_do_not_stand_are_dashed():
    e = uncertain.explanation(uncertain.TERMS, 0.3)
    ax = plot.network(e)
    chords = [p for p in ax.patches if isinstance(p, matplotlib.patches.PathPatch)]
    pairs = e.interactions().order(2)
    drawn = [p.get_linestyle() in ("-", "solid") for p in reversed(chords)]
    assert drawn == pairs.stands().tolist() and sum(drawn) == 2
    sure = e.interactions().order(1)
    names = [t.get_text() for t in ax.texts]
    coloured = [n for n, dot in zip(names, ax.collections, strict=True)
                if matplotlib.colors.to_hex(dot.get_facecolor()[0]) != style.RULE]  # fmt: skip
    assert coloured == [f"x{i}" for (i,), _ in sure[sure.stands()]] == ["x3"]


def test_upset_has_whiskers():
    e = uncertain.explanation(uncertain.TERMS, 0.3)
    bars, _ = plot.upset(e).child_axes
    sets = terms.several(e.interactions())
    assert [not doubtful(bar) for bar in bars.patches] == sets.stands().tolist()
    spans = [y for y in (line.get_ydata() for line in bars.lines) if len(y) == 2]
    np.testing.assert_allclose(spans[1:], np.transpose(sets.interval()))  # after the axis


def test_text_has_brackets_only_for_what_stands_unless_told_otherwise():
    e = uncertain.explanation(uncertain.TERMS, 0.3)
    keys = {frozenset(t.split(" + ")) for t in texts(plot.text(e)) if " + " in t}
    assert keys == {frozenset({"x0", "x1"}), frozenset({"x2", "x3"})}
    assert len([p for p in plot.text(e).patches if hasattr(p, "get_boxstyle")]) == 1
    more = [t for t in texts(plot.text(e, doubtful=True)) if " + " in t]
    assert len(more) == 4
    drawn = texts(plot.text(uncertain.explanation(uncertain.NOISE, 0.3)))
    assert "nothing stands at a false discovery rate of 10 %" in drawn
    assert not [t for t in drawn if " + " in t]


@pytest.mark.parametrize("picture", PICTURES)
def test_errors_of_nothing(picture):
    """No evidence, all of it exact, or none of what is drawn has a value."""
    for e in (
        uncertain.explanation(uncertain.TERMS, 0.3, evidence=None),
        uncertain.explanation(uncertain.TERMS, 0.3, method="exact"),
        uncertain.explanation({(): 1.0}, 0.3),
    ):
        ax = picture(e)
        ax.figure.canvas.draw()
        assert not [t for t in texts(ax) if "stand" in t or "whisker" in t]
    with pytest.raises(ValueError, match="fdr"):
        picture(uncertain.explanation(uncertain.TERMS, 0.3), fdr=1.0)
