"""Mixtures of fits, and the closed forms by which their folds are fitted and tested."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax import masks
from spexjax.surrogates import cross_validation, fits, problem, stacking
from spexjax.surrogates.problem import Rows
from spexjax.surrogates.proposals import SCHEMES

N, B = 12, 2


def test_the_menu_lists_every_family_at_every_strength():
    menu = stacking.menu(wider=True)
    A, few = len(fits.STRENGTHS), len(problem.RIDGE_STRENGTHS)
    sizes = [few] * len(problem.METHODS) + [A] * 2 * len(SCHEMES)
    np.testing.assert_array_equal(np.bincount(menu.family), sizes)
    assert ((menu.lasso > 0) ^ (menu.ridge > 0)).all()
    first = 4 * few
    assert menu.scheme[first + A] == 1 and menu.lasso[first + A] == menu.lasso[first]
    assert menu.names(np.array([0, first])) == {"linear", "wider"}
    assert stacking.menu(wider=False).family.size == first


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_the_best_on_a_grid(seed):
    residuals = np.random.default_rng(seed).standard_normal((3, 40)) * [[1.0], [1.2], [2.0]]
    R = residuals @ residuals.T
    s = stacking.simplex(R)
    grid = [np.array(g) / 50 for g in itertools.product(range(51), repeat=3) if sum(g) == 50]
    assert (s >= 0).all() and abs(s.sum() - 1) < 1e-9
    best = min(g @ R @ g for g in grid)
    assert best * (1 - 0.01) <= s @ R @ s <= best + 1e-9


def _products(menu, errors, correlation=0.0, before=9.0):
    """Residual products of candidates that err ``before``, but for ``errors`` by place."""
    size = np.full(len(menu.family), np.sqrt(before))
    for place, error in errors.items():
        size[place] = np.sqrt(error)
    same = np.full((len(size), len(size)), correlation)
    np.fill_diagonal(same, 1.0)
    return size[:, None] * size * same


def test_families_that_err_elsewhere_are_averaged():
    menu = stacking.menu(wider=True)
    places = [np.flatnonzero(menu.family == f)[3] for f in (0, 5)]
    found = stacking.mix(_products(menu, {places[0]: 1.0, places[1]: 0.5}), 1000, menu)
    # Uncorrelated fits are averaged in proportion to the inverse of their errors.
    assert found.places[:2].tolist() == places[::-1]
    np.testing.assert_allclose(found.shares, [2 / 3, 1 / 3, 0, 0, 0], rtol=1e-3)
    assert sum(found.shares) == pytest.approx(1, abs=1e-6)
    # One whose errors are those of the best and more has no share.
    found = stacking.mix(_products(menu, {places[1]: 0.5}, correlation=0.99), 1000, menu)
    assert found.places[0] == places[1] and found.shares[0] == 1


def test_chance_is_no_gain():
    menu = stacking.menu(wider=False)
    mean = stacking._CONSTANT
    for share, trust in ((0.999, 0.0), (0.98, 0.5), (0.5, 1.0)):
        products = _products(menu, {0: 9.0 * share}, correlation=0.998)
        found = stacking.mix(products, 100, menu)
        shares = {p: s for p, s in zip(found.places.tolist(), found.shares, strict=True) if s > 0}
        assert shares.get(0, 0.0) == pytest.approx(trust, abs=0.25)
        assert shares.get(mean, 0.0) == pytest.approx(1 - shares.get(0, 0.0))
        assert (0 < shares.get(0, 0.0) < 1) == (trust == 0.5)
        assert menu.names(np.array(list(shares))) == ({"linear"} if trust else set())


def _explicit(design, weights, rows, features):
    """All masks one by one: columns, and the weight of each row."""
    coded = np.pad(design.masks(), ((0, 0), (0, rows.bits.shape[1] - N)))
    bits = np.concatenate([coded, np.asarray(rows.bits)])
    X = np.asarray(problem.columns(jnp.asarray(bits), jnp.asarray(features)), float)
    repeated = np.repeat(np.asarray(weights).reshape(-1), 2**B)
    return X, np.concatenate([repeated, np.asarray(rows.weights)])


def test_parts_of_a_group_are_left_out_exactly():
    design = masks.coded_design(jax.random.key(1), N, B, 2)
    rng = np.random.default_rng(0)
    features = np.array([[-1, 0, 3], [1, 4, 7], [-1, -1, -1]], np.int32)
    rows = Rows(
        jnp.asarray(np.pad(rng.random((20, N)) < 0.5, ((0, 0), (0, 32 - N)))),
        jnp.asarray(rng.standard_normal(20), jnp.float32),
        jnp.asarray(rng.random(20) < 0.7, jnp.float32),
    )
    values = rng.standard_normal(design.num_masks).astype(np.float32)
    folds = cross_validation._coded_folds(design)
    # Every mask is left out once, and trains in the other folds and the last lane.
    np.testing.assert_array_equal((1 - folds).sum(axis=0), 1)
    assert (folds[-1] == 1).all()
    allowed = jnp.asarray(np.r_[np.ones(1 + N), np.zeros(32 - N), 1, 1, 0] > 0)
    inside = jnp.asarray(folds[1])
    p = problem.problem(design, jnp.asarray(values), inside, rows, jnp.asarray(features), allowed)
    X, weight = _explicit(design, inside, rows, features)
    used = np.asarray(allowed)
    expected = np.where(used[:, None] & used, X.T @ (weight[:, None] * X), 0) / weight.sum()
    np.testing.assert_allclose(problem.gram(p), expected, atol=1e-5)
    y = np.concatenate([values, np.asarray(rows.values)])
    expected = np.where(used, X.T @ (weight * y), 0) / weight.sum()
    np.testing.assert_allclose(problem.correlations(p), expected, atol=1e-5)
    w = np.where(used, rng.standard_normal((2, len(used))), 0).astype(np.float32)
    r = y - w @ X.T
    products = problem.residual_products(p, jnp.asarray(w))
    np.testing.assert_allclose(products, (r * weight) @ r.T, rtol=1e-4)
