"""The transform of the mean of ensembles, against the mean of their predictions."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.trees import boosting, ensemble, fourier
from spexjax.trees.boosting import BoostConfig, Trees

N, FOLDS = 9, 3
CONFIGS = (
    BoostConfig(depth=2, trees=9, min_child=5, patience=9),
    BoostConfig(depth=4, trees=12, min_child=5, patience=3, rates=(0.1, 0.5)),
    BoostConfig(depth=3, trees=7, min_child=5, rows=0.7, columns=0.6),
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    masks = rng.random((160, N)) < 0.5
    signs = 1 - 2.0 * masks
    values = signs[:, 0] * signs[:, 1] + signs[:, 2] + 0.1 * rng.standard_normal(160)
    return masks, values.astype(np.float32), (np.arange(160) % FOLDS).astype(np.int32)


def grow(*arguments):
    return ensemble.start(*arguments).terms()


def best(masks, values, fold, config, key):
    found = boosting.fit(masks, values, fold, key, config, FOLDS)
    rate = int(np.argmin(np.asarray(found.errors).min(axis=1)))
    return Trees(*(np.asarray(x)[rate] for x in found.trees))


def values_at(transforms, masks):
    """Of every lane's transform, (lanes, N)."""
    spectra = [fourier.to_spectrum(terms, N) for terms in transforms]
    return np.stack([np.asarray(s.predict(masks)).reshape(-1) for s in spectra])


def mean_prediction(parts, masks):
    return np.mean([boosting.predict(jax.tree.map(np.asarray, p), masks) for p in parts], axis=0)


def test_the_mean_of_transforms_is_that_of_predictions(data, key):
    masks = data[0]
    parts = [best(*data, config, key) for config in CONFIGS]
    # The smallest number of trees is not the same in all lanes in general.
    parts[0] = parts[0]._replace(size=np.array([9, 4, 0, 6]))
    lanes = [
        ensemble.mean([fourier.terms(Trees(*(x[lane] for x in p)), N) for p in parts], N)
        for lane in range(FOLDS + 1)
    ]
    np.testing.assert_allclose(values_at(lanes, masks), mean_prediction(parts, masks), atol=1e-5)
    for sizes in lanes:
        for size, sets in sizes.items():
            chex.assert_shape(sets.members, (None, size))
            assert len(np.unique(sets.members, axis=0)) == len(sets.members)


def test_start_takes_the_best_rates_and_cuts_depths(data, key):
    masks, values, fold = data
    found = grow(masks, values, fold, FOLDS, CONFIGS, 3, key)
    assert len(found) == FOLDS + 1
    assert max(d for lane in found for d in lane) == 3
    wanted = mean_prediction([best(*data, config.cut(3), key) for config in CONFIGS], masks)
    np.testing.assert_allclose(values_at(found, masks), wanted, atol=1e-5)
    # Equal settings are used once.
    assert len(ensemble.start(masks, values, fold, FOLDS, CONFIGS[:1] * 3, 3, key).found) == 1


def test_settings_are_data(data, key):
    masks, values, fold = data
    grow(masks, values, fold, FOLDS, CONFIGS, 4, key)
    known = ensemble._grow._cache_size()
    other = tuple(
        dataclasses.replace(c, min_child=4.0, leaf_l2=1.0, columns=0.8, patience=5) for c in CONFIGS
    )
    changed = grow(masks, 2 * values, fold, FOLDS, other, 4, key)
    # Also when settings become equal, or too few rows are left for deep trees.
    grow(masks, values, np.where(np.arange(160) < 30, fold, -1), FOLDS, other, 4, key)
    assert ensemble._grow._cache_size() == known
    parts = [best(masks, 2 * values, fold, config, key) for config in other]
    wanted = mean_prediction(parts, np.asarray(masks))
    np.testing.assert_allclose(values_at(changed, masks), wanted, atol=1e-4)


def test_the_callers_settings_of_jax_hold(data, key):
    on_device = [jnp.asarray(x) for x in data]
    wanted = grow(*data, FOLDS, CONFIGS, 4, key)
    with jax.transfer_guard("disallow"):
        found = grow(*on_device, FOLDS, CONFIGS, 4, key)
        with pytest.raises(jax.errors.JaxRuntimeError, match="host-to-device"):
            grow(*data, FOLDS, CONFIGS, 4, key)
    chex.assert_trees_all_equal(found, wanted)


def test_arguments_are_checked(data, key):
    masks, values, fold = data
    with pytest.raises(ValueError, match="values must have shape"):
        grow(masks, values[:-1], fold, FOLDS, CONFIGS, 3, key)
    with pytest.raises(ValueError, match="at least one configuration"):
        grow(masks, values, fold, FOLDS, (), 3, key)
    with pytest.raises(ValueError, match="depth must be between 1"):
        grow(masks, values, fold, FOLDS, CONFIGS, 0, key)


def test_nothing_to_learn_is_an_empty_ensemble(data, key):
    masks, _, fold = data
    found = grow(masks, np.zeros(len(masks), np.float32), fold, FOLDS, CONFIGS, 3, key)
    assert set(found[-1]) <= {0, 1, 2, 3}
    np.testing.assert_array_equal(values_at(found, masks), 0.0)
