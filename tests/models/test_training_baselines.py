"""Baselines of data attribution against their definitions, and the metrics."""

import itertools
import math

import jax
import numpy as np
import optax
import pytest
from scipy import stats

from spexjax.models import training
from spexjax.models.training import gradients, metrics
from spexjax.models.training.influence import influence, leave_one_out
from spexjax.models.training.neighbours import knn_shapley
from spexjax.models.training.trak import features, trak

pytestmark = pytest.mark.loose_promotion


def clouds(points, seed, spread=1.0):
    rng = np.random.default_rng(seed)
    y = np.arange(points) % 2
    x = spread * rng.normal(size=(points, 3)) + np.where(y[:, None] == 1, 0.7, -0.7)
    return x.astype(np.float32), y


@pytest.fixture(scope="module")
def convex():
    """Logistic regression that is trained to its minimum."""
    return training.data_value(
        *training.logistic_regression((3,), 2), train=clouds(30, 0), test=clouds(8, 1),
        optimizer=optax.lbfgs(1.0, linesearch=None), steps=60, decay=0.03, score="log-odds",
    )  # fmt: skip


def test_influence_foretells_leaving_one_out(convex):
    found, true = influence(convex, "hessian"), leave_one_out(convex)
    assert found.shape == true.shape == (30, 8)
    for j in range(8):
        assert np.corrcoef(found[:, j], true[:, j])[0, 1] > 0.95
        # and in size, but for what a point hides of itself
        assert 0.6 < np.dot(found[:, j], true[:, j]) / np.dot(true[:, j], true[:, j]) < 1.1


def test_gauss_newton_is_the_hessian_of_a_linear_model(convex):
    np.testing.assert_allclose(
        influence(convex, "gauss-newton"), influence(convex, "hessian"), rtol=1e-2, atol=1e-4
    )


def test_conjugate_gradients_solve_what_a_dense_solver_solves():
    f = training.data_value(
        *training.mlp((3,), 2, (4,)), train=clouds(20, 2), test=clouds(4, 3), steps=50,
        groups=[list(range(i, 20, 4)) for i in range(4)],
    )  # fmt: skip
    recipe, params, damping = f.asked.recipe, f.params(), 0.01
    product = gradients.gauss_newton_product(recipe, params, *f.train)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    curvature = np.asarray(jax.jit(jax.vmap(product))(np.eye(size, dtype=np.float32)), float)
    np.testing.assert_allclose(curvature, curvature.T, atol=1e-5)
    assert np.linalg.eigvalsh(curvature).min() > -1e-5
    losses = np.asarray(gradients.of_points(recipe, "loss", params, *f.train), float)
    tests = np.asarray(gradients.of_points(recipe, "margin", params, *f.test), float)
    solved = np.linalg.solve(curvature + damping * np.eye(size), tests.T)
    by_point = -((losses - losses.mean(0)) / 20) @ solved
    groups = by_point.reshape(5, 4, 4).sum(0)  # point i is in group i mod 4
    np.testing.assert_allclose(influence(f, damping=damping), groups, rtol=0.02, atol=1e-3)


def test_trak_is_its_formula_on_a_linear_model(convex):
    """One model of all points, no projection: the gradient of the log-odds is ±(x, 1)."""
    found = trak(convex, dimension=100, models=1, share=1.0, ridge=0.01)
    x, y = (np.asarray(a) for a in convex.train)
    key = jax.random.split(jax.random.key(0, impl="threefry2x32"), 1)[0]
    begin = jax.random.split(key, 3)[1]
    from spexjax.models.training.training import train_model

    dense = train_model(convex.asked.recipe, x, y, np.ones(30, np.float32), begin)["Dense_0"]

    def phi(x, y):
        rows = np.concatenate([np.ones((len(x), 1)), x], axis=1)  # bias before kernel
        signs = np.where(y == 1, 1.0, -1.0)[:, None]
        return np.stack([-rows, rows], axis=2).reshape(len(x), -1) * signs

    logits = x @ np.asarray(dense["kernel"], float) + np.asarray(dense["bias"], float)
    p = np.exp(logits[np.arange(30), y]) / np.exp(logits).sum(1)
    # Both columns of a two-class model have gradients of opposite sign. Order: bias, then kernel.
    kernel = phi(x, y)[:, 2:]
    a = np.concatenate([phi(x, y)[:, :2], kernel], axis=1)
    x_test, y_test = (np.asarray(z) for z in convex.test)
    b = phi(x_test, y_test)
    gram = a.T @ a
    gram += 0.01 * np.trace(gram) / 8 * np.eye(8)
    expected = (a @ np.linalg.solve(gram, b.T)) * (1 - p)[:, None]
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)


