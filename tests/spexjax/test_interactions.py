"""The container: order, look-up by position, labels, text."""

import sys

import numpy as np
import pytest

from spexjax.indices.interaction_values import Interactions, from_members

WORDS = ("never", "fails", "to", "impress", "or", "to", "bore")


@pytest.fixture
def ix():
    groups = [
        (np.zeros((1, 0), int), np.array([0.5])),
        (np.array([[1], [2], [5]]), np.array([-3.0, 1.0, -1.0])),
        (np.array([[0, 6], [2, 5]]), np.array([2.0, 0.25])),
    ]
    return from_members(groups, 7, "FSII", 2, WORDS)


def test_sorted_by_magnitude_ties_in_the_order_given(ix):
    assert list(ix) == [
        ((1,), -3.0), ((0, 6), 2.0), ((2,), 1.0), ((5,), -1.0), ((), 0.5), ((2, 5), 0.25),
    ]  # fmt: skip
    assert len(ix) == 6 and ix.to_dict() == dict(list(ix))
    assert ix.values.dtype == np.float32 and ix.supports.dtype == np.uint32


def test_lookup(ix):
    assert ix[(0, 6)] == ix[(6, 0)] == 2.0
    assert ix[1] == ix[(1,)] == ix[np.int64(1)] == -3.0
    assert ix[()] == 0.5 and ix[(3, 4)] == 0 and ix[4] == 0
    for bad in [(7,), (-1, 2), 7, ("to",), (0, 1, 2)]:
        with pytest.raises(KeyError, match=r"positions must be|at most 2"):
            ix[bad]


def test_equal_words_stay_two(ix):
    assert ix[2] == 1 and ix[5] == -1
    assert ix.labels((2, 5)) == ("to", "to")
    assert "to@2 + to@5" in repr(ix) and "never + bore" in repr(ix)


def test_top_and_order(ix):
    assert ix.top(2).to_dict() == {(1,): -3.0, (0, 6): 2.0}
    assert () not in ix.top(100).to_dict() and len(ix.top(100)) == 5
    assert list(ix.order(2)) == [((0, 6), 2.0), ((2, 5), 0.25)]
    assert list(ix.order(0)) == [((), 0.5)] and len(ix.order(3)) == 0
    assert ix.top(2).features == WORDS


def test_repr(ix):
    lines = repr(ix).splitlines()
    assert lines[0] == "FSII up to order 2, 6 sets of 7 features"
    assert lines[2].split() == ["-3", "1", "fails"]
    assert lines[6].split() == ["+0.5", "0", "(empty", "set)"]
    assert "4 more" in ix.table(2)
    assert "0 sets" in repr(ix.order(3))


def test_labels_default_to_positions():
    groups = [(np.array([[40, 69]]), np.array([1.0]))]
    ix = from_members(groups, 70, "SII", 2)
    assert ix.supports.shape == (1, 4) and ix.labels((40, 69)) == ("40", "69")
    with pytest.raises(ValueError, match="n = 70 labels, got 7"):
        Interactions(ix.supports, ix.values, 70, "SII", 2, WORDS)


def test_iteration_over_many_rows(monkeypatch):

    monkeypatch.setattr(interaction_values, "_ROWS", 4)
    members = np.array([[i, i + 1] for i in range(11)])
    ix = from_members([(members, np.arange(11, 0, -1.0))], 12, "SII", 2)
    assert list(ix) == [((i, i + 1), 11.0 - i) for i in range(11)]


def test_dataframe(ix):
    pytest.importorskip("pandas")
    table = ix.to_dataframe()
    assert list(table.columns) == ["members", "labels", "order", "value"] and len(table) == 6
    assert table.members[1] == (0, 6) and table.labels[1] == ("never", "bore")
    assert table.order.tolist() == [1, 2, 1, 1, 0, 2] and table.value[0] == -3


def test_dataframe_without_pandas(ix, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        ix.to_dataframe()
