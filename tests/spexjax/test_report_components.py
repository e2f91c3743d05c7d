"""Components of a model in the page: every one in the row of its layer, as HTML says it."""

import re

import pytest
from test_report import Page, explanation

from spexjax.report import render

NAMES = [f"L{layer} H{head}" for layer in (0, 1, 3) for head in range(4)] + ["L0 MLP", "L3 MLP"]
TERMS = {(0,): 0.5, (1, 6): 0.4, (2, 9, 13): -0.3, (12,): -0.2}


def grid(page):
    """Row and column of each component, both from 1, and the tint of each."""
    spots, tints = {}, {}
    for _, given in page.tags:
        if "data-i" in given:
            place = re.search(r"--a:([\d.e-]+);grid-area:(\d+)/(\d+)$", given["style"])
            spots[int(given["data-i"])] = (int(place[2]), int(place[3]))
            tints[int(given["data-i"])] = float(place[1])
    return spots, tints


def test_components_stand_in_their_layers():
    e = explanation(TERMS, len(NAMES), features=tuple(NAMES))
    text = render(e, model="a model")
    page = Page(text)
    spots, tints = grid(page)
    assert page.words == dict(enumerate(NAMES))
    for i, name in enumerate(NAMES):
        layer, kind = re.fullmatch(r"L(\d) (.+)", name).groups()
        row = {"3": 1, "1": 2, "0": 3}[layer]  # the last on top
        assert spots[i] == (row, 6 if kind == "MLP" else 2 + int(kind[1]))
    assert max(tints, key=tints.get) == 0 and tints[0] == 1
    assert "for the whole model" in page.text and "The components" in page.text
    assert "with all 14 components masked" in page.text
    assert 'aria-label="Components by layer"' in text and "Pairs as a network" not in text
    # In the order of reading, so that the arrow keys go through rows.
    places = [spots[i] for i in map(int, re.findall(r"data-i=(\d+)", text))]
    assert places == sorted(places)


def test_wide_grids_name_some_columns():
    names = tuple(f"L{i // 24} H{i % 24}" for i in range(48))
    text = render(explanation({(0,): 1.0, (3, 30): 0.5}, 48, features=names))
    columns = re.findall(r"<span class=column [^>]*>([^<]*)<", text)
    assert columns == [f"H{k}" for k in range(0, 24, 2)]
    assert 'aria-label="Components by layer"' not in text  # letters too small to be read


@pytest.mark.parametrize("names", [("L0 H1", "good"), ("L0 H1", "L0 h2"), ("0", "1")])
def test_other_features_are_listed(names):
    text = render(explanation({(0, 1): 1.0}, 2, features=names))
    assert "The features" in text and "class=layer" not in text and "--columns" not in text


def test_a_text_is_shown_as_a_text():
    text = render(explanation({(0, 1): 1.0}, 2, features=("L1", "L2")), "L1 L2", [(0, 2), (3, 5)])
    assert "The text" in text and "class=layer" not in text


def test_a_thousand_neurons_have_their_places():
    names = tuple(f"L{i % 2} N{7 * i}" for i in range(1000))
    spots, _ = grid(Page(render(explanation({(0, 1): 1.0}, 1000, features=names))))
    assert len(set(spots.values())) == 1000
    assert {row for row, _ in spots.values()} == {1, 2}
