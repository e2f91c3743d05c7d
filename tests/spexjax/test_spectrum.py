"""The sparse spectrum: prediction, energy, truncation, merging, dicts."""

import copy
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum

N_FEATURES = 40


@pytest.fixture
def terms():
    return {(): 0.7, **oracles.planted_terms(N_FEATURES, 20, 0)}


@pytest.fixture
def some_masks():
    return np.random.default_rng(1).random((100, N_FEATURES)) < 0.5


def test_dicts_make_the_round_trip(terms):
    s = Spectrum.from_dict(terms, N_FEATURES)
    back = s.to_dict()
    assert set(back) == set(terms)
    assert all(abs(back[k] - terms[k]) < 1e-6 for k in terms)
    assert s.num_features == N_FEATURES and s.capacity == 32 and s.num_outputs is None
    sizes = [abs(v) for v in back.values()]
    assert sizes == sorted(sizes, reverse=True)


def test_predict_is_the_definition(terms, some_masks):
    s = Spectrum.from_dict(terms, N_FEATURES)
    expected = oracles.evaluate(terms, some_masks)
    np.testing.assert_allclose(s.predict(some_masks), expected, atol=1e-5)
    np.testing.assert_allclose(jax.jit(Spectrum.predict)(s, some_masks), expected, atol=1e-5)


def test_energy_is_the_variance_over_all_masks():
    terms = {(): 3.0, (0,): 1.0, (1, 2): -0.5}
    values = oracles.evaluate(terms, oracles.all_masks(5))
    assert float(Spectrum.from_dict(terms, 5).energy()) == pytest.approx(values.var(), rel=1e-6)


def test_truncate_keeps_the_largest_and_the_empty_set(terms):
    kept = Spectrum.from_dict(terms, N_FEATURES).truncate(5).to_dict()
    largest = sorted((k for k in terms if k), key=lambda k: -abs(terms[k]))[:5]
    assert set(kept) == {(), *largest}
    without = {k: v for k, v in terms.items() if k}
    assert len(Spectrum.from_dict(without, N_FEATURES).truncate(5).to_dict()) == 5


def test_merge_adds_equal_supports(terms, some_masks):
    other = {k: 1.0 for k in list(terms)[:7]} | {(1, 2, 3, 4, 6): 0.25}
    first, second = (Spectrum.from_dict(x, N_FEATURES) for x in (terms, other))
    both = jax.jit(spectrum.merge)(first, second)
    expected = {k: terms.get(k, 0) + other.get(k, 0) for k in {**terms, **other}}
    found = both.to_dict()
    assert set(found) == set(expected)
    assert all(abs(found[k] - expected[k]) < 1e-6 for k in expected)
    together = first.predict(some_masks) + second.predict(some_masks)
    np.testing.assert_allclose(both.predict(some_masks), together, atol=1e-5)


def test_several_outputs_with_own_and_with_shared_supports(terms, some_masks):
    other = oracles.planted_terms(N_FEATURES, 9, 3)
    scalar = [Spectrum.from_dict(x, N_FEATURES) for x in (terms, other)]
    own = spectrum.stack(scalar)
    shared = Spectrum(
        scalar[0].supports,
        jnp.stack([scalar[0].coefficients, 2 * scalar[0].coefficients]),
        scalar[0].valid,
        scalar[0].n,
    )
    chex.assert_shape(own.predict(some_masks), (100, 2))
    np.testing.assert_allclose(
        own.predict(some_masks)[:, 1], scalar[1].predict(some_masks), atol=1e-5
    )
    assert own[1].to_dict() == scalar[1].to_dict()
    np.testing.assert_allclose(
        shared.predict(some_masks)[:, 1], 2 * scalar[0].predict(some_masks), atol=1e-5
    )
    np.testing.assert_allclose(own.energy(), [s.energy() for s in scalar], rtol=1e-6)
    assert shared[0].to_dict() == scalar[0].to_dict()
    assert set(shared.truncate(4)[0].to_dict()) == set(scalar[0].truncate(4).to_dict())
    with pytest.raises(ValueError, match="needs one output"):
        own.to_dict()
    with pytest.raises(ValueError, match="one output"):
        scalar[0][0]


def test_bad_dicts():
    with pytest.raises(ValueError, match="between 0 and 4"):
        Spectrum.from_dict({(0, 5): 1.0}, 5)
    with pytest.raises(ValueError, match="distinct"):
        Spectrum.from_dict({(0, 1): 1.0, (1, 0): 2.0}, 5)


def test_a_spectrum_prints_one_line_and_compares_by_identity(terms):
    s = Spectrum.from_dict(terms, N_FEATURES)
    assert repr(s) == str(s) == "Spectrum(n=40, 21 terms, capacity 32)"
    assert repr(spectrum.stack([s, s])) == "Spectrum(n=40, 42 terms, 2 outputs, capacity 32)"
    assert s == s and s != Spectrum.from_dict(terms, N_FEATURES)
    seen = []
    jax.jit(lambda s: seen.append(repr(s)) or s)(s)
    assert seen[0].startswith("Spectrum(")


def test_pickles_and_copies(terms):
    s = Spectrum.from_dict(terms, N_FEATURES)
    for again in (pickle.loads(pickle.dumps(s)), copy.copy(s), copy.deepcopy(s)):
        chex.assert_trees_all_equal(again, s)
        assert again.to_dict() == s.to_dict()


def test_outputs_can_be_looped_over(terms):
    s = Spectrum.from_dict(terms, N_FEATURES)
    both = spectrum.stack([s, s])
    assert len(list(both)) == 2 and both[-1].to_dict() == s.to_dict()
    with pytest.raises(IndexError, match="output must be below 2, got 2"):
        both[2]
    with pytest.raises(ValueError, match="merge needs spectra of one output"):
        spectrum.merge(both, s)
