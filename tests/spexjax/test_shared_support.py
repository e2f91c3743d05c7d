"""ProxySPEX with one support for many outputs."""

import numpy as np
import oracles
import pytest

from spexjax import Auto, ProxySpex
from spexjax.explain import explain
from spexjax.masks import sampling
from spexjax.surrogates import shared_support
from spexjax.surrogates.folds import Data, Table
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
    data = Data(masks, values.T, np.ones(400), weights, np.zeros(400, np.int32), None, None)
    found = shared_support._ridge(None, data, weights, features, allowed, np.float32(0.1))
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
    fold = (np.arange(256) % 5).astype(np.int32)
    config = Wider(120, boosts=CONFIG.boosts)
    design = sampling.sample(key, N_FEATURES, 10, 5, 2)
    table = Table(masks, np.float32(values).T, fold)
    given = np.full((6, 1, 2), -1, np.int32)
    given[:, 0] = [2, 5]
    sets = shared_support.propose(table, given[:, :0], config, design, 5, key)
    assert sets.shape == (6, 120, 5)
    for lane in sets.tolist():
        assert lane[0] == [-1, -1, -1, 8, 9] and [-1, -1, -1, 2, 5] in lane
    fewer = shared_support.propose(table, given, config, design, 5, key)
    assert not any([-1, -1, -1, 2, 5] in lane for lane in fewer.tolist())


def test_outputs_of_noise_have_a_linear_fit():
    rng = np.random.default_rng(0)

    def f(bits):
        return rng.standard_normal((len(bits), OUTPUTS))

    e = explain(f, N_FEATURES, budget=BUDGET, method=CONFIG)
    assert e.method == "linear"
    assert np.abs(np.asarray(e.faithfulness)).max() < 0.3


def test_auto_uses_trees_beside_decoded_sets():
    """More than 64 outputs of coded masks: sets that no code finds are proposed all the same."""
    rng = np.random.default_rng(4)
    pairs = [(i, j) for j in range(N_FEATURES) for i in range(j)]
    sets = [pairs[k] for k in rng.choice(len(pairs), 60, replace=False)]
    weights = rng.standard_normal((len(sets), OUTPUTS))

    def f(bits):
        kept = np.stack([bits[:, list(s)].all(axis=1) for s in sets], axis=1)
        return kept @ weights + 0.3 * rng.standard_normal((len(bits), OUTPUTS))

    method = Auto(wider=Wider(120, boosts=CONFIG.boosts))
    e = explain(f, N_FEATURES, budget=450, method=method, max_order=2)
    assert e.method == "auto" and e.spectrum.supports.ndim == 2
    assert len(set(sets) & set(e[0].spectrum.to_dict())) > 50
    assert np.mean(e.faithfulness) > 0.9


def test_outputs_count_by_their_energy():
    """An output a million times smaller than another changes nothing, and has its own answer."""
    rng = np.random.default_rng(5)
    weights = rng.standard_normal((2, 70)) * np.r_[np.full(69, 1.0), 1e-6]

    def f(bits):
        return np.stack([bits[:, [0, 1]].all(1), bits[:, 2]], axis=1) @ weights

    e = explain(f, N_FEATURES, budget=BUDGET, method=CONFIG)
    assert np.min(e.faithfulness) > 0.95
    assert e[69].spectrum.to_dict()[(2,)] == pytest.approx(-weights[1, 69] / 2, rel=0.05)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e20])
def test_constant_and_tiny_outputs_disturb_nothing(scale):
    rng = np.random.default_rng(6)
    weights = rng.standard_normal((3, 70))

    def some(bits):
        parts = [bits[:, [0, 1]].all(1), bits[:, [4, 5, 6]].all(1), bits[:, 2]]
        values = scale * (np.stack(parts, axis=1) @ weights)
        values[:, 3] = 7.0 * scale
        values[:, 5] *= 1e-9
        return values

    e = explain(some, N_FEATURES, budget=BUDGET, method=CONFIG)
    assert e.method == "proxyspex"
    assert np.min(e.faithfulness) > 0.9 and e.faithfulness[3] == 1
    assert float(e[3].level) == pytest.approx(7.0 * scale)


def test_sets_of_one_input_are_said_to_be_linear():
    def f(bits):
        return bits.astype(float)[:, :2]

    config = ProxySpex(terms=120, boosts=CONFIG.boosts, shared_support=True)
    with pytest.warns(UserWarning, match="leaves no sets to find"):
        e = explain(f, N_FEATURES, budget=BUDGET, method=config, max_order=1)
    assert e.method == "linear"
