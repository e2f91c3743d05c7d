"""The container: order, look-up by position and label, slices, equality, text."""

import copy
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest

from spexjax.indices import interaction_values
from spexjax.indices.interaction_values import Interactions, from_members

WORDS = ("never", "fails", "to", "impress", "or", "to", "bore")


GROUPS = [
    (np.array([[1], [2], [5]]), np.array([-3.0, 1.0, -1.0])),
    (np.array([[0, 6], [2, 5]]), np.array([2.0, 0.25])),
]


@pytest.fixture
def ix():
    return from_members(GROUPS, 7, "FSII", 2, WORDS, 0.5)


def test_sorted_by_magnitude_ties_in_the_order_given(ix):
    assert list(ix) == [((1,), -3.0), ((0, 6), 2.0), ((2,), 1.0), ((5,), -1.0), ((2, 5), 0.25)]
    assert len(ix) == 5 and ix.to_dict() == dict(list(ix)) == dict(ix.items())
    assert ix.values.dtype == np.float64 and ix.supports.dtype == np.uint32


@pytest.mark.parametrize("scale", [1e-60, 1.0, 1e60])
def test_last_bits_do_not_shuffle_ties(scale):
    values = scale * np.array([1 - 1e-15, 1.0, 1 + 1e-15, 1.1])
    ix = from_members([(np.arange(4)[:, None], values)], 4, "SV", 1)
    assert [members for members, _ in ix] == [(3,), (0,), (1,), (2,)]
    np.testing.assert_array_equal(ix.values, values[[3, 0, 1, 2]])


def test_lookup(ix):
    assert ix[(0, 6)] == ix[(6, 0)] == ix[0, 6] == 2.0
    assert ix[1] == ix[(1,)] == ix[np.int64(1)] == -3.0
    assert ix[(3, 4)] == 0 and ix[4] == 0
    for bad in [(7,), (-1, 2), 7, (1.0,), (0, 1, 2), None]:
        with pytest.raises(KeyError, match=r"positions from 0 to 6, got|at most 2 are listed"):
            ix[bad]


def test_lookup_by_label(ix):
    assert ix["fails"] == -3 and ix["bore", "never"] == ix["never", 6] == 2
    assert ix["impress"] == ix["fails", "or"] == 0
    with pytest.raises(KeyError, match=r"'to' is the label of \[2, 5\]: pass one of these"):
        ix["fails", "to"]
    with pytest.raises(KeyError, match="no feature is labelled 'too'"):
        ix["too"]


def test_the_empty_set_is_nowhere_but_the_baseline(ix):
    assert ix[()] == ix.baseline == 0.5 and ix[:1][()] == 0.5
    listed = [
        list(ix),
        list(ix.items()),
        list(ix.top(100)),
        list(ix[:]),
        list(ix.to_dict().items()),
    ]
    assert all(rows == listed[0] and len(rows) == 5 for rows in listed)
    assert sum(ix.values) == sum(value for _, value in ix) == -0.75
    assert all(members for members, _ in ix) and len(ix.order(0)) == 0
    assert ix.sizes().tolist() == [1, 2, 1, 1, 2]
    assert from_members([], 7, "FSII", 2)[()] == 0.0


def test_equal_words_stay_two(ix):
    assert ix[2] == 1 and ix[5] == -1
    assert ix.labels((2, 5)) == ("to", "to")
    assert "to@2 + to@5" in repr(ix) and "never + bore" in repr(ix)


def test_top_order_and_slices(ix):
    assert ix.top(2).to_dict() == {(1,): -3.0, (0, 6): 2.0}
    assert ix.top(2) == ix[:2] and list(ix[1:4:2]) == [((0, 6), 2.0), ((5,), -1.0)]
    assert list(ix[-1:]) == [((2, 5), 0.25)] and len(ix[9:]) == 0
    assert list(ix.order(2)) == [((0, 6), 2.0), ((2, 5), 0.25)]
    assert len(ix.order(3)) == 0
    assert ix.top(2).features == WORDS


def test_to_array(ix):
    np.testing.assert_array_equal(ix.to_array(), [0, -3, 1, 0, 0, -1, 0])
    assert ix.to_array().dtype == np.float64 and not ix.order(2).to_array().any()


def test_equality(ix):
    again = from_members(GROUPS[::-1], 7, "FSII", 2, WORDS, 0.5)
    assert ix == again and ix == copy.deepcopy(ix) == pickle.loads(pickle.dumps(ix))
    other = ix.values.copy()
    other[-1] += 1e-9
    changes = [
        {"index": "SII"}, {"max_order": 3}, {"features": ()}, {"baseline": 0.0}, {"values": other},
        {"supports": ix.supports ^ np.uint32(8)},
    ]  # fmt: skip
    assert all(ix != replace(ix, **change) for change in changes)
    assert ix != ix[:4] and ix != ix.to_dict()
    with pytest.raises(TypeError, match="unhashable"):
        hash(ix)


def test_repr(ix):
    lines = repr(ix).splitlines()
    assert lines[0] == "FSII up to order 2, 5 sets of 7 features"
    assert lines[2].split() == ["-3", "1", "fails"]
    assert lines[6].split() == ["+0.25", "2", "to@2", "+", "to@5"]
    assert "3 more" in ix.table(2)
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
    assert list(table.columns) == ["members", "labels", "order", "value"] and len(table) == 5
    assert table.members[1] == (0, 6) and table.labels[1] == ("never", "bore")
    assert table.order.tolist() == [1, 2, 1, 1, 2] and table.value[0] == -3


def test_dataframe_without_pandas(ix, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        ix.to_dataframe()
