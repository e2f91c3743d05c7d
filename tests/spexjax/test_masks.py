"""Mask designs: structure, nesting, no repeats, pinned numbers, the budget."""

import functools
import hashlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax import masks
from spexjax.codes import bch, gf2
from spexjax.masks import permutations, shapley_kernel


def test_masks_are_the_affine_cosets_of_the_definition(key):
    n, b, t, C = 40, 3, 2, 2
    design = masks.coded_design(key, n, b, t, C)
    M = gf2.unpack_numpy(np.asarray(design.matrices), n)  # (C, b, n): columns of M_c
    s = gf2.unpack_numpy(np.asarray(design.shifts), n)
    d = np.concatenate([np.zeros((1, n), bool), bch.parity_matrix(n, t)])
    expected = [
        (M[c].T.astype(int) @ ((ell >> np.arange(b)) & 1) + d[i] + s[c]) % 2 == 1
        for c in range(C)
        for i in range(len(d))
        for ell in range(2**b)
    ]
    chex.assert_shape(design.packed(), (design.num_masks, 2))
    np.testing.assert_array_equal(design.masks(), np.stack(expected))
    np.testing.assert_array_equal(design.masks(17, 40), np.stack(expected)[17:40])
    assert design.num_masks == masks.design_cost(n, b, t, C) == len(expected)


@pytest.mark.parametrize("n", [1, 2, 5, 33, 1000, 10_000])
def test_designs_exist_for_every_n(key, n):
    b = min(n, 4)
    design = masks.coded_design(key, n, b)
    packed = np.asarray(design.packed())
    assert packed.shape == (design.num_masks, gf2.num_words(n))
    assert not np.any(packed & ~np.asarray(gf2.valid_bits(n, packed.shape[1])))
    for c in range(3):
        assert gf2.rank(np.asarray(design.matrices)[c]) == b


def test_a_smaller_design_is_part_of_a_larger_one(key):
    large = {row.tobytes() for row in np.asarray(masks.coded_design(key, 64, 6, 3, 3).packed())}
    for b, groups in [(5, 3), (3, 3), (6, 2)]:
        small = np.asarray(masks.coded_design(key, 64, b, 3, groups).packed())
        assert all(row.tobytes() in large for row in small)


def test_no_coded_mask_repeats_at_large_n(key):
    packed = np.asarray(masks.coded_design(key, 200, 7).packed())
    assert len(masks.unique_rows(packed)[0]) == len(packed)


def digest(*arrays):
    words = b"".join(np.asarray(a).astype("<i8").tobytes() for a in arrays)
    return hashlib.sha256(words).hexdigest()[:16]