@pytest.mark.slow
def test_projections_keep_inner_products_on_average(convex):
    params = convex.params()
    full = np.asarray(features(convex.asked.recipe, 99, params, *convex.train, jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), 400)
    project = jax.jit(
        lambda key: features(convex.asked.recipe, 4, params, *convex.train, key)
    )  # fmt: skip
    grams = [g @ g.T / 4 for g in (np.asarray(project(key)) for key in keys)]
    true = full @ full.T
    error = np.abs(np.mean(grams, axis=0) - true).max()
    assert error < 0.3 * np.abs(true).max()
    np.testing.assert_array_equal(project(keys[0]), project(keys[0]))


@pytest.mark.parametrize("points", [2, 7])
@pytest.mark.parametrize("neighbours", [1, 3])
def test_knn_shapley_is_the_shapley_value(points, neighbours):
    x, y = clouds(points, 5)
    x_test, y_test = clouds(3, 6)

    def vote(chosen, j):
        near = sorted(chosen, key=lambda i: np.sum((x[i] - x_test[j]) ** 2))[:neighbours]
        return sum(y[i] == y_test[j] for i in near) / neighbours

    true = np.zeros((points, 3))
    for j, i in itertools.product(range(3), range(points)):
        others = [k for k in range(points) if k != i]
        for size in range(points):
            weight = 1 / (points * math.comb(points - 1, size))
            for s in itertools.combinations(others, size):
                true[i, j] += weight * (vote((*s, i), j) - vote(s, j))
    found = knn_shapley(x, y, x_test, y_test, neighbours)
    np.testing.assert_allclose(found, true, atol=1e-12)


def test_the_linear_datamodelling_score_is_spearmans(key):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40, 5)).round(1)  # with ties
    b[:, 4] = 1.0
    found = metrics.linear_datamodelling_score(a, b)
    expected = [stats.spearmanr(a[:, j], b[:, j]).statistic for j in range(4)]
    np.testing.assert_allclose(found[:4], expected, atol=1e-12)
    assert found[4] == 0


def test_half_subsets_are_halves_and_differ():
    masks = metrics.half_subsets(11, 50, 0)
    assert (masks.sum(1) == 5).all() and len(np.unique(masks, axis=0)) > 45
    assert masks.mean(0).min() > 0.2 and masks.mean(0).max() < 0.7


def test_flips_are_counted_where_all_data_are_right():
    f = training.data_value(
        *training.logistic_regression((3,), 2), train=clouds(20, 0), test=clouds(10, 1, 0.3),
        steps=50,
    )  # fmt: skip
    full = f(np.ones((1, 20), bool))[0]
    assert (full > 0).all()
    same = np.asarray(f.train[1])[None] == np.asarray(f.test[1])[:, None]
    lost = [f(~same[j : j + 1])[0, j] <= 0 for j in range(10)]
    assert 0 < sum(lost) < 10
    np.testing.assert_array_equal(metrics.flips(f, same), lost)
    assert not metrics.flips(f, np.zeros((10, 20), bool)).any()
    pretended = np.where(np.arange(10) == 3, -1.0, full)
    assert np.isnan(metrics.flips(f, same, pretended)[3])
    with pytest.raises(ValueError, match="need margins"):
        metrics.flips(f, same[:3])


def test_pairs_are_sorted_by_class_and_sign():
    sets = [((0,), 5.0), ((0, 1), -1.0), ((0, 2), 2.0), ((2, 3), -4.0), ((0, 1, 2), 9.0)]
    found = metrics.pairs_by_class(sets, np.array([7, 7, 7, 1]), 7)
    assert found == (-1.0, 2.0, -4.0, 0.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: influence(f, "fisher"), "curvature must be"),
        (lambda f: influence(f, damping=-1), "damping"),
        (lambda f: trak(f, 0), "dimension and models"),
        (lambda f: trak(f, 5, share=0.0), "share"),
        (lambda f: knn_shapley(*f.train, *f.test, 0), "neighbours"),
    ],
)
def test_bad_arguments_are_named(convex, call, words):
    with pytest.raises(ValueError, match=words):
        call(convex)
