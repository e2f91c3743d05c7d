"""ProxySPEX with one support for many outputs."""

import numpy as np
import oracles
import pytest

from spexjax import ProxySpex
from spexjax.explain import explain
from spexjax.surrogates import shared_support
from spexjax.surrogates.proposals import Wider
from spexjax.trees.boosting import BoostConfig

pytestmark = pytest.mark.loose_promotion
N_FEATURES, BUDGET, OUTPUTS = 24, 500, 70
CONFIG = ProxySpex(terms=120, boosts=(BoostConfig(depth=3, trees=60, patience=15),))


@pytest.fixture(scope="module")
def planted():
    """70 mixtures of three functions on sets with all their subsets."""
    rng = np.random.default_rng(0)
    sets = [
        tuple(m for i, m in enumerate(big) if mask >> i & 1)
        for big in ((0, 3, 7), (1, 4), (2, 9, 11))
        for mask in range(1, 2 ** len(big))
    ]
    sources = [{s: float(rng.choice([-1, 1]) * rng.uniform(0.5, 2)) for s in sets}] + [
        {s: float(rng.standard_normal()) for s in sets} for _ in range(2)
    ]
    weights = rng.standard_normal((3, OUTPUTS))
    level = rng.uniform(-50, 50, OUTPUTS)

    def clean(bits):
        return np.stack([oracles.evaluate(s, bits) for s in sources], axis=1) @ weights + level

    noise = np.random.default_rng(1)

    def f(bits):
        return clean(bits) + 0.3 * noise.standard_normal((len(bits), OUTPUTS))

    return sets, clean, f


@pytest.fixture(scope="module")
def explained(planted):
    return explain(planted[2], N_FEATURES, budget=BUDGET, method=CONFIG)


def test_sets_are_found_for_all_outputs(planted, explained):
    sets, clean, _ = planted
    assert explained.method == "proxyspex" and explained.calls == BUDGET
    assert explained.spectrum.supports.ndim == 2 and explained.faithfulness.shape == (OUTPUTS,)
    assert set(sets) <= set(explained[0].spectrum.to_dict())
    masks = np.random.default_rng(9).random((1000, N_FEATURES)) < 0.5
    truth = clean(masks)
    error = np.mean((truth - np.asarray(explained.predict(masks))) ** 2, axis=0)
    assert (error / np.var(truth, axis=0)).max() < 0.02
    assert np.asarray(explained.faithfulness).min() > 0.8


def test_coefficients_are_those_of_ridge():
    rng = np.random.default_rng(3)
    masks, values = rng.random((400, 8)) < 0.5, rng.standard_normal((400, 3)).astype(np.float32)
    features = np.array([[-1, 0, 3], [1, 4, 5], [-1, -1, -1]], np.int32)
    allowed = np.arange(1 + 8 + 3) < 11
    weights = (np.arange(400) < 300).astype(np.float32)
    data = shared_support._Data(masks, values, weights, np.zeros(400, np.int32))
    found = shared_support._ridge(data, features, allowed, np.float32(0.1))
    signs = 1.0 - 2.0 * masks
    sets = [signs[:, [0, 3]].prod(axis=1), signs[:, [1, 4, 5]].prod(axis=1)]
    X = np.column_stack([np.ones(400), signs, *sets])[:300]
    penalty = np.diag([0.0] + [0.1 * 400] * 10)
    expected = np.linalg.solve(X.T @ X + penalty, X.T @ values[:300]).T
    np.testing.assert_allclose(found[:, :11], expected, atol=1e-4)
    np.testing.assert_array_equal(found[:, 11], 0)


def test_sets_rank_by_the_energy_of_all_directions(key):
    rng = np.random.default_rng(2)
    masks = rng.random((256, 32)) < 0.5
    masks[:, N_FEATURES:] = False
    signs = 1.0 - 2.0 * masks
    # Greedy trees come upon a pair by way of its members.
    values = [s * signs[:, i] * (1 + 2 * signs[:, j]) for s, i, j in ((1, 2, 5), (3, 8, 9))]
    values = np.stack(values, axis=1)
    fold = (np.arange(256) % shared_support.FOLDS).astype(np.int32)
    config = Wider(120, boosts=CONFIG.boosts)
    sets = shared_support.propose(masks, np.float32(values), fold, config, N_FEATURES, 5, key)
    assert sets.shape == (shared_support.FOLDS + 1, 120, 5)
    for lane in sets.tolist():
        assert lane[0] == [-1, -1, -1, 8, 9] and [-1, -1, -1, 2, 5] in lane


def test_outputs_of_noise_have_a_linear_fit():
    rng = np.random.default_rng(0)

    def f(bits):
        return rng.standard_normal((len(bits), OUTPUTS))

    e = explain(f, N_FEATURES, budget=BUDGET, method=CONFIG)
    assert e.method == "linear"
    assert np.abs(np.asarray(e.faithfulness)).max() < 0.3
