"""ProxySPEX, and ``auto``, which weighs what trees, decoding and screening propose."""

import dataclasses

import jax
import numpy as np
import oracles
import pytest

from spexjax import Auto, ProxySpex, masks
from spexjax.codes import gf2
from spexjax.explain import explain
from spexjax.masks import sampling
from spexjax.methods import proxyspex_paper
from spexjax.spectra import subsets
from spexjax.spectra.subsets import Sets
from spexjax.surrogates import fitted, penalties, proposals, screening
from spexjax.surrogates.proposals import Proposal, Wider
from spexjax.trees import fourier, lightgbm
from spexjax.trees.boosting import BoostConfig

pytestmark = pytest.mark.loose_promotion
N_FEATURES, BUDGET = 24, 500
# Small trees and few sets: what is tested is that they are found and fitted.
SMALL = (BoostConfig(depth=3, trees=60, patience=15),)
AUTO = Auto(wider=Wider(sets=120, boosts=SMALL))
PROXY = ProxySpex(terms=120, boosts=SMALL)


def hierarchical(seed=0):
    """Sets with all their subsets, as in ProxySPEX's premise."""
    rng = np.random.default_rng(seed)
    terms = {(): 1.0}
    for big in ((0, 3, 7), (1, 4), (2, 9, 11)):
        for mask in range(1, 2 ** len(big)):
            small = tuple(m for i, m in enumerate(big) if mask >> i & 1)
            terms[small] = float(rng.choice([-1, 1]) * rng.uniform(0.5, 2))
    return terms


def function(terms, sigma=0.0):
    rng = np.random.default_rng(5)

    def f(bits):
        return oracles.evaluate(terms, bits) + sigma * rng.standard_normal(len(bits))

    return f


def fresh(count=1000):
    return np.random.default_rng(9).random((count, N_FEATURES)) < 0.5


def held_out_r2(e, terms):
    truth = oracles.evaluate(terms, fresh())
    return 1 - np.mean((truth - np.asarray(e.predict(fresh()))) ** 2) / np.var(truth)


@pytest.fixture(scope="module")
def explained():
    terms = hierarchical()
    return {m.__class__.__name__: explain(function(terms, 0.3), N_FEATURES, budget=BUDGET, method=m)
            for m in (PROXY, AUTO)}  # fmt: skip


@pytest.mark.parametrize("name,method", [("ProxySpex", "proxyspex"), ("Auto", "auto")])
def test_planted_hierarchies_are_found(explained, name, method):
    e, terms = explained[name], hierarchical()
    assert e.method == method and e.calls == BUDGET
    found = e.spectrum.to_dict()
    assert all(abs(found.get(k, 0.0) - v) < 0.15 for k, v in terms.items())
    assert held_out_r2(e, terms) > 0.98
    assert float(e.faithfulness) > 0.9


def test_the_same_seed_gives_the_same_bits(explained):
    again = explain(function(hierarchical(), 0.3), N_FEATURES, budget=BUDGET, method=AUTO)
    np.testing.assert_array_equal(
        again.spectrum.coefficients, explained["Auto"].spectrum.coefficients
    )


def test_auto_finds_pairs_without_trees():
    rng = np.random.default_rng(1)
    pairs = {(i, i + 1): float(rng.uniform(0.5, 1.0)) for i in range(0, 20, 2)}
    config = Auto(wider=Wider(sets=120, boosts=()))
    e = explain(function(pairs, 0.1), N_FEATURES, budget=300, method=config)
    assert e.method == "auto"
    assert held_out_r2(e, pairs) > 0.95


def test_noise_is_reported_as_such():
    for method in (AUTO, PROXY):
        e = explain(function({(): 1.0}, 1.0), N_FEATURES, budget=BUDGET, method=method)
        assert abs(float(e.faithfulness)) < 0.15
        assert float(e.spectrum.energy()) < 0.1


@pytest.mark.parametrize("n,budget", [(40, 301), (9, 200), (6, 50)])
def test_pairs_are_complements_and_stay_together(n, budget, key):
    plan = masks.plan_budget(n, budget, coded=False)
    drawn = sampling.sample(key, n, budget, 5, plan.held_out, paired=True)
    samples = fitted.samples(drawn, np.zeros((len(drawn), 1)))
    bits = gf2.unpack_numpy(samples.rows, n)
    assert len(np.unique(bits, axis=0)) == len(bits) == budget
    assert samples.held_out.sum() == plan.held_out
    own = drawn.unit[fitted.uncoded(drawn)]
    units, sizes = np.unique(own, return_counts=True)
    pairs = units[sizes == 2]
    for unit in pairs:
        first, second = bits[own == unit]
        np.testing.assert_array_equal(first, ~second)
    assert sizes.max() == 2 and not np.isin(own[samples.held_out], pairs).any()
    # All pairs that are left are drawn; at n = 40 none is used up.
    assert n < 40 or 2 * len(pairs) >= budget - plan.held_out - 3
    assert set(pairs % 5) == set(range(5))


