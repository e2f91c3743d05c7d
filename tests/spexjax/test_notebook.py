"""What a notebook shows of interactions, spectra and designs; and where no HTML can be."""

import re

import jax
import numpy as np
import pytest
import uncertain

import spexjax as sx
from spexjax import fragments


def cells(shown):
    """The rows of a table as text."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", shown, re.S)
    strip = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]
    return [[re.sub(r"<[^>]*>", "", cell) for cell in row] for row in strip]


def test_interactions_have_their_errors():
    ix = uncertain.explanation(uncertain.TERMS, 0.3).interactions("BII", 2)
    head, *rows = cells(ix._repr_html_())
    assert head == ["BII", "95 %", "stands", "order", "set"]
    low, high = ix.interval()
    for row, (members, value), a, b in zip(rows, ix, low, high, strict=True):
        assert float(row[0]) == pytest.approx(value, rel=1e-3)
        assert [float(end) for end in row[1].split(" … ")] == pytest.approx([a, b], rel=1e-3)
        assert row[4] == " + ".join(ix.labels(members))
    assert [row[2] == "*" for row in rows] == ix.stands().tolist()


def test_labels_cannot_write_html_and_equal_ones_are_told_apart():
    ix = sx.indices.interactions(
        sx.Spectrum.from_dict({(0,): 1.0, (1, 2): 0.5}, 3), "Fourier", 2, ("<b>", "x", "x")
    )
    shown = ix._repr_html_()
    assert "<b>" not in shown and "&lt;b&gt;" in shown and "x@1 + x@2" in shown
    assert cells(shown)[0] == ["Fourier", "order", "set"]  # no errors, no columns of them
    assert "\u202e" not in fragments.facts("\u202e", [("a", "\u202e")])


def test_many_interactions_are_cut():
    rng = np.random.default_rng(0)
    terms = {(i,): float(v) for i, v in enumerate(rng.normal(size=150))}
    ix = sx.indices.interactions(sx.Spectrum.from_dict(terms, 150), "Fourier", 1)
    shown = ix._repr_html_()
    assert len(cells(shown)) == 101 and "50 weaker sets" in shown


def test_a_spectrum_says_where_its_variance_is():
    spectrum = sx.Spectrum.from_dict({(): 2.0, (0,): 1.0, (3,): 1.0, (1, 2): -2.0}, 5)
    shown = spectrum._repr_html_()
    assert cells(shown)[1:] == [["1", "2", "33.3%"], ["2", "1", "66.7%"]]
    assert "mean 2, variance 6" in shown
    seen = []
    jax.jit(lambda s: seen.append(s._repr_html_()) or s.coefficients)(spectrum)
    assert seen == [None]  # and the text is shown in its place
    empty = sx.Spectrum.from_dict({}, 3)
    assert "0 terms" in empty._repr_html_()


def test_a_design_says_what_its_masks_are_for():
    design = sx.design(40, budget=1500, method="spex", max_order=2)
    rows = dict(cells(design._repr_html_()))
    assert rows["masks"] == "1,500 of a budget of 1,500"
    assert int(rows["coded"].replace(",", "")) == len(design.coded_rows)
    assert int(rows["held out"]) == design.held_out.sum()
    assert rows["coded design"].startswith("3 groups")


def test_where_no_html_can_be_an_explanation_is_its_ten_lines():
    class Printer:
        shown = ""

        def text(self, text):
            self.shown += text

    e, printer = uncertain.explanation(uncertain.TERMS, 0.3), Printer()
    e._repr_pretty_(printer, False)
    assert printer.shown == str(e)
