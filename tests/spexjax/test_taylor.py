"""Shapley-Taylor values from permutations."""

import itertools
from math import comb

import jax
import numpy as np
import pytest
from oracles import all_masks

from spexjax.codes import gf2
from spexjax.masks import BudgetError, permutations
from spexjax.spectra import subsets


def random_values(n, seed):
    return np.random.default_rng(seed).standard_normal(2**n)


def by_definition(f, n, order):
    """{S: STII}: derivatives below ``order``; at it their mean over all permutations."""
    index = {tuple(np.flatnonzero(m)): i for i, m in enumerate(all_masks(n))}

    def derivative(s, base):
        return sum(
            (-1) ** (len(s) - k) * f[index[tuple(sorted((*base, *r)))]]
            for k in range(len(s) + 1)
            for r in itertools.combinations(s, k)
        )

    out = {s: derivative(s, ()) for k in range(order) for s in itertools.combinations(range(n), k)}
    orders = list(itertools.permutations(range(n)))
    for s in itertools.combinations(range(n), order):
        before = [p[: min(p.index(i) for i in s)] for p in orders]
        out[s] = np.mean([derivative(s, b) for b in before])
    return out


@pytest.mark.parametrize("n,order", [(5, 1), (6, 2), (7, 3), (6, 4), (9, 4)])
def test_the_least_budget_pays_for_one_permutation(key, n, order):
    least = permutations.least_budget(n, order)
    plan = permutations.permutation_masks(key, n, order, least)
    assert len(plan.rows) == least == len(np.unique(plan.rows, axis=0))
    assert sorted(plan.sets[: comb(n, order)].tolist()) == list(range(comb(n, order)))
    bits = gf2.unpack_numpy(plan.rows, n)
    assert bits[0].all() and not bits[1].any()
    below = [tuple(np.flatnonzero(b)) for b in bits]
    for k in range(order):
        assert set(itertools.combinations(range(n), k)) <= set(below)
    if least > 2:
        assert len(permutations.permutation_masks(key, n, order, least - 1).sets) < comb(n, order)


@pytest.mark.parametrize("budget", [20, 29, 31])
def test_never_above_the_budget(key, budget):
    for i in range(5):
        plan = permutations.permutation_masks(jax.random.fold_in(key, i), 6, 2, budget)
        assert len(plan.rows) <= budget
        assert plan.cubes.max() < len(plan.rows)


@pytest.mark.parametrize("n,order", [(5, 1), (5, 2), (6, 3)])
def test_the_mean_over_permutations(key, n, order):
    """With all masks but one the permutations average out; values add up to f(1) exactly."""
    f = random_values(n, 0)
    right = by_definition(f, n, order)
    sets = subsets.terms(n, order)
    plan = permutations.permutation_masks(key, n, order, 2**n)
    found = permutations.values(plan, f[plan.rows[:, 0]][:, None], sets, order)[:, 0]
    names = [tuple(m[m >= 0].tolist()) for m in sets.members]
    lower = [i for i, s in enumerate(names) if len(s) < order]
    np.testing.assert_allclose(found[lower], [right[names[i]] for i in lower], atol=1e-9)
    once = permutations.permutation_masks(key, n, order, permutations.least_budget(n, order))
    sampled = permutations.values(once, f[once.rows[:, 0]][:, None], sets, order)[:, 0]
    assert sampled.sum() == pytest.approx(f[-1]) and found.sum() == pytest.approx(f[-1])
    top = [i for i, s in enumerate(names) if len(s) == order]
    exact = np.array([right[names[i]] for i in top])
    assert np.abs(found[top] - exact).max() < np.abs(sampled[top] - exact).max() + 1e-9


def test_unbiased(key):
    n, order = 5, 2
    f = random_values(n, 1)
    right = by_definition(f, n, order)
    sets = subsets.terms(n, order)
    draws = []
    for i in range(200):
        plan = permutations.permutation_masks(
            jax.random.fold_in(key, i), n, order, permutations.least_budget(n, order)
        )
        draws.append(permutations.values(plan, f[plan.rows[:, 0]][:, None], sets, order)[:, 0])
    names = [tuple(m[m >= 0].tolist()) for m in sets.members]
    exact = np.array([right[s] for s in names])
    error = np.std(draws, axis=0) / np.sqrt(len(draws)) + 1e-9
    assert (np.abs(np.mean(draws, axis=0) - exact) < 4.5 * error).all()


def test_terms_are_all_sets_by_size_then_in_lexical_order():
    sets = subsets.terms(5, 3)
    assert len(sets.sizes) == subsets.count(5, 3) == 26
    names = [tuple(m[m >= 0].tolist()) for m in sets.members]
    assert names == [s for k in range(4) for s in itertools.combinations(range(5), k)]
    assert subsets.terms(2, 4).members.shape == (4, 2)


def test_more_than_a_thousand_permutations(key):
    """The budget ends the sampling, not a number of permutations."""
    sampled = permutations.permutation_masks(key, 10, 1, 2**10)
    assert len(sampled.rows) == 2**10
    assert len(sampled.sets) > 1000 * 10


def test_sampling_ends_when_hardly_a_mask_is_left(key):
    sampled = permutations.permutation_masks(key, 12, 1, 2**12)
    assert 0.98 * 2**12 < len(sampled.rows) <= 2**12


def test_arguments_out_of_range(key):
    with pytest.raises(ValueError, match="order must be between 1 and n = 5, got 6"):
        permutations.permutation_masks(key, 5, 6, 32)
    with pytest.raises(BudgetError, match="budget must be at least 7 for n = 5, order = 2"):
        permutations.permutation_masks(key, 5, 2, 6)


def test_fourier_from_mobius():
    sets = subsets.terms(6, 3)
    m = np.random.default_rng(0).standard_normal((len(sets.sizes), 2))
    w = subsets.fourier_from_mobius(sets, m, 6)
    masks = all_masks(6)
    names = [list(r[r >= 0]) for r in sets.members]
    left = sum(v[:, None] * masks[:, s].all(axis=1) for s, v in zip(names, m, strict=True))
    right = sum(
        v[:, None] * (-1.0) ** masks[:, s].sum(axis=1) for s, v in zip(names, w, strict=True)
    )
    np.testing.assert_allclose(left, right, atol=1e-9)