def test_pairs_part_even_from_odd():
    """A pair's sum has no odd terms: many strong inputs do not hide a weak pair of inputs."""
    rng = np.random.default_rng(0)
    terms = {(i,): float(rng.normal()) for i in range(N_FEATURES)} | {(2, 5): 0.4, (7, 8): -0.4}
    e = explain(
        function(terms), N_FEATURES, budget=200, method=dataclasses.replace(PROXY, masks="paired")
    )
    assert e.method == "proxyspex" and e.calls == 200
    assert held_out_r2(e, terms) > 0.99
    with pytest.raises(ValueError, match="masks must be one of uniform, paired"):
        ProxySpex(masks="odd")


def test_max_order_bounds_the_sets():
    e = explain(function(hierarchical()), N_FEATURES, budget=BUDGET, method=PROXY, max_order=2)
    assert max(map(len, e.spectrum.to_dict())) == 2


def test_vector_values_equal_scalar_runs(explained):
    parts = [hierarchical(), hierarchical(3)]
    noise = function({}, 0.3)

    def both(bits):
        extra = noise(bits)
        return np.stack([oracles.evaluate(p, bits) + extra for p in parts], axis=1)

    e = explain(both, N_FEATURES, budget=BUDGET, method=PROXY)
    assert e.num_outputs == 2 and e.faithfulness.shape == (2,)
    expected = explained["ProxySpex"].spectrum.to_dict()
    found = e[0].spectrum.to_dict()
    assert set(found) == set(expected)
    assert all(abs(found[k] - v) < 1e-3 for k, v in expected.items())


def test_few_masks_are_fitted_by_a_process():
    f = function(hierarchical())
    e = explain(f, N_FEATURES, budget=60)
    assert e.method == "auto"
    alone = explain(f, N_FEATURES, budget=60, method="linear")
    fresh = np.random.default_rng(1).random((2000, N_FEATURES)) < 0.5
    errors = [np.mean((f(fresh) - x.predict(fresh)) ** 2) for x in (e, alone)]
    assert errors[0] <= 1.1 * errors[1]


def test_screening_ranks_pairs_by_correlation():
    rng = np.random.default_rng(0)
    bits = rng.random((300, 6)) < 0.5
    signs, residual = 1.0 - 2.0 * bits, rng.standard_normal((2, 300))
    found = jax.jit(screening._screen, static_argnums=4)(
        signs.astype(np.float32), residual.astype(np.float32), np.ones((2, 6), np.float32),
        np.int32(5), 12,
    )  # fmt: skip
    for lane in range(2):
        size = {
            (i, j): abs(np.sum(residual[lane] * signs[:, i] * signs[:, j]))
            for i in range(5)
            for j in range(i + 1, 5)
        }
        expected = sorted(size, key=lambda pair: -size[pair])
        assert [tuple(p) for p in np.asarray(found)[lane].tolist()] == expected + 2 * [(-1, -1)]


def test_sets_take_turns_and_occur_once():
    given = np.array([[-1, 0, 1], [-1, -1, -1]], np.int32)
    sets = np.array([[-1, 0, 1], [2, 3, 4], [-1, 2, 3]], np.int32)
    pairs = np.array([[2, 3], [1, 4], [0, 1]], np.int32)
    sizes = np.array([3.0, 2.0, 1.0], np.float32)
    members, strength = proposals.rank(given, sets, sizes, pairs, 5)
    rows = [tuple(m for m in row if m >= 0) for row in members.tolist()]
    assert sorted(rows[:3]) == [(1, 4), (2, 3), (2, 3, 4)] and rows[3:] == [(), ()]
    assert rows[0] == (2, 3)
    known = dict(zip(rows, strength[2:].tolist(), strict=True))
    assert strength[:2].tolist() == [3.0, 0.0]
    assert known[(2, 3)] == 1.0 and known[(2, 3, 4)] == 2.0 and known[(1, 4)] == 0.0


