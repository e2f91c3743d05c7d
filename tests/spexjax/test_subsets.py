"""Lists of sets: packing, and what is added up over them."""

import numpy as np
import pytest

from spexjax.codes import gf2
from spexjax.spectra import subsets


def test_no_member_may_stand_anywhere_in_a_row():
    members = np.array([[-1, 3, -1, 33], [33, 3, -1, -1], [-1, -1, -1, -1], [0, 1, 2, 39]])
    packed = subsets.pack(members, 40)
    bits = gf2.unpack_numpy(packed, 40)
    assert [np.flatnonzero(row).tolist() for row in bits] == [[3, 33], [3, 33], [], [0, 1, 2, 39]]
    np.testing.assert_array_equal(subsets.pack(members.astype(np.int16), 40), packed)


def test_lists_without_sets_or_members():
    assert subsets.pack(np.zeros((0, 3), int), 40).shape == (0, 2)
    np.testing.assert_array_equal(subsets.pack(np.zeros((2, 0), int), 40), np.zeros((2, 2)))


@pytest.mark.parametrize("wrong", [-2, 40])
def test_members_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"between 0 and 39, or −1 for none, got {wrong}"):
        subsets.pack(np.array([[1, wrong], [2, -1]]), 40)


def test_equal_sets_are_added():
    members = np.array([[2, 5], [0, 1], [2, 5], [0, 39]])
    added = subsets.merge(members, np.array([1.0, 2.0, 4.0, 8.0]), 40)
    assert added.members.tolist() == [[0, 1], [0, 39], [2, 5]]
    assert added.values.tolist() == [2.0, 8.0, 5.0]
    classes = subsets.by_size(
        subsets.pack(np.array([[4, -1], [7, 6], [-1, -1], [6, 7]]), 40),
        np.array([1.0, 2.0, 3.0, 4.0]),
        40,
    )
    assert {s: (c.members.tolist(), c.values.tolist()) for s, c in classes.items()} == {
        0: ([[]], [3.0]),
        1: ([[4]], [1.0]),
        2: ([[6, 7]], [6.0]),
    }
