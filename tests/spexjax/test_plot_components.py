"""The grid of layers: every component in its place, an arc for every set."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import PathPatch, Rectangle
from test_plot import explanation, texts

from spexjax import plot
from spexjax.plot.components import places

NAMES = [f"L{layer} H{head}" for layer in range(3) for head in range(4)] + ["L0 MLP", "L2 MLP"]


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_every_component_has_its_place():
    spots, columns = places([*NAMES, "L1"])
    assert columns == ["H0", "H1", "H2", "H3", "MLP", "layer"]
    assert spots[:5] == [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1)]
    assert spots[-3:] == [(4, 0), (4, 2), (5, 1)]
    many = [f"L{i % 2} N{7 * i}" for i in range(200)]
    spots, columns = places(many)
    assert len(columns) == 100 and len(set(spots)) == 200
    with pytest.raises(ValueError, match="'good' is no component"):
        places(["L0 H1", "good"])


def test_sets_are_arcs_through_their_members():
    e = explanation(len(NAMES), features=NAMES)
    ax = plot.components(e, index="Moebius", top=6)
    squares = [p for p in ax.patches if isinstance(p, Rectangle)]
    arcs = [p for p in ax.patches if isinstance(p, PathPatch)]
    assert len(squares) == len(NAMES) and len(arcs) == 6
    spots, _ = places(NAMES)
    strongest = next(s for s, _ in e.interactions("Moebius") if len(s) > 1)
    ends = {tuple(np.round(v).astype(int)) for v in arcs[-1].get_path().vertices[::2]}
    assert ends == {spots[i] for i in strongest}
    assert {"layer 0", "layer 2", "H3", "MLP"} <= set(texts(ax))


def test_without_sets():
    e = explanation(4, sets=0, features=NAMES[:4])
    assert any("no set" in t for t in texts(plot.components(e)))
    with pytest.raises(ValueError, match="no component"):
        plot.components(explanation(4, sets=4))
