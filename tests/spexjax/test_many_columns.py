"""Fits of thousands of inputs: their columns, and L1 regression on those that matter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax import masks
from spexjax.codes import gf2
from spexjax.regression import lasso_solve, lipschitz, matmul
from spexjax.regression.proximal import violation
from spexjax.surrogates import folds, normal, working_sets
from spexjax.surrogates.problem import Rows


@pytest.mark.parametrize("n", [1, 32, 33, 1000, 1025, 2048, 2049, 3000, 4097, 10_000, 100_000])
def test_fits_have_room_for_all_inputs_and_few_more(n):
    room = folds.padded(n)
    assert n <= room and room % gf2.WORD == 0
    assert gf2.num_words(room) == gf2.num_words(n)  # so that sets are packed alike
    assert room < n + 1024 and (n > 2048 or room == gf2.WORD * gf2.num_words(n))


def test_the_equations_of_coded_masks_leave_out_what_no_input_needs():
    n, rng = 2100, np.random.default_rng(0)
    design = masks.coded_design(jax.random.key(0, impl="threefry2x32"), n, 2, 2, 2)
    room = folds.padded(n)
    assert room < design.shifts.shape[-1] * gf2.WORD
    bits = np.zeros((8, room), bool)
    bits[:, :n] = rng.random((8, n)) < 0.5
    members = np.array([[-1, -1], [3, 2099], [-1, 7], [500, 501]], np.int32)
    y, coded = rng.normal(size=8), rng.normal(size=design.num_masks)
    found = normal.normal(
        design, coded.astype(np.float32), np.ones((2, design.num_delays), np.float32),
        Rows(bits, y.astype(np.float32), np.ones(8, np.float32)), members,
        folds.allowed_columns(members, n, room),
    )  # fmt: skip
    seen = np.concatenate([bits, np.pad(design.masks(), ((0, 0), (0, room - n)))])
    signs = 1.0 - 2.0 * seen
    sets = [signs[:, [i for i in row if i >= 0]].prod(axis=1) for row in members]
    X = np.concatenate([np.ones((len(seen), 1)), signs, np.stack(sets, axis=1)], axis=1)
    X[:, ~np.asarray(found.allowed)] = 0
    np.testing.assert_allclose(found.gram, X.T @ X / len(X), atol=1e-5)
    values = np.concatenate([y, coded])
    np.testing.assert_allclose(found.correlations, X.T @ values / len(X), atol=1e-5)


def problem(columns, seed=0):
    """Equations of 80 masks, the levels of four lanes, and the columns that these may use."""
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((80, columns)) < 0.5, -1.0, 1.0)
    X[:, 0] = 1.0
    y = 1.0 + X[:, 1:9] @ rng.normal(size=8) + 0.3 * rng.normal(size=80)
    G, b = (X.T @ X / 80).astype(np.float32), (X.T @ y / 80).astype(np.float32)
    penalty = rng.uniform(0.5, 2.0, (4, columns)).astype(np.float32)
    penalty[:, 0] = 0.0
    levels = np.array([0.5, 0.3, 0.2, 0.4], np.float32)[:, None] * penalty
    mask = np.ones((4, columns), bool)
    mask[2, 5:40] = False
    mask[3] = False
    return jnp.asarray(G), jnp.asarray(b), jnp.asarray(levels), jnp.asarray(mask)


@pytest.mark.parametrize("most", [0, 96])
def test_a_start_on_few_columns_is_as_good_as_a_solution(monkeypatch, most):
    monkeypatch.setattr(working_sets, "SIZE", 128)
    monkeypatch.setattr(working_sets, "_MOST", most)
    G, b, levels, mask = problem(600)
    steepness = lipschitz(lambda w: matmul(w, G), b)
    sizes = []

    def gram_of(index):
        sizes.append(index.shape)
        return G[index][:, index]

    w = working_sets.start_of_lasso(
        lambda w: matmul(w, G), gram_of, b, levels, mask, steepness, jnp.zeros((4, 600)),
        jnp.float32(1e-4), jnp.int32(500),
    )  # fmt: skip
    wanted, _ = lasso_solve(
        lambda w: matmul(w, G), jnp.broadcast_to(b, levels.shape), jnp.ones(4), steepness,
        penalty=levels, mask=mask, tol=1e-6,
    )  # fmt: skip
    assert sizes == [(128,)] and not np.any(np.asarray(w)[~np.asarray(mask)])
    off = jnp.where(mask, violation(w, b - matmul(w, G), levels), 0.0).max(axis=1)
    if most:
        assert np.all(off <= 2e-4 * jnp.max(jnp.abs(b)))
        np.testing.assert_allclose(w, wanted, atol=2e-3)
    else:  # more are in use than there is room for, ∅ among them: the start is the one given
        assert not np.any(w)


def test_l1_regression_of_many_columns_ends_at_the_minimum():
    columns = working_sets.SIZE + 100
    G, b, _, _ = problem(columns)
    equations = normal.Normal(
        None, G, b, jnp.ones(columns, bool), lipschitz(lambda w: matmul(w, G), b), jnp.float32(1)
    )
    penalty = np.ones((normal.LANES, columns), np.float32)
    penalty[:, 0] = 0.0
    lanes = normal.Lanes.of([0.5, 0.2, 0.1], np.ones(columns, bool), 1e-4, 500)
    w = normal.lasso(
        equations, lanes, penalty, np.zeros_like(penalty), np.zeros(normal.LANES, np.int32), b
    )
    vanishing = float(jnp.max(jnp.abs(b[1:])))
    level = np.array([0.5, 0.2, 0.1], np.float32)[:, None] * vanishing * penalty[:3]
    off = violation(w[:3], b - matmul(w[:3], G), jnp.asarray(level))
    assert float(jnp.max(off)) <= 1.1e-4 * float(jnp.max(jnp.abs(b)))
    assert np.count_nonzero(w[0]) < np.count_nonzero(w[2]) < 200 and not np.any(w[3:])
