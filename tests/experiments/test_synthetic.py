"""The drawn functions have the spectrum they state, and their noise is a function of the mask."""

import time

import numpy as np
import pytest

from spexjax.experiments.functions import planted, synthetic

EXACT = sorted(set(synthetic.FAMILIES) - {"network"})


def all_masks(n):
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1


def definition(f, n):
    """F(k) of every set from all 2^n values, as a dict without zeros."""
    masks = all_masks(n)
    signs = (-1.0) ** (masks.astype(int) @ masks.astype(int).T)
    coefficients = signs @ f(masks).astype(float) / 2**n
    sets = [tuple(np.flatnonzero(m).tolist()) for m in masks]
    return {s: c for s, c in zip(sets, coefficients, strict=True) if abs(c) > 1e-6}


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("name", EXACT)
def test_spectrum_is_exact(name, n):
    options = {"noise": 0.0} if name == "noise" else {}
    f = synthetic.family(name, n, seed=3, **options)
    expected = {s: c for s, c in f.fourier().items() if abs(c) > 1e-6}
    found = definition(f, n)
    assert expected.keys() == found.keys()
    for s, c in expected.items():
        assert found[s] == pytest.approx(c, abs=1e-5)
    assert name == "noise" or expected


@pytest.mark.parametrize("name", sorted(synthetic.FAMILIES))
def test_drawn_from_the_seed(name):
    masks = np.random.default_rng(0).random((50, 40)) < 0.5
    f, same, other = (synthetic.family(name, 40, seed=s) for s in (1, 1, 2))
    values = f(masks)
    assert values.shape == (50,) and values.dtype == np.float32
    np.testing.assert_array_equal(values, same(masks))
    assert not np.array_equal(values, other(masks))
    np.testing.assert_array_equal(f(masks[:0]), np.zeros(0, np.float32))


@pytest.mark.parametrize("name", sorted(synthetic.FAMILIES))
def test_noise_belongs_to_the_mask(name):
    masks = np.random.default_rng(0).random((20_000, 70)) < 0.5
    quiet = synthetic.family(name, 70, seed=1, noise=0.0)(masks)
    noisy = synthetic.family(name, 70, seed=1, noise=0.5)
    noise = noisy(masks) - quiet
    order = np.random.default_rng(1).permutation(len(masks))
    np.testing.assert_array_equal(noisy(masks[order]), noisy(masks)[order])
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(0.5, abs=0.02)


def test_noise_is_gaussian_and_white():
    """Kurtosis 3, and no correlation between masks that differ in one input."""
    masks = np.random.default_rng(0).random((40_000, 33)) < 0.5
    noise = planted.mask_noise(masks, 1.0, seed=5)
    assert np.mean(noise**4) == pytest.approx(3, abs=0.15)
    for i in (0, 31, 32):
        neighbour = masks.copy()
        neighbour[:, i] ^= True
        correlation = np.mean(noise * planted.mask_noise(neighbour, 1.0, seed=5))
        assert abs(correlation) < 0.03
    assert abs(np.mean(noise * planted.mask_noise(masks, 1.0, seed=6))) < 0.03


def test_flat_has_the_terms_asked_for():
    f = synthetic.flat(1000, seed=0, n_terms=100)
    sizes = [len(s) for s in f.fourier()]
    assert sorted(set(sizes)) == [1, 2, 3, 4, 5] and len(sizes) == 100
    magnitudes = np.abs(f.coefficients)
    assert magnitudes.min() >= 0.5 and magnitudes.max() <= 2
    assert {np.sign(c) for c in f.coefficients} == {-1, 1}


def test_few_inputs_have_few_sets():
    assert sorted(synthetic.flat(2, seed=0, n_terms=100).fourier()) == [(0,), (0, 1), (1,)]
    assert len(synthetic.flat(9, seed=0, n_terms=40, degrees=[1, 2]).fourier()) == 40


def test_hierarchical_is_closed_under_subsets():
    terms = synthetic.hierarchical(30, seed=0).fourier()
    closed = all(t in terms for s in terms for t in planted.subsets(s) if t)
    assert closed and max(map(len, terms)) == 5
    some = synthetic.hierarchical(30, seed=0, share=0.3).fourier()
    assert 10 < len(some) < len(terms)


def test_heavy_tail():
    c = np.sort(synthetic.heavy(200, seed=0, n_terms=200).coefficients.astype(float) ** 2)[::-1]
    assert c[:10].sum() > 0.8 * c.sum()


def test_network_spectrum_decays():
    """Degree 1 holds most energy, yet no few terms hold it all."""
    found = definition(synthetic.network(8, seed=0, gain=1.5), 8)
    found.pop(())
    total = sum(c**2 for c in found.values())
    assert len(found) > 200
    assert 0.5 * total < sum(c**2 for s, c in found.items() if len(s) == 1) < 0.999 * total


@pytest.mark.parametrize("name", ["linear", "conjunctions"])
def test_values_by_hand(name):
    f = synthetic.family(name, 12, seed=4)
    masks = np.random.default_rng(0).random((30, 12)) < 0.5
    by_hand = [
        sum(c * (-1) ** sum(m[i] for i in s) for s, c in f.fourier().items())
        for m in masks.astype(int)
    ]
    np.testing.assert_allclose(f(masks), by_hand, atol=1e-4)


def test_large_call_is_fast():
    f = synthetic.flat(1000, seed=0, noise=0.5)
    masks = np.random.default_rng(0).random((43_008, 1000)) < 0.5
    start = time.perf_counter()
    f(masks)
    assert time.perf_counter() - start < 5


def test_bad_input():
    with pytest.raises(ValueError, match="did you mean 'hierarchical'"):
        synthetic.family("hierarchic", 10, 0)
    with pytest.raises(ValueError, match="n must be at least 1"):
        synthetic.family("flat", 0, 0)
    with pytest.raises(ValueError, match=r"shape \(N, 10\)"):
        synthetic.family("flat", 10, 0)(np.zeros((3, 9), bool))
