"""The solvers on operators, against float64 oracles written from the optimality conditions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.regression import proximal_gradient
from spexjax.regression.fista import lasso_solve, lipschitz, ridge_solve, soft_threshold


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def gram(rng, correlation=0.0, N=60, S=20):
    X = np.sqrt(correlation) * rng.standard_normal((N, 1)) + np.sqrt(
        1 - correlation
    ) * rng.standard_normal((N, S))
    y = X[:, 0] - 2 * X[:, 1] + rng.standard_normal(N)
    return X.T @ X / N, X.T @ y / N


def descend(G, b, threshold, free, sweeps=5000):
    """Coordinate descent in float64 on ½ wᵀGw − bᵀw + Σ threshold_j |w_j| over the free w_j."""
    w = np.zeros(len(b))
    for _ in range(sweeps):
        before = w.copy()
        for j in np.flatnonzero(free):
            rest = b[j] - G[j] @ w + G[j, j] * w[j]
            w[j] = np.sign(rest) * max(abs(rest) - threshold[j], 0) / G[j, j]
        if np.abs(w - before).max() < 1e-13:
            break
    return w


@jax.jit
def solve_lasso(G, b, strength, L=None, **options):
    """One program for the tests that solve a single problem."""
    product = lambda w: jnp.matmul(w, G, precision="highest")  # noqa: E731
    L = lipschitz(product, b) if L is None else L
    return lasso_solve(product, b, strength, L, **options)


def f32(x):
    return jnp.asarray(x, jnp.float32)


def operator(G):
    G = f32(G)
    return lambda w: jnp.matmul(w, G, precision="highest")


def close(ours, theirs, share=1e-3):
    assert np.abs(np.asarray(ours) - theirs).max() <= share * np.abs(theirs).max()


@pytest.mark.parametrize("correlation", [0.0, 0.95])
def test_lasso_lanes_match_coordinate_descent(rng, correlation):
    G, b = gram(rng, correlation)
    top = np.abs(b).max()
    strengths = top * np.array([[0.5, 0.1], [0.02, 0.001]])
    penalty = rng.uniform(0.5, 2.0, len(b))
    penalty[3] = 0.0
    mask = np.arange(len(b)) != 5
    w, info = lasso_solve(
        operator(G),
        jnp.broadcast_to(f32(b), (2, 2, len(b))),
        f32(strengths),
        lipschitz(operator(G), f32(b)),
        penalty=f32(penalty),
        mask=jnp.asarray(mask),
    )
    assert w.shape == (2, 2, len(b)) and w.dtype == jnp.float32
    assert info.iterations.dtype == jnp.int32 and bool(info.converged.all())
    for i in np.ndindex(2, 2):
        exact = descend(G, b, strengths[i] * penalty, mask)
        close(w[i], exact)
        assert np.array_equal(np.asarray(w[i]) == 0, exact == 0)
        assert w[i][3] != 0 and w[i][5] == 0


def test_lasso_at_strength_zero_is_least_squares(rng):
    G, b = gram(rng)
    w, info = solve_lasso(f32(G), f32(b), f32(0.0))
    # Without a penalty no sign is an edge, so this is conjugate gradients in 20 dimensions.
    assert bool(info.converged) and int(info.iterations) <= 25
    close(w, np.linalg.solve(G, b))


def test_lasso_lanes_do_not_touch_each_other(rng):
    G, b = gram(rng, 0.9)
    B = f32(np.stack([b, -3 * b[::-1], 0 * b]))
    strengths = f32([0.1, 0.01, 0.2])
    together, info = solve_lasso(f32(G), B, strengths)
    for i in range(3):
        alone, one = solve_lasso(f32(G), B[i], strengths[i])
        assert bool(one.converged) and bool(info.converged[i])
        close(together[i], np.asarray(alone), 1e-5)
    assert not together[2].any() and int(info.iterations[2]) == 0


def test_lasso_finds_out_too_small_a_lipschitz(rng):
    G, b = gram(rng)
    w, info = solve_lasso(f32(G), f32(b), f32(0.05), f32(1e-3))
    assert bool(info.converged)
    close(w, descend(G, b, np.full(len(b), 0.05), np.ones(len(b), bool)))


def test_lasso_started_at_the_solution_stands_still(rng):
    G, b = gram(rng)
    w, _ = solve_lasso(f32(G), f32(b), f32(0.05))
    again, info = solve_lasso(f32(G), f32(b), f32(0.05), w0=w, tol=f32(2e-6))
    assert int(info.iterations) == 0 and np.array_equal(w, again)


def test_lasso_gives_up_at_max_iter_and_says_so(rng):
    G, b = gram(rng, 0.95)
    w, info = solve_lasso(f32(G), f32(b), f32(1e-3), max_iter=3)
    assert int(info.iterations) == 3 and not bool(info.converged) and float(info.gap) > 1e-6
    assert np.isfinite(w).all()


def test_faces_make_strong_correlation_cheap(rng):
    """A proximal step is as short as the common factor is strong; FISTA alone needs thousands."""
    G, b = gram(rng, 0.95, N=300, S=100)
    condition = np.linalg.cond(G)
    w, info = solve_lasso(f32(G), f32(b), f32(0.02 * np.abs(b).max()), tol=f32(1e-5))
    assert bool(info.converged) and condition > 1e3
    assert int(info.iterations) < 500
    close(w, descend(G, b, np.full(len(b), 0.02 * np.abs(b).max()), np.ones(len(b), bool)), 5e-3)


def test_lasso_reports_nan(rng):
    G, b = gram(rng)
    _, info = solve_lasso(f32(G), f32(b).at[0].set(jnp.nan), f32(0.1))
    assert not bool(info.converged)


@pytest.mark.parametrize("preconditioned", [False, True])
def test_ridge_lanes_match_a_direct_solve(rng, preconditioned):
    G, b = gram(rng)
    scale = 10.0 ** rng.uniform(-1, 1, len(b)) if preconditioned else np.ones(len(b))
    G, b = G * scale * scale[:, None], b * scale
    strengths, penalty = np.array([0.5, 0.01, 0.0]), rng.uniform(0.5, 2.0, len(b))
    mask = np.arange(len(b)) != 5
    w, info = ridge_solve(
        operator(G),
        jnp.broadcast_to(f32(b), (3, len(b))),
        f32(strengths),
        penalty=f32(penalty),
        mask=jnp.asarray(mask),
        diagonal=f32(np.diag(G)) if preconditioned else None,
    )
    assert bool(info.converged.all()) and float(info.gap.max()) < 1e-5
    for i, strength in enumerate(strengths):
        A = (G + strength * np.diag(penalty))[np.ix_(mask, mask)]
        close(w[i][mask], np.linalg.solve(A, b[mask]), 1e-4)
        assert w[i][5] == 0


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_the_right_hand_side_does_not_matter(rng, scale):
    G, b = gram(rng)
    w, _ = solve_lasso(f32(G), f32(b), f32(0.05))
    scaled, info = solve_lasso(f32(G), f32(scale * b), f32(scale * 0.05))
    assert bool(info.converged)
    close(np.asarray(scaled, float) / scale, np.asarray(w), 1e-4)
    w, info = ridge_solve(operator(G), f32(scale * b), 0.1)
    assert bool(info.converged)
    close(np.asarray(w, float) / scale, np.linalg.solve(G + 0.1 * np.eye(len(b)), b), 1e-4)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_scale_of_the_operator_does_not_matter(rng, scale):
    G, b = gram(rng)
    w, _ = solve_lasso(f32(G), f32(b), f32(0.05))
    scaled, info = solve_lasso(f32(scale * G), f32(b), f32(0.05))
    assert bool(info.converged)
    close(np.asarray(scaled, float) * scale, np.asarray(w), 1e-4)


def test_a_start_is_left_where_there_is_no_right_hand_side(rng):
    G, b = gram(rng)
    for solve in (
        lambda: lasso_solve(operator(G), f32(0 * b), 0.1, 5.0, w0=f32(b)),
        lambda: ridge_solve(operator(G), f32(0 * b), 0.1, w0=f32(b)),
    ):
        w, info = solve()
        assert not w.any() and bool(info.converged)


def test_a_singular_operator_is_reported():
    flat = lambda w: w * jnp.float32([1.0, 0.0])  # noqa: E731
    w, info = ridge_solve(flat, jnp.ones(2, jnp.float32), 0.0)
    assert not bool(info.converged) and np.isfinite(w).all()


def test_shapes_and_types_that_do_not_fit_are_refused():
    b = jnp.ones((2, 3), jnp.float32)
    same = lambda w: w  # noqa: E731
    solvers = (
        lambda G, **given: ridge_solve(G, b, 0.1, **given),
        lambda G, **given: lasso_solve(G, b, 0.1, 1.0, **given),
        lambda G, **given: proximal_gradient(G, b, 0.1, 1.0, **given),
    )
    for solve in solvers:
        for given in (
            {"penalty": jnp.ones(2)},
            {"mask": jnp.ones((3, 3), bool)},
            {"w0": jnp.ones((2, 1, 3))},
            {"tol": jnp.ones(3)},
        ):
            with pytest.raises(AssertionError, match="broadcastable"):
                solve(same, **given)
        with pytest.raises(AssertionError, match="shape"):
            solve(lambda w: w[:1])
        with pytest.raises(AssertionError, match="type"):
            solve(lambda w: w.astype(jnp.bfloat16))
    with pytest.raises(AssertionError, match="broadcastable"):
        ridge_solve(same, b, jnp.ones(3))
    with pytest.raises(AssertionError, match="broadcastable"):
        lasso_solve(same, b, 0.1, jnp.ones(3))
    with pytest.raises(AssertionError, match="broadcastable"):
        ridge_solve(same, b, 0.1, diagonal=jnp.ones(2))
    with pytest.raises(ValueError, match="rhs must have shape"):
        ridge_solve(same, jnp.float32(1), 0.1)
    with pytest.raises(AssertionError, match="broadcastable"):
        lipschitz(same, b, mask=jnp.ones(2, bool))


def test_ridge_warm_start_and_limit(rng):
    G, b = gram(rng)
    w, _ = ridge_solve(operator(G), f32(b), 0.1)
    _, info = ridge_solve(operator(G), f32(b), 0.1, w0=w, tol=1e-5)
    assert int(info.iterations) == 0 and bool(info.converged)
    _, info = ridge_solve(operator(G), f32(b), 0.0, max_iter=2)
    assert int(info.iterations) == 2 and not bool(info.converged)


def test_lipschitz_is_the_largest_eigenvalue(rng):
    G, _ = gram(rng, 0.5)
    like = jnp.zeros((2, len(G)))
    scaled = lambda w: jnp.float32([[1.0], [3.0]]) * operator(G)(w)  # noqa: E731
    top = np.linalg.eigvalsh(G)[-1]
    np.testing.assert_allclose(lipschitz(scaled, like), [1.02 * top, 3 * 1.02 * top], rtol=0.02)
    mask = np.arange(len(G)) < 5
    top = np.linalg.eigvalsh(G[:5, :5])[-1]
    np.testing.assert_allclose(
        lipschitz(operator(G), like[0], mask=jnp.asarray(mask), iterations=50),
        1.02 * top,
        rtol=0.02,
    )


def test_solvers_jit_and_vmap(rng):
    G, b = gram(rng)
    B, strengths = f32(np.stack([b, 2 * b])), f32([0.1, 0.2])
    L = lipschitz(operator(G), f32(b))
    for solve in (
        lambda b, s: lasso_solve(operator(G), b, s, L)[0],
        lambda b, s: ridge_solve(operator(G), b, s)[0],
    ):
        mapped = jax.jit(jax.vmap(solve))(B, strengths)
        for i in range(2):
            close(mapped[i], np.asarray(solve(B[i], strengths[i])), 1e-5)


def test_soft_threshold():
    x = jnp.float32([-2.0, -0.5, 0.0, 0.5, 2.0])
    np.testing.assert_array_equal(soft_threshold(x, jnp.float32(1.0)), [-1.0, 0.0, 0.0, 0.0, 1.0])
