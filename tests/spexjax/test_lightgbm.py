"""The Fourier transform of LightGBM's trees, from dumps written by hand and from real ones."""

import numpy as np
import oracles
import pytest

from spexjax.trees import fourier, lightgbm


class Dump:
    """What a booster says of its trees, each nested: (feature, left, right) or a leaf's value."""

    def __init__(self, *trees):
        self.trees = trees

    def dump_model(self):
        return {"tree_info": [{"tree_structure": self.node(tree)} for tree in self.trees]}

    def node(self, tree):
        if not isinstance(tree, tuple):
            return {"leaf_value": float(tree)}
        feature, left, right = tree
        return {
            "split_feature": feature,
            "left_child": self.node(left),
            "right_child": self.node(right),
        }


def value(tree, mask):
    while isinstance(tree, tuple):
        tree = tree[2] if mask[tree[0]] else tree[1]
    return tree


def conjunction(n):
    """The product of all n inputs, as a path of n tests."""
    tree = 1.0
    for feature in reversed(range(n)):
        tree = (feature, 0.0, tree)
    return tree


def test_the_transform_of_a_dump_is_exact():
    n = 5
    trees = [(2, (0, 1.0, -2.0), (4, 0.5, (1, 3.0, 0.25))), (3, 0.0, 1.5), 0.75]
    table = np.array([sum(value(t, m) for t in trees) for m in oracles.all_masks(n)])
    expected = oracles.fourier(table, n)
    found = fourier.to_spectrum(lightgbm.terms(Dump(*trees), n), n).to_dict()
    assert set(found) <= set(expected)
    assert all(abs(found.get(k, 0.0) - v) < 1e-6 for k, v in expected.items())


def test_a_path_of_the_greatest_length_is_exact():
    n = lightgbm.LONGEST_PATH + 1
    sets = lightgbm.terms(Dump(conjunction(n)), n)
    assert sum(len(s.values) for s in sets.values()) == 2**n
    for size, s in sets.items():
        np.testing.assert_allclose(s.values, (-1) ** size / 2**n)


def test_what_longer_paths_leave_out_is_said(monkeypatch):
    monkeypatch.setattr(lightgbm, "LONGEST_PATH", 3)
    n = 6
    with pytest.warns(RuntimeWarning, match=r"2 nodes .* more than 3 tests.* at most") as said:
        sets = lightgbm.terms(Dump(conjunction(n)), n)
    exact = oracles.fourier(oracles.all_masks(n).all(axis=1).astype(float), n)
    found = fourier.to_spectrum(sets, n).to_dict()
    assert found[()] == pytest.approx(exact[()])
    missing = sum((found.get(k, 0.0) - v) ** 2 for k, v in exact.items())
    bound = float(str(said[0].message).split("at most ")[1].split(",")[0])
    assert 0 < missing <= 1.01 * bound
    assert bound < 3 * missing


@pytest.mark.parametrize("depth", [3, None])
def test_the_transform_of_a_booster(depth):
    pytest.importorskip("lightgbm")
    n = 10
    rng = np.random.default_rng(0)
    masks = rng.random((400, n)) < 0.5
    values = oracles.evaluate(oracles.planted_terms(n, 8, 0, degrees=(1, 2, 3)), masks)
    booster = lightgbm.train(masks, values + 0.1 * rng.standard_normal(400), depth, 0.1, 20)
    spectrum = fourier.to_spectrum(lightgbm.terms(booster, n), n)
    np.testing.assert_allclose(
        spectrum.predict(masks), booster.predict(masks.astype(np.float32)), atol=1e-4
    )