def test_penalties_are_those_of_their_definitions():
    members = np.array([[[-1, 0, 1], [0, 1, 2]]], np.int32)
    given, single = np.zeros((1, 2), bool), np.array([[1.0, 2.0, 4.0, 0.0]])
    proposal = Proposal(members, given, np.array([[0.0, 4.0]]), single)
    found = {s: w[0] for s, w in penalties.penalties(proposal).items()}
    assert all(row[0] == 0 for row in found.values())
    np.testing.assert_allclose(found["plain"][1:], 1)
    # The median of 1, 2, 4 and 4 is 3.
    np.testing.assert_allclose(found["trees"][6], np.sqrt(3 / 4.3), rtol=1e-5)
    # In units of their median 2, inputs 0 and 1 have strengths 1/2 and 1.
    # Of the first set the trees know nothing.
    expected = 3 * (np.sqrt(0.5) + 0.05) ** -1.0 * np.sqrt(2)
    np.testing.assert_allclose(found["heredity"][5], expected, rtol=1e-4)
    np.testing.assert_allclose(found["linear"][1:6], [0.1, 0.1, 0.1, 0.1, expected], rtol=1e-4)


def test_interactions_are_found_beside_a_long_linear_part():
    """Every input matters and a few pairs do: L1 alone would shrink the inputs for the pairs."""
    rng = np.random.default_rng(2)
    terms = {(i,): float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)) for i in range(N_FEATURES)}
    terms |= {(i, i + 5): 0.5 for i in range(0, 12, 2)}
    e = explain(function(terms, 0.2), N_FEATURES, budget=200, method=AUTO)
    linear = explain(function(terms, 0.2), N_FEATURES, budget=200, method="linear")
    assert held_out_r2(e, terms) > max(0.98, held_out_r2(linear, terms) + 0.02)


def test_the_published_rule_keeps_95_percent_of_the_energy():
    sets = {
        0: Sets(np.zeros((1, 0), int), np.array([100.0])),
        1: Sets(np.array([[0], [3]]), np.array([1.0, -3.0])),
        2: Sets(np.array([[1, 2]]), np.array([2.0])),
    }
    expected = subsets.pack(np.array([[-1, 3], [1, 2], [-1, 0]]), 5)
    np.testing.assert_array_equal(proxyspex_paper.strongest(sets, 5), expected)
    sets[1] = Sets(sets[1].members, np.array([0.1, -3.0]))
    np.testing.assert_array_equal(proxyspex_paper.strongest(sets, 5), expected[:2])


@pytest.mark.parametrize("proxy", ["jax", "lightgbm"])
def test_the_published_recipe(proxy, monkeypatch):
    if proxy == "lightgbm":
        pytest.importorskip("lightgbm")
    monkeypatch.setattr(proxyspex_paper, "COUNTS", (20, 60))
    monkeypatch.setattr(proxyspex_paper, "DEPTHS", (3, None))
    terms = hierarchical()
    e = explain(
        function(terms), N_FEATURES, budget=BUDGET, method=ProxySpex(recipe="paper", proxy=proxy)
    )
    assert e.method == ("proxyspex-paper" if proxy == "lightgbm" else "proxyspex-paper-depth6")
    assert held_out_r2(e, terms) > 0.9


def test_lightgbm_is_expanded_exactly():
    pytest.importorskip("lightgbm")
    n = 8
    bits = np.random.default_rng(0).random((400, n)) < 0.5
    values = oracles.evaluate(oracles.planted_terms(n, 9, 0), bits)
    booster = lightgbm.train(bits, values, None, 0.1, 20)
    table = booster.predict(oracles.all_masks(n).astype(np.float32))
    expected = oracles.fourier(table, n)
    sets = lightgbm.terms(booster, n)
    found = fourier.to_spectrum(sets, n).to_dict()
    assert all(abs(found.get(k, 0.0) - v) < 1e-4 for k, v in expected.items())


def test_settings_are_checked():
    with pytest.raises(ValueError, match="recipe must be one of cv, paper"):
        ProxySpex(recipe="book")
    with pytest.raises(ValueError, match="proxy must be one of"):
        ProxySpex(proxy="xgboost")
    with pytest.raises(ValueError, match="needs recipe='paper'"):
        explain(function({}), N_FEATURES, budget=50, method=ProxySpex(proxy="lightgbm"))
    with pytest.raises(ValueError, match="needs recipe='paper'"):  # before anything is paid for
        explain(pytest.fail, N_FEATURES, budget=50, method=ProxySpex(proxy="lightgbm"))
