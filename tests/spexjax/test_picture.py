"""Pictures of pictures: the page's image, and matplotlib's."""

import matplotlib
import numpy as np
import pytest

import spexjax as sx
from spexjax.report import Picture, render
from spexjax.report.picture import drawn, outlines
from spexjax.spectra.spectrum import Spectrum

matplotlib.use("Agg")
IMAGE = np.random.default_rng(0).integers(0, 256, (12, 18, 3), dtype=np.uint8)
GRID = (np.arange(12) // 4)[:, None] * 3 + np.arange(18) // 6


@pytest.fixture(scope="module")
def explained():
    return sx.explain(
        lambda m: m[:, 1] * 1.0 + 2 * m[:, 0] * m[:, 4] - m[:, 3] * m[:, 8],
        9, budget=512, method="exact",
    )  # fmt: skip


def test_outlines_enclose_their_cells():
    """The even-odd rule on a path gives back the cell, also one with a hole or in two parts."""
    from matplotlib.path import Path

    labels = GRID.copy()
    labels[5, 8], labels[0, 17] = 0, 0
    ys, xs = np.mgrid[:12, :18]
    middles = np.stack([xs.ravel() + 0.5, ys.ravel() + 0.5], axis=1)
    for i, path in outlines(labels).items():
        inside = np.zeros(len(middles), bool)
        for loop in path.split("Z")[:-1]:
            corners = [tuple(map(int, point.split())) for point in loop[1:].split("L")]
            inside ^= Path([*corners, corners[0]]).contains_points(middles)
        np.testing.assert_array_equal(inside.reshape(12, 18), labels == i)
    assert outlines(GRID)[0] == "M0 0L6 0L6 4L0 4Z"


def test_the_page_shows_the_image(explained):
    page = render(explained, model="<b>my</b> model", picture=Picture(IMAGE, 255 - IMAGE, GRID))
    assert page.count("<clipPath id=cell-") == 9 and page.count('class="w ') == 9
    assert page.count("data:image/png") == 2 and "<b>my</b>" not in page
    assert "The image" in page and "with all 9 cells" in page
    assert "img-src data:" not in render(explained)


def test_names_cannot_leave_their_attribute():
    text = drawn(Picture(IMAGE, IMAGE, GRID * 0), np.ones(1), ['"><script>'])
    assert "<script>" not in text and "&quot;&gt;" in text


def test_features_beyond_the_cells_are_listed(explained):
    page = render(explained, picture=Picture(IMAGE, IMAGE, np.minimum(GRID, 6)))
    assert page.count("<clipPath id=cell-") == 7 and page.count('<span class="w ') == 2
    assert "cells and words" in page


def test_large_images_are_scaled_down(explained):
    big = np.zeros((900, 1200, 3), np.uint8)
    cells = np.arange(900)[:, None] * 9 // 900 + np.zeros((1, 1200), int)
    text = drawn(Picture(big, big, cells), np.ones(9), list("abcdefghi"))
    assert 'viewBox="0 0 768 576"' in text and "data:image/jpeg" in text
    assert len(text) < 100_000


@pytest.mark.parametrize(
    ("picture", "what"),
    [
        (Picture(IMAGE, IMAGE[:3], GRID), "image and replaced"),
        (Picture(IMAGE / 255, IMAGE / 255, GRID), "uint8"),
        (Picture(IMAGE, IMAGE, GRID[:2]), "cells must be integers"),
        (Picture(IMAGE, IMAGE, GRID + 1), "cells must be 0 to 8"),
    ],
)
def test_pictures_that_do_not_fit(explained, picture, what):
    with pytest.raises(ValueError, match=what):
        render(explained, picture=picture)


def test_a_page_shows_one_thing(explained):
    with pytest.raises(ValueError, match="not both"):
        render(explained, "a b", [(0, 1)] * 9, picture=Picture(IMAGE, IMAGE, GRID))


def test_matplotlib_draws_the_same(explained):
    import matplotlib.pyplot as plt

    ax = sx.plot.image(explained, IMAGE, (3, 3))
    said = [t.get_text() for t in ax.texts]
    assert {"1", "2"} <= set(said) and any("+2" in t and "x0 + x4" in t for t in said)
    assert len(ax.images) == 2
    tints = np.asarray(ax.images[1].get_array())
    assert tints.shape == (12, 18, 4) and tints[0, 7, 3] > 0 and tints[0, 17, 3] == 0
    plt.close(ax.figure)
    only = sx.plot.image(explained.interactions("Moebius"), IMAGE[..., 0], GRID, top=0)
    assert not only.texts
    plt.close(only.figure)
    with pytest.raises(ValueError, match="cells must be of the image's shape"):
        sx.plot.image(explained, IMAGE, (4, 4))


def test_no_set_is_no_fault():
    import matplotlib.pyplot as plt

    alone = sx.explain(lambda m: m[:, 0] * 1.0, 9, budget=512, method="exact")
    assert isinstance(alone.spectrum, Spectrum)
    plt.close(sx.plot.image(alone, IMAGE, GRID).figure)
