"""Soft decoding of single words."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax import masks
from spexjax.codes import bch, chase, gf2


@pytest.fixture(scope="module")
def design():
    return masks.coded_design(jax.random.key(0, impl="threefry2x32"), 100, 3, 5, 1)


def noisy_words(design, sigma, count, seed, degree=5):
    """Random sets, and their measurements ±1 with random sign and Gaussian noise."""
    rng = np.random.default_rng(seed)
    n = int(design.n)
    sets = np.zeros((count, n), bool)
    for row in sets:
        row[rng.choice(n, rng.integers(1, degree + 1), replace=False)] = True
    delays = gf2.unpack_numpy(np.asarray(design.delays), n)
    clean = (-1.0) ** (sets.astype(int) @ delays.T.astype(int))
    clean *= rng.choice([-1.0, 1.0], (count, 1))
    return sets, np.float32(clean + sigma * rng.standard_normal(clean.shape))


def error_rate(design, sets, u, patterns=None):
    support, ok = chase.chase_decode(design.code, design.delays, u, design.n, patterns)
    good = np.all(gf2.unpack_numpy(np.asarray(support), int(design.n)) == sets, axis=1)
    return 1 - np.mean(good & np.asarray(ok))


@pytest.mark.parametrize("places,count", [(4, 5), (6, 22), (6, 64), (10, 56)])
def test_flip_subsets_hold_the_cheapest_for_any_costs(places, count):
    subsets = chase.flip_subsets(places, count)
    every = np.array(list(itertools.product([0, 1], repeat=places)), bool)
    rng = np.random.default_rng(0)
    for _ in range(50):
        costs = np.sort(rng.exponential(size=places) ** rng.choice([0.3, 1, 3]))
        best = np.sort(every @ costs)[:count]
        np.testing.assert_allclose(np.sort(subsets @ costs)[:count], best)
    assert len(subsets) == len({tuple(row) for row in subsets})


def test_the_published_number_of_subsets_is_enough_for_five_errors():
    assert chase.num_patterns(5) == 56
    assert len(chase.flip_subsets(10, 56)) < 130


def test_soft_syndromes_are_those_of_the_cheapest_flips(design):
    code = design.code
    u = np.random.default_rng(0).standard_normal((4, design.num_delays)).astype(np.float32)
    soft = np.asarray(chase.soft_syndromes(code, jnp.asarray(u), 7))
    np.testing.assert_array_equal(soft[:, 0], chase.hard_syndromes(code, jnp.asarray(u)))
    for row, word in zip(soft, u, strict=True):
        least = np.argsort(np.abs(word))[: 2 * code.t]
        flips = sorted(
            itertools.chain.from_iterable(
                itertools.combinations(least.tolist(), r) for r in range(len(least) + 1)
            ),
            key=lambda s: sum(abs(word[i]) for i in s),
        )[:7]
        expected = []
        for flip in flips:
            w = word.copy()
            w[list(flip)] *= -1
            bits = (w[1:] < 0) ^ (w[0] < 0)
            expected.append(np.asarray(bch.syndromes(code, jnp.asarray(bits))))
        np.testing.assert_array_equal(row, expected)


def test_a_clean_word_decodes_as_the_hard_decoder_does(design):
    sets, u = noisy_words(design, 0.0, 50, 1)
    bits = (u[:, 1:] < 0) ^ (u[:, :1] < 0)
    hard, _, ok = bch.hard_decode(design.code, jnp.asarray(bits), design.n)
    soft, soft_ok = chase.chase_decode(design.code, design.delays, u, design.n)
    assert np.all(ok) and np.all(soft_ok)
    np.testing.assert_array_equal(soft, hard)
    assert error_rate(design, sets, u) == 0


def test_one_pattern_is_hard_decoding(design):
    _, u = noisy_words(design, 0.6, 200, 2)
    bits = (u[:, 1:] < 0) ^ (u[:, :1] < 0)
    hard, _, ok = bch.hard_decode(design.code, jnp.asarray(bits), design.n)
    one, one_ok = chase.chase_decode(design.code, design.delays, u, design.n, 1)
    np.testing.assert_array_equal(one_ok, ok)
    np.testing.assert_array_equal(one, hard)
    assert 0 < np.mean(ok) < 1


@pytest.mark.parametrize("sigma", [0.4, 0.6, 0.8])
def test_soft_decoding_errs_less_than_hard(design, sigma):
    sets, u = noisy_words(design, sigma, 400, 3)
    assert error_rate(design, sets, u) < 0.8 * error_rate(design, sets, u, 1)


def test_a_wrong_reference_sign_is_corrected(design):
    sets, u = noisy_words(design, 0.0, 50, 4)
    u[:, 0] *= -0.1
    assert error_rate(design, sets, u, 1) > 0.9
    assert error_rate(design, sets, u) == 0


def test_leading_axes_and_vmap(design):
    _, u = noisy_words(design, 0.5, 6, 5)
    flat, ok = chase.chase_decode(design.code, design.delays, u, design.n)
    shaped, _ = chase.chase_decode(design.code, design.delays, u.reshape(2, 3, -1), design.n)
    np.testing.assert_array_equal(shaped.reshape(flat.shape), flat)
    one_by_one, each = jax.vmap(
        lambda v: chase.chase_decode(design.code, design.delays, v, design.n)
    )(u)
    np.testing.assert_array_equal(one_by_one, flat)
    np.testing.assert_array_equal(each, ok)


def test_misshapen_arguments_are_refused(design):
    _, u = noisy_words(design, 0.5, 2, 5)
    with pytest.raises(AssertionError):
        chase.chase_decode(design.code, design.delays, u[:, 1:], design.n)
    with pytest.raises(ValueError, match="delays must have shape"):
        chase.chase_decode(design.code, design.delays[1:], u[:, 1:], design.n)
    with pytest.raises(AssertionError):
        bch.hard_decode(design.code, u[:, 2:] < 0, design.n)
