"""Mask distributions of the baselines."""

import itertools
from math import comb

import jax
import numpy as np
import pytest

from spexjax import masks
from spexjax.codes import gf2
from spexjax.masks import shapley_kernel


def ints(rows, n):
    return [int("".join("01"[int(b)] for b in row), 2) for row in gf2.unpack_numpy(rows, n)]


@pytest.mark.parametrize("n", [2, 3, 7, 12, 40])
@pytest.mark.parametrize("paired", [True, False])
def test_plan(n, paired):
    for budget in (0, 1, 5, 60, 900):
        if budget > 2**n - 3:
            continue
        plan = shapley_kernel.plan_sizes(n, budget, 0.5, paired)
        assert plan.counts[[0, n]].sum() == 0
        assert budget - 2 <= plan.counts.sum() <= budget or (paired and budget < 2)
        assert all(plan.counts[s] <= comb(n, s) for s in range(n + 1))
        assert all(plan.counts[s] == comb(n, s) for s in np.flatnonzero(plan.complete))
        if paired:
            assert (plan.counts == plan.counts[::-1]).all()
        # What is sampled is proportional to the kernel.
        sampled = ~plan.complete & (plan.expected > 0)
        ratio = plan.expected[sampled] / shapley_kernel.kernel_mass(n)[sampled]
        if len(ratio):
            assert np.ptp(ratio) <= 1e-9 * ratio.max()


def test_counts_are_the_expectation_on_average():
    draws = [shapley_kernel.plan_sizes(60, 100, (i + 0.5) / 400) for i in range(400)]
    mean = np.mean([d.counts for d in draws], axis=0)
    np.testing.assert_allclose(mean, draws[0].expected, atol=0.02)
    assert draws[0].expected[20:40].max() < 1  # many sizes, fewer masks


@pytest.mark.parametrize("n,budget", [(5, 20), (8, 100), (12, 500), (12, 4000), (70, 301)])
@pytest.mark.parametrize("paired", [True, False])
def test_masks(key, n, budget, paired):
    rows, plan = shapley_kernel.shapley_masks(key, n, budget, paired)
    sizes = gf2.unpack_numpy(rows, n).sum(axis=1)
    assert len(np.unique(rows, axis=0)) == len(rows) <= budget
    assert len(rows) >= budget - 1 - (not paired)
    np.testing.assert_array_equal(np.bincount(sizes, minlength=n + 1), plan.counts)
    if paired:
        numbers = set(ints(rows, n))
        assert {2**n - 1 - i for i in numbers} == numbers
    again, _ = shapley_kernel.shapley_masks(key, n, budget, paired)
    np.testing.assert_array_equal(rows, again)


def test_subsets_are_uniform_and_each_depends_on_its_number(key):
    sizes = np.full(6000, 2)
    rows = shapley_kernel.random_subsets(key, 5, sizes)
    bits = gf2.unpack_numpy(rows, 5)
    assert (bits.sum(axis=1) == 2).all()
    counts = np.bincount(rows[:, 0])[[3, 5, 6, 9, 10, 12, 17, 18, 20, 24]]
    chi2 = ((counts - 600) ** 2 / 600).sum()
    assert counts.sum() == 6000 and chi2 < 27.9  # 99.9 % of nine degrees of freedom
    later = shapley_kernel.random_subsets(key, 5, sizes[:50], start=1500)
    np.testing.assert_array_equal(later, rows[1500:1550])


def test_weights_are_unbiased(key):
    """The weighted sum of any function of masks is that of the kernel, on average."""
    n, budget, uniform = 9, 60, 30
    g = np.random.default_rng(0).standard_normal(2**n)
    masks = np.arange(2**n)
    size = np.bitwise_count(masks).astype(int)
    kernel = np.array([1 / (comb(n, s) * s * (n - s)) if 0 < s < n else 0 for s in size])
    right = (kernel * g).sum() / kernel.sum()
    ratios = []
    for i in range(150):
        k = jax.random.fold_in(key, i)
        rows, plan = shapley_kernel.shapley_masks(k, n, budget)
        rest = np.setdiff1d(masks[1:-1], rows[:, 0])
        more = np.random.default_rng(i).choice(rest, uniform, replace=False)
        every = np.concatenate([rows[:, 0], more])
        w = shapley_kernel.kernel_weights(size[every], plan, uniform, n)
        assert (w > 0).all() and w.max() == 1
        ratios.append((w * g[every]).sum() / w.sum())
    error = np.std(ratios) / np.sqrt(len(ratios))
    assert abs(np.mean(ratios) - right) < 4 * error + 0.01 * np.abs(g).mean()


def test_paired_uniform(key):
    taken = np.array([[0b0001], [0b1110], [0b0111]], np.uint32)
    rows = masks.paired_uniform(key, 4, 9, taken)
    numbers = rows[:, 0].tolist()
    assert len(set(numbers)) == 9 and not set(numbers) & {0, 15, 1, 14, 7, 8}
    assert all(
        a + b == 15 for a, b in itertools.pairwise(numbers[:8:]) if numbers.index(a) % 2 == 0
    )
    with pytest.raises(ValueError, match="count must be at most 10, got 11"):
        masks.paired_uniform(key, 4, 11, taken)
    assert len(masks.paired_uniform(key, 200, 3000, np.zeros((0, 8), np.uint32))) == 3000
