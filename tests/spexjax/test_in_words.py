"""Nothing is said in words that the numbers do not hold: sentences are read and checked again."""

import math
import re

import numpy as np
import pytest

import spexjax as sx
from spexjax.report.in_words import sentences

NAMES = ["ash", "birch", "cedar", "date"]
MASKS = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(bool)


def number(text):
    return float(text.replace("−", "-"))


def quoted(text):
    return [NAMES.index(name) for name in re.findall(r"“(\w+)”", text)]


def game(rng):
    """A random function of four inputs, of few terms or of all, with ties and zeros among them."""
    table = rng.normal(size=16) * (rng.random(16) < rng.choice([0.2, 0.5, 1.0]))
    return table.cumsum() if rng.random() < 0.3 else np.round(table, 1)


@pytest.mark.parametrize("seed", range(60))
def test_exact_sentences_are_true_of_the_function(seed):
    table = game(np.random.default_rng(seed))

    def f(masks):
        return table[np.asarray(masks) @ (1 << np.arange(4))]

    def alone(*members):
        return table[sum(1 << i for i in members)] - table[0]

    moved, moving, sure = sentences(sx.explain(f, 4, budget=16, features=NAMES))
    change = table[15] - table[0]
    if "raise it by" in moved:
        assert change > 0 and number(moved.split()[-1][:-1]) == pytest.approx(change, rel=1e-2)
    elif "lower it by" in moved:
        assert change < 0 and number(moved.split()[-1][:-1]) == pytest.approx(-change, rel=1e-2)
    else:
        assert "the same with all masked" in moved and change == 0
    assert sure == "All 16 masks were asked for, so these numbers are exact."
    if moving.startswith("Nothing"):
        assert np.ptp(table) == 0
        return
    singles, _, pair = moving.partition("; ")
    if "together" in singles:
        singles, pair = "", singles
    for part in re.findall(r"(“.*?)(raise|raises|lower|lowers) it", singles):
        for name, value in re.findall(r"“(\w+)” \((.*?)\)", part[0]):
            effect = alone(NAMES.index(name))
            assert number(value) == pytest.approx(effect, abs=5e-3 * abs(effect) + 1e-6)
            assert (effect > 0) == part[1].startswith("raise")
    if not pair or ("beyond their parts" in pair and "instead" not in pair):
        return
    i, j = quoted(pair)
    separate, both = alone(i) + alone(j), alone(i, j)
    assert alone(i) * alone(j) > 0
    if "more than their sum" in pair:
        assert abs(both) > abs(separate) and both * separate > 0
    elif "instead" in pair:
        assert both * separate < 0 and ("raise" in pair) == (both > 0)
    elif "less than their sum, if at all" in pair:
        assert both == pytest.approx(0, abs=1e-6)
    else:
        assert abs(both) < abs(separate) and both * separate > 0
    if "instead" not in pair:
        assert ("raise" in pair) == (separate > 0)


@pytest.fixture(scope="module")
def sampled():
    weights = np.array([2.0, -1.5, 0.004, 0.0])

    def f(masks):
        kept = np.asarray(masks, float)
        noise = np.sin(1e3 * (kept @ np.arange(1.0, 21)))
        return kept[:, :4] @ weights + 0.05 * noise

    names = NAMES + [f"x{i}" for i in range(16)]
    return sx.explain(f, 20, budget=200, features=names, method="linear")


def test_what_is_named_of_a_sample_stands_on_one_side_of_0(sampled):
    moving = sentences(sampled)[1]
    ix = sampled.interactions()
    stands = ix.stands(0.1)
    low, high = ix.interval()
    found = re.findall(r"“(\w+)” \((.*?)\)", moving)
    assert {name for name, _ in found} >= {"ash", "birch"}
    for name, value in found:
        row = [members for members, _ in ix].index((NAMES.index(name),))
        assert number(value) == pytest.approx(ix.values[row], rel=5e-3)
        assert stands[row] and low[row] * high[row] > 0
    assert "cedar" not in moving and "date" not in moving


def test_a_stricter_rate_names_no_more(sampled):
    strict = re.findall(r"“(\w+)”", sentences(sampled, fdr=1e-12)[1])
    assert set(strict) <= set(re.findall(r"“(\w+)”", sentences(sampled)[1]))


def test_noise_has_no_words():
    def f(masks):
        return np.sin(1e4 * (np.asarray(masks, float) @ np.sqrt(np.arange(2.0, 22))))

    e = sx.explain(f, 20, budget=150, method="linear")
    _, moving, sure = sentences(e)
    assert moving == "Too little of the answer is explained to say what moved it."
    assert "%" not in sure or "half of it or more may come from elsewhere" in sure


def test_the_share_that_is_explained_is_never_said_too_high(sampled):
    sure = sentences(sampled)[2]
    said = [float(share) / 100 for share in re.findall(r"([\d.]+) %", sure)]
    said.remove(0.95)
    for share, truth in zip(
        said, [sampled.faithfulness, *sampled.faithfulness_interval], strict=True
    ):
        assert share == pytest.approx(float(truth), abs=1e-3) and share < 1
    assert sampled.summary() == " ".join(sentences(sampled))


def test_several_outputs_have_a_summary_each():
    e = sx.explain(lambda m: np.stack([m[:, 0], 1.0 - m[:, 1]], axis=1) * 1.0, 2, budget=4)
    with pytest.raises(ValueError, match="one output"):
        e.summary()
    assert "“x0” (+1.000) raises it" in e[0].summary()
    assert "“x1” (−1.000) lowers it" in e[1].summary()


def test_the_page_begins_with_them(sampled, tmp_path):
    sampled.to_html(tmp_path / "e.html")
    page = (tmp_path / "e.html").read_text()
    assert sentences(sampled)[1] in page
    assert not math.isnan(float(sampled.faithfulness))