# These digests may never change: paid answers are stored under these masks.
GOLDEN = {
    "coded-7": (lambda k: masks.coded_design(k, 7, 7, 1, 2).packed(), "8a817e6a2cdf6603"),
    "coded-100": (lambda k: masks.coded_design(k, 100, 4, 3, 2).packed(), "f68e580e540e8a51"),
    "coded-1000": (lambda k: masks.coded_design(k, 1000, 5).packed(), "eb688770e25499de"),
    "uniform-7": (lambda k: masks.uniform_packed(k, 7, 0, 50), "7d80d3a85ae71902"),
    "uniform-100": (lambda k: masks.uniform_packed(k, 100, 3, 1500), "9cf7f5bd2f6740de"),
    "fresh-7": (lambda k: masks.fresh_uniform(k, 7, 40, masks.all_packed(3)), "e9bca015488cc4e8"),
    "paired-100": (
        lambda k: masks.paired_uniform(k, 100, 31, masks.uniform_packed(k, 100, 0, 9)),
        "11dded1e84970ac9",
    ),
    "shapley-8": (lambda k: shapley_kernel.shapley_masks(k, 8, 100)[0], "a6ad74ab11c3f64d"),
    "shapley-70": (
        lambda k: shapley_kernel.shapley_masks(k, 70, 301, paired=False)[0],
        "bf74e70e26f9dc3c",
    ),
    "subsets-40": (
        lambda k: shapley_kernel.random_subsets(k, 40, np.arange(30), 1010),
        "c176987fb7847087",
    ),
    "permutations-6": (
        lambda k: permutations.permutation_masks(k, 6, 2, 31).rows,
        "821fe05a769ed4fd",
    ),
    "permutations-20": (
        lambda k: permutations.permutation_masks(k, 20, 2, 900).rows,
        "187ef094ecbdf348",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_masks(key, name):
    draw, expected = GOLDEN[name]
    assert digest(draw(key)) == expected


def test_the_uniform_stream_depends_on_key_and_index_only(key):
    whole = masks.uniform_packed(key, 70, 0, 3000)
    np.testing.assert_array_equal(masks.uniform_packed(key, 70, 990, 2100), whole[990:2100])
    other = masks.uniform_packed(jax.random.fold_in(key, 9), 70, 0, 3000)
    assert not np.any(np.all(other == whole, axis=1))
    share = gf2.unpack_numpy(whole, 70).mean(axis=0)
    assert np.all(np.abs(share - 0.5) < 5 * 0.5 / np.sqrt(3000))


def test_fresh_masks_repeat_nothing_and_can_be_exhausted(key):
    n = 6
    taken = np.arange(10, dtype=np.uint32)[:, None]
    fresh = masks.fresh_uniform(key, n, 2**n - 10, taken)
    assert sorted(fresh[:, 0].tolist()) == list(range(10, 64))
    np.testing.assert_array_equal(masks.fresh_uniform(key, n, 20, taken), fresh[:20])
    with pytest.raises(ValueError, match="count must be at most 54"):
        masks.fresh_uniform(key, n, 55, taken)


def test_unique_rows_keep_the_order_of_first_appearance():
    rows = np.array([[3, 1], [2, 2], [3, 1], [0, 9], [2, 2]], np.uint32)
    distinct, place = masks.unique_rows(rows)
    np.testing.assert_array_equal(distinct, rows[[0, 1, 3]])
    np.testing.assert_array_equal(distinct[place], rows)


@pytest.mark.parametrize("n", [1, 5, 20, 64, 1000, 10_000])
@pytest.mark.parametrize("budget", [1, 2, 3, 50, 999, 5000, 100_000])
def test_a_plan_spends_the_whole_budget(n, budget):
    plan = masks.plan_budget(n, budget)
    assert plan.total == budget
    assert min(plan.held_out, plan.uniform, plan.coded, plan.endpoints) >= 0
    if plan.b is not None:
        assert plan.coded == masks.design_cost(n, plan.b, 5)
        if plan.b < n:
            dearer = masks.design_cost(n, plan.b + 1, 5)
            assert plan.endpoints + plan.held_out + dearer > budget
    else:
        cheapest = min(cost for _, t, cost in plan.costs if t == 5)
        assert cheapest > budget


def test_held_out_masks_are_a_tenth_between_bounds():
    assert [masks.held_out_size(x) for x in (100, 320, 5000, 50_000)] == [25, 32, 500, 1000]


def test_a_fixed_b_or_no_coded_part():
    assert masks.plan_budget(64, 10_000, b=4).b == 4
    assert masks.plan_budget(64, 100, b=4).b is None
    plan = masks.plan_budget(64, 10_000, coded=False)
    assert plan.b is None and plan.uniform == 10_000 - 2 - 1000


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"n": 0, "budget": 5}, "n must be at least 1"),
        ({"n": 5, "budget": 0}, "budget must be at least 1"),
        ({"n": 5, "budget": 9, "groups": 0}, "groups must be at least 1"),
        ({"n": 5, "budget": 9, "b": 6}, "b must be between 0 and n = 5"),
    ],
)
def test_plan_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        masks.plan_budget(**arguments)


def test_design_errors(key):
    with pytest.raises(ValueError, match="b must be between 0 and n = 4, got 5"):
        masks.coded_design(key, 4, 5)
    with pytest.raises(ValueError, match="groups must be at least 1"):
        masks.coded_design(key, 4, 2, groups=0)
    with pytest.raises(ValueError, match="between 1 and 30"):
        masks.all_packed(31)


def test_designs_under_jit_and_vmap_over_keys(key):
    draw = functools.partial(masks.coded_design, n=40, b=3, t=2, groups=2)
    one = draw(key)
    chex.assert_trees_all_equal(jax.jit(draw)(key), one)
    keys = jnp.stack([key, jax.random.fold_in(key, 1)])
    several = jax.jit(jax.vmap(draw))(keys)
    packed = jax.vmap(masks.CodedDesign.packed)(several)
    for i, k in enumerate(keys):
        np.testing.assert_array_equal(packed[i], draw(k).packed())
    with pytest.raises(ValueError, match="masks\\(\\) is of one design"):
        several.masks()


def test_bits_are_the_masks_on_the_device(key):
    design = masks.coded_design(key, 40, 3, 2, 2)
    bits = np.asarray(jax.jit(masks.CodedDesign.bits)(design))
    np.testing.assert_array_equal(bits[:, :40], design.masks())
    assert bits.shape == (design.num_masks, 64) and not bits[:, 40:].any()
