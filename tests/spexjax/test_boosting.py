"""Boosted trees on binary features, and their Fourier transform."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from spexjax.trees import boosting, fourier, growing
from spexjax.trees.boosting import BoostConfig, Trees
from spexjax.trees.settings import as_data

N_ROWS, N_FEATURES, FOLDS = 160, 9, 3
CONFIG = BoostConfig(depth=3, rates=(0.3,), trees=12, min_child=5, leaf_l2=0.5, patience=12)


def data(seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    masks = rng.random((N_ROWS, N_FEATURES)) < 0.5
    terms = oracles.planted_terms(N_FEATURES, 6, seed, degrees=(1, 2, 3))
    values = oracles.evaluate(terms, masks) + noise * rng.standard_normal(N_ROWS)
    return masks, values.astype(np.float32), (np.arange(N_ROWS) % FOLDS).astype(np.int32)


def slow_tree(masks, residual, depth, min_child, l2):
    """One tree by the definition: {path: leaf value}, greedy by the fall of the squared loss."""

    def grow(rows, level):
        g, c = residual[rows].sum(), len(rows)
        best, gain = None, 1e-6 * g**2 / (c + l2)
        for i in range(masks.shape[1] if level < depth else 0):
            right, left = rows[masks[rows, i]], rows[~masks[rows, i]]
            if min(len(right), len(left)) < min_child:
                continue
            parts = [residual[r].sum() ** 2 / (len(r) + l2) for r in (left, right)]
            if sum(parts) - g**2 / (c + l2) > gain:
                best, gain = i, sum(parts) - g**2 / (c + l2)
        if best is None:
            return g / (c + l2) if c else 0.0
        right, left = rows[masks[rows, best]], rows[~masks[rows, best]]
        return best, grow(left, level + 1), grow(right, level + 1)

    return grow(np.arange(len(masks)), 0)


def slow_predict(tree, mask):
    while isinstance(tree, tuple):
        tree = tree[2] if mask[tree[0]] else tree[1]
    return tree


def slow_boost(masks, values, trees, rate):
    predictions = np.full(len(values), values.mean())
    for _ in range(trees):
        tree = slow_tree(
            masks, values - predictions, CONFIG.depth, CONFIG.min_child, CONFIG.leaf_l2
        )
        predictions += rate * np.array([slow_predict(tree, m) for m in masks])
    return predictions


@pytest.fixture(scope="module")
def fitted():
    masks, values, fold = data()
    return boosting.fit(masks, values, fold, jax.random.key(0), CONFIG, FOLDS)


def lane(result, place, trees=None):
    one = Trees(*(x[0, place] for x in result.trees))
    return one if trees is None else one._replace(size=jnp.int32(trees))


@pytest.mark.parametrize("trees", [1, 6, 12])
def test_trees_are_those_of_the_definition(fitted, trees):
    masks, values, _ = data()
    expected = slow_boost(masks, values.astype(float), trees, 0.3)
    found = boosting.predict(lane(fitted, FOLDS, trees), masks)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_each_lane_is_a_fit_without_its_fold(fitted):
    masks, values, fold = data()
    keep = fold != 1
    alone = slow_boost(masks[keep], values[keep].astype(float), 12, 0.3)
    found = boosting.predict(lane(fitted, 1, 12), masks[keep])
    np.testing.assert_allclose(found, alone, atol=2e-4)


def test_held_out_errors_are_those_of_the_lanes(fitted):
    masks, values, fold = data()
    for trees in (0, 5, 12):
        error = 0.0
        for c in range(FOLDS):
            guess = np.asarray(boosting.predict(lane(fitted, c, trees), masks[fold == c]))
            error += np.sum((values[fold == c] - guess) ** 2)
        assert float(fitted.errors[0, trees]) == pytest.approx(error / N_ROWS, rel=1e-4)
    assert int(fitted.trees.size[0, 0]) == int(np.argmin(fitted.errors[0]))


def test_rows_that_do_not_count_change_nothing(fitted):
    masks, values, fold = data()
    values, fold = values.copy(), fold.copy()
    extra = np.zeros((40, N_FEATURES), bool)
    again = boosting.fit(
        np.concatenate([masks, extra]),
        np.concatenate([values, np.full(40, np.nan, np.float32)]),
        np.concatenate([fold, np.full(40, -1, np.int32)]),
        jax.random.key(0),
        CONFIG,
        FOLDS,
    )
    np.testing.assert_array_equal(again.trees.features, fitted.trees.features)
    np.testing.assert_allclose(again.errors, fitted.errors, rtol=1e-5)


def test_shares_of_rows_and_columns_are_drawn_from_the_key():
    masks, values, fold = data()
    config = BoostConfig(depth=2, trees=6, min_child=5, rows=0.5, columns=0.34, patience=6)

    def features(seed):
        result = boosting.fit(masks, values, fold, jax.random.key(seed), config, FOLDS)
        return np.asarray(result.trees.features)

    first = features(0)
    np.testing.assert_array_equal(first, features(0))
    assert (first != features(1)).any()
    used = [len(set(tree[tree >= 0].tolist())) for tree in first[0].swapaxes(0, 1).reshape(6, -1)]
    assert max(used) <= 3


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 2.0**-40, 1e12, 1e30])
def test_the_scale_of_the_values_does_not_matter(fitted, scale):
    masks, values, fold = data()
    values = values.astype(float) * scale
    found = boosting.fit(
        masks, values.astype(np.float32), fold, jax.random.key(0), CONFIG, FOLDS
    ).trees
    if scale == 2.0**-40:  # Nothing rounds.
        chex.assert_trees_all_equal(found, fitted.trees._replace(
            leaves=fitted.trees.leaves * scale, base=fitted.trees.base * scale
        ))  # fmt: skip
    np.testing.assert_array_equal(found.size, fitted.trees.size)
    largest = np.abs(fitted.trees.leaves).max()
    for trees in (0, 6, 12):
        at = [boosting.predict(t._replace(size=jnp.full_like(t.size, trees)), masks)
              for t in (found, fitted.trees)]  # fmt: skip
        np.testing.assert_allclose(np.float64(at[0]) / scale, at[1], atol=1e-4 * largest)


def test_noise_is_left_alone():
    rng = np.random.default_rng(0)
    masks = rng.random((N_ROWS, N_FEATURES)) < 0.5
    noise = rng.standard_normal(N_ROWS).astype(np.float32)
    fold = (np.arange(N_ROWS) % FOLDS).astype(np.int32)
    result = boosting.fit(masks, noise, fold, jax.random.key(0), CONFIG, FOLDS)
    assert int(result.trees.size[0, 0]) <= 2


def test_the_fourier_transform_is_exact(fitted):
    one = lane(fitted, 0, 12)
    table = np.asarray(boosting.predict(one, oracles.all_masks(N_FEATURES)), float)
    expected = oracles.fourier(table, N_FEATURES)
    found = fourier.fourier(one, N_FEATURES).to_dict()
    assert set(found) <= set(expected)
    assert all(abs(found.get(k, 0.0) - v) < 1e-5 for k, v in expected.items())


def test_the_fourier_transform_of_many_features():
    rng = np.random.default_rng(0)
    n, T, depth = 700, 40, 5
    features = np.stack([rng.choice(n, 2**depth - 1, replace=False) for _ in range(T)])
    features[rng.random(features.shape) < 0.2] = -1
    leaves = rng.standard_normal((T, 2**depth)).astype(np.float32)
    trees = Trees(jnp.asarray(features), jnp.asarray(leaves), jnp.float32(0.5), jnp.int32(30))
    found = fourier.fourier(trees, n)
    masks = rng.random((50, n)) < 0.5
    np.testing.assert_allclose(
        found.predict(masks), boosting.predict(trees, masks), atol=1e-4, rtol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("rows,n", [(50_000, 2000), (3000, 2100)])
def test_many_features_and_masks_in_bounded_memory(rows, n):
    rng = np.random.default_rng(0)
    masks = rng.random((rows, n)) < 0.5
    signs = 1.0 - 2.0 * masks[:, [3, 700, n - 1]]
    values = (2 * signs[:, 0] + signs[:, 1] * (1 + signs[:, 2])).astype(np.float32)
    fold = (np.arange(rows) % 2).astype(np.int32)
    config = BoostConfig(depth=5, rates=(0.5,), trees=2, patience=2)
    lanes, key = 3, jax.random.key(0)
    fit = jax.jit(boosting.fit, static_argnames=("config", "folds"))
    compiled = fit.lower(masks, values, fold, key, config, 2).compile()
    # Of the module's own words, and as much again for the masks while they are converted.
    promised = 2 * rows * n + 2**4 * lanes * rows + 2**6 * lanes * n
    assert compiled.memory_analysis().temp_size_in_bytes < 1.3 * 4 * promised
    found = compiled(masks, values, fold, key)
    features = np.asarray(found.trees.features)[0]  # (lanes, trees, nodes)
    assert (features[:, 0, 0] == 3).all()
    assert set(features[:, 0, 1:3].ravel().tolist()) == {700}
    assert float(found.errors[0, 2]) < 0.35 * float(found.errors[0, 0])


@pytest.mark.parametrize(
    "options,message",
    [
        ({"depth": 7}, "depth must be between 1 and 6"),
        ({"trees": 0}, "trees and patience"),
        ({"rates": (0.0,)}, "rates must be in"),
        ({"rows": 0.0}, "rows and columns"),
        ({"min_child": 0.0}, "min_child"),
    ],
)
def test_settings_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        BoostConfig(**options)


def test_shapes_are_checked():
    masks, values, fold = data()
    with pytest.raises(ValueError, match="values must have shape"):
        boosting.fit(masks, values[:-1], fold, jax.random.key(0))
    with pytest.raises(ValueError, match="fold must have shape"):
        boosting.fit(masks, values, fold[:-1], jax.random.key(0))


@pytest.mark.parametrize("depth,rate", [(3, 0.1), (5, 0.1)])
def test_as_accurate_as_lightgbm(depth, rate):
    lightgbm = pytest.importorskip("lightgbm")
    gaps = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        terms = oracles.planted_terms(16, 20, seed, degrees=(1, 2, 3))
        masks = rng.random((1600, 16)) < 0.5
        values = (oracles.evaluate(terms, masks) + rng.standard_normal(1600)).astype(np.float32)
        train, test = slice(0, 800), slice(800, None)
        config = BoostConfig(depth=depth, rates=(rate,), trees=60, patience=60)
        fold = (np.arange(800) % 2).astype(np.int32)
        ours = boosting.fit(masks[train], values[train], fold, jax.random.key(0), config, 2)
        guess = np.asarray(boosting.predict(lane(ours, 2, 60), masks[test]))
        peer = lightgbm.train(
            {
                "max_depth": depth, "num_leaves": 2**depth, "learning_rate": rate,
                "min_data_in_leaf": 20, "min_sum_hessian_in_leaf": 0.0, "verbosity": -1,
                "num_threads": 1,
            },
            lightgbm.Dataset(masks[train].astype(float), values[train]),
            60,
        )  # fmt: skip
        theirs = peer.predict(masks[test].astype(float))
        worse, better = (np.mean((values[test] - p) ** 2) for p in (guess, theirs))
        gaps.append((better - worse) / np.var(values[test]))
    assert np.mean(gaps) > -0.01


def test_a_tree_of_a_window_is_that_of_its_rows():
    masks, values, _ = data(noise=2.0)
    given = boosting.prepare(growing.Masks.of(masks), values, np.zeros(N_ROWS, np.int32), 1)
    settings = as_data(BoostConfig(depth=3, rates=(1.0,), trees=1, min_child=4), N_FEATURES, 1)
    windows = [  # of whole words; the last goes over the end
        np.arange(32 * word, 32 * word + 64) % N_ROWS for word in range(N_ROWS // 32)
    ]
    boost = jax.jit(boosting.boost, static_argnums=(3, 4, 5))
    grow = jax.jit(growing.grow, static_argnums=5)
    found = []
    for seed in range(8):
        tree = boost(given, jax.random.key(seed), settings, 3, 1, 64).trees
        residual = np.asarray(given.values) - float(tree.base[0, 1] / 2.0**given.exponent)
        for place, rows in enumerate(windows):
            grown = grow(
                growing.Masks.of(masks[rows]), residual[None, rows],
                np.ones((1, 64), bool), np.ones(N_FEATURES, bool), settings.limits, 3,
            )  # fmt: skip
            if np.array_equal(grown.features[0], tree.features[0, 1, 0]):
                found.append(place)
    assert len(found) == 8 and len(set(found)) > 2
