"""The L1 proximal step as an optax transformation, and the solver built of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spexjax import regression
from spexjax.regression.fista import soft_threshold

S = 12
ONES, ALL = np.ones(S, np.float32), np.ones(S, bool)


def operator(G):
    return lambda w: jnp.matmul(w, G, precision="highest")


def problem(kind):
    """G and b of least squares on 60 rows, of which w_0, w_1 and noise make y."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, S))
    if kind == "correlated":
        X += 1.5 * rng.standard_normal((60, 1))
    if kind == "unlike columns":
        X *= np.geomspace(0.3, 3, S)
    y = X[:, 0] - 2 * X[:, 1] + rng.standard_normal(60)
    return np.float32(X.T @ X / 60), np.float32(X.T @ y / 60)


@functools.partial(jax.jit, static_argnames="solver")
def solve(solver, G, b, strength, penalty=ONES, mask=ALL):
    product = operator(G)
    L = regression.lipschitz(product, b)
    # Below 2e-6 the rounding of a product may hide what is left.
    return solver(product, b, strength, L, penalty=penalty, mask=mask, tol=3e-6)


@pytest.mark.parametrize("kind", ["plain", "correlated", "unlike columns"])
def test_the_accelerated_solver_reaches_the_minimum_of_the_plain_one(kind):
    G, b = problem(kind)
    rng = np.random.default_rng(0)
    penalty = np.float32(rng.uniform(0.5, 2, S))
    penalty[3] = 0
    for weights, mask in (
        (ONES, ALL),
        (penalty, np.arange(S) % 5 != 4),
    ):
        strengths = np.abs(b).max() * np.float32([0.5, 0.1, 0.01])
        B = jnp.broadcast_to(b, (3, S))
        plain, info = solve(regression.proximal_gradient, G, B, strengths, weights, mask)
        fast, quick = solve(regression.lasso_solve, G, B, strengths, weights, mask)
        assert bool(info.converged.all()) and bool(quick.converged.all())
        assert plain.dtype == jnp.float32 and info.iterations.dtype == jnp.int32
        np.testing.assert_allclose(plain, fast, atol=1e-4 * np.abs(fast).max())
        assert np.array_equal(np.asarray(plain) == 0, np.asarray(fast) == 0)
        assert not plain[:, ~mask].any() and (plain[0] == 0).sum() > (plain[2] == 0).sum()


def test_the_plain_solver_under_vmap_and_its_limit():
    G, b = problem("plain")
    L = regression.lipschitz(operator(G), b)
    run = lambda b, s: regression.proximal_gradient(operator(G), b, s, L)  # noqa: E731
    B, strengths = np.stack([b, -2 * b, 0 * b]), np.float32([0.1, 0.05, 0.2])
    mapped, info = jax.jit(jax.vmap(run))(B, strengths)
    lanes, _ = run(B, strengths)
    np.testing.assert_allclose(mapped, lanes, atol=1e-5)
    assert bool(info.converged.all()) and int(info.iterations[2]) == 0
    again, info = regression.proximal_gradient(
        operator(G), b, strengths[0], L, w0=mapped[0], tol=1e-5
    )
    assert int(info.iterations) == 0 and np.array_equal(again, mapped[0])
    _, info = regression.proximal_gradient(operator(G), b, strengths[0], L, max_iter=3)
    assert int(info.iterations) == 3 and not bool(info.converged)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_plain_solver_at_any_scale(scale):
    G, b = problem("plain")
    w, _ = solve(regression.proximal_gradient, G, b, np.float32(0.1))
    scale = np.float32(scale)
    ours, info = solve(regression.proximal_gradient, G, scale * b, scale * np.float32(0.1))
    assert bool(info.converged)
    np.testing.assert_allclose(np.asarray(ours, float) / scale, w, atol=1e-4)


@pytest.mark.parametrize(
    "solver", [regression.proximal_gradient, regression.lasso_solve, regression.ridge_solve]
)
def test_double_precision_switched_on_changes_no_bit(solver):
    G, b = problem("plain")
    L = () if solver is regression.ridge_solve else (5.0,)
    found = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            w, info = solver(operator(jnp.asarray(G)), b, 0.05, *L, mask=ALL, w0=b)
            found.append([np.asarray(x) for x in (w, *info)])
    for a, c in zip(*found, strict=True):
        assert a.dtype == c.dtype and np.array_equal(a, c)


def test_the_update_is_the_proximal_step():
    rng = np.random.default_rng(1)
    w, move = (jnp.asarray(rng.standard_normal((2, S)), jnp.float32) for _ in range(2))
    strength, rate = jnp.float32([[0.5], [2.0]]), jnp.float32(0.3)
    penalty = jnp.asarray(rng.uniform(0, 2, S), jnp.float32)
    mask = jnp.arange(S, dtype=jnp.int32) != 4
    step = regression.proximal_l1(strength, rate, penalty=penalty, mask=mask)
    updates, _ = step.update(move, step.init(w), w)
    expected = jnp.where(mask, soft_threshold(w + move, strength * rate * penalty), 0.0)
    new = optax.apply_updates(w, updates)
    np.testing.assert_allclose(new, expected, atol=1e-6)
    assert np.array_equal(np.asarray(new) == 0, np.asarray(expected) == 0)
    assert (np.asarray(expected) == 0).mean() > 0.2


def test_it_needs_the_parameters_and_fitting_shapes():
    w = jnp.ones(3, jnp.float32)
    step = regression.proximal_l1(0.1, 0.1)
    with pytest.raises(ValueError, match="needs the parameters"):
        step.update(w, step.init(w))
    with pytest.raises(AssertionError, match="broadcastable"):
        regression.proximal_l1(0.1, 0.1, penalty=jnp.ones(2)).update(w, step.init(w), w)


def descend(optimizer, gradient, params, steps=400):
    """``steps`` of any optimizer, jitted."""

    @jax.jit
    def run(params):
        def one(carry, _):
            params, state = carry
            updates, state = optimizer.update(gradient(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(one, (params, optimizer.init(params)), None, steps)[0][0]

    return run(params)


def test_it_composes_with_other_transformations():
    """Momentum, clipping, and a mask over a tree of parameters lead to the same minimum."""
    G, b = problem("plain")
    strength, rate = 0.1, 0.2
    target, _ = solve(regression.lasso_solve, G, b, jnp.float32(strength))
    assert 0 < np.count_nonzero(target) < S
    start = jnp.zeros(S, jnp.float32)
    gradient = lambda w: operator(G)(w) - b  # noqa: E731
    for optimizer in (
        optax.chain(optax.sgd(rate, momentum=0.5), regression.proximal_l1(strength, 2 * rate)),
        optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.sgd(rate),
            regression.proximal_l1(strength, rate),
        ),
    ):
        w = descend(optimizer, gradient, start)
        np.testing.assert_allclose(w, target, atol=1e-4)
        assert np.array_equal(np.asarray(w) == 0, np.asarray(target) == 0)

    sparse = optax.masked(regression.proximal_l1(strength, rate), {"w": True, "level": False})
    both = descend(
        optax.chain(optax.sgd(rate), sparse),
        lambda p: {"w": gradient(p["w"]), "level": p["level"] - 3},
        {"w": start, "level": jnp.float32(0)},
    )
    np.testing.assert_allclose(both["w"], target, atol=1e-4)
    assert float(both["level"]) == pytest.approx(3, abs=1e-4)
