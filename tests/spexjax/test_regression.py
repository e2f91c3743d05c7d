"""Ridge and L1 regression beside scikit-learn, on benign and on awkward designs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso, LassoCV, Ridge, RidgeCV

from spexjax import regression

pytestmark = pytest.mark.loose_promotion  # optax mixes dtypes
N_ROWS, N_COLUMNS = 120, 30


def design(kind, seed=0):
    """Columns that are independent, strongly correlated, or linearly dependent; and a response."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N_ROWS, N_COLUMNS))
    if kind == "correlated":
        X = np.sqrt(0.05) * X + np.sqrt(0.95) * rng.standard_normal((N_ROWS, 1))
    if kind == "dependent":
        X[:, 20:] = X[:, :10] + X[:, 10:20]
    w = np.zeros(N_COLUMNS)
    w[:5] = [2, -1.5, 1, 0.7, -0.5]
    y = X @ w + 3 + 0.5 * rng.standard_normal(N_ROWS)
    return np.float32(X), np.float32(y)


def close(ours, theirs):
    return np.max(np.abs(np.asarray(ours) - theirs)) <= 1e-3 * np.max(np.abs(theirs))


@pytest.mark.parametrize("kind", ["independent", "correlated", "dependent"])
@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_ridge_equals_scikit_learn(kind, strength):
    X, y = design(kind)
    theirs = Ridge(alpha=strength).fit(X.astype(float), y.astype(float))
    ours = regression.ridge(X, y, strength)
    assert close(ours.coefficients, theirs.coef_)
    assert float(ours.intercept) == pytest.approx(theirs.intercept_, rel=1e-3)
    assert bool(ours.info.converged)


@pytest.mark.parametrize("kind", ["independent", "correlated"])
@pytest.mark.parametrize("strength", [0.01, 0.3])
def test_lasso_equals_scikit_learn(kind, strength):
    X, y = design(kind)
    theirs = Lasso(alpha=strength, tol=1e-9, max_iter=100_000).fit(X.astype(float), y.astype(float))
    ours = regression.lasso(X, y, strength)
    assert close(ours.coefficients, theirs.coef_)
    assert bool(ours.info.converged)
    assert np.array_equal(np.asarray(ours.coefficients) != 0, theirs.coef_ != 0)


def test_lasso_on_dependent_columns_reaches_the_same_objective():
    # The minimiser is not unique there, its fit and its objective are.
    X, y = design("dependent")
    theirs = Lasso(alpha=0.05, tol=1e-9, max_iter=100_000).fit(X.astype(float), y.astype(float))
    ours = regression.lasso(X, y, 0.05)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=5e-3)

    def objective(w, c):
        return np.mean((y - X @ w - c) ** 2) / 2 + 0.05 * np.abs(w).sum()

    best = objective(theirs.coef_, theirs.intercept_)
    assert objective(np.asarray(ours.coefficients), float(ours.intercept)) < best * (1 + 1e-5)


@pytest.mark.parametrize("kind", ["independent", "correlated"])
def test_lasso_cv_chooses_what_scikit_learn_does(kind):
    X, y = design(kind)
    theirs = LassoCV(cv=5, alphas=100, tol=1e-6, max_iter=50_000).fit(
        X.astype(float), y.astype(float)
    )
    ours = regression.lasso_cv(X, y)
    np.testing.assert_allclose(ours.strengths, theirs.alphas_, rtol=1e-3)
    np.testing.assert_allclose(ours.errors, theirs.mse_path_.mean(axis=1), rtol=2e-2)
    place = [int(np.argmin(np.abs(theirs.alphas_ - s))) for s in (ours.strength, theirs.alpha_)]
    assert abs(place[0] - place[1]) <= 1


def test_ridge_cv_chooses_what_scikit_learn_does():
    X, y = design("correlated")
    grid = np.geomspace(1e-3, 1e3, 13)
    theirs = RidgeCV(alphas=grid, cv=5, scoring="neg_mean_squared_error")
    theirs.fit(X.astype(float), y.astype(float))
    ours = regression.ridge_cv(X, y, grid)
    step = np.log10(float(ours.strength) / theirs.alpha_) / np.log10(grid[1] / grid[0])
    assert abs(step) <= 1.01
    again = Ridge(alpha=float(ours.strength)).fit(X.astype(float), y.astype(float))
    assert close(ours.coefficients, again.coef_)


def test_padding_weights_and_column_masks_do_not_count():
    X, y = design("independent")
    rng = np.random.default_rng(1)
    wide = np.concatenate([X, rng.standard_normal((N_ROWS, 4))], axis=1)
    tall = np.concatenate([wide, 100 * rng.standard_normal((9, N_COLUMNS + 4))])
    weights = np.r_[np.ones(N_ROWS), np.zeros(9)]
    valid = np.r_[np.ones(N_COLUMNS, bool), np.zeros(4, bool)]
    for fit in (regression.ridge, regression.lasso):
        plain = fit(X, y, 0.1)
        padded = fit(tall, np.r_[y, np.full(9, 7.0)], 0.1, weights=weights, valid=valid)
        assert close(padded.coefficients[:N_COLUMNS], np.asarray(plain.coefficients))
        assert not np.any(padded.coefficients[N_COLUMNS:])


def test_several_outputs_equal_scalar_runs():
    X, y = design("independent")
    Y = np.stack([y, -2 * y + X[:, 7]], axis=1)
    for fit in (regression.ridge, regression.lasso):
        together = fit(X, Y, 0.1)
        for i in range(2):
            alone = fit(X, Y[:, i], 0.1)
            np.testing.assert_allclose(together.coefficients[:, i], alone.coefficients, atol=1e-5)
    both = regression.lasso_cv(X, Y, n_strengths=20)
    alone = regression.lasso_cv(X, Y[:, 1], n_strengths=20)
    assert float(both.strength[1]) == pytest.approx(float(alone.strength), rel=1e-4)


@pytest.mark.parametrize("rows", [2, 5, 20])
def test_fewer_rows_than_columns(rows):
    X, y = design("independent")
    theirs = Ridge(alpha=1.0).fit(X[:rows].astype(float), y[:rows].astype(float))
    assert close(regression.ridge(X[:rows], y[:rows], 1.0).coefficients, theirs.coef_)
    assert np.all(np.isfinite(regression.lasso(X[:rows], y[:rows], 0.1).coefficients))


def test_constant_columns_and_responses():
    X, y = design("independent")
    X[:, 3] = 4.0
    fits = [f(X, y, 0.1) for f in (regression.ridge, regression.lasso)]
    assert all(np.all(np.isfinite(f.coefficients)) for f in fits)
    assert float(fits[1].coefficients[3]) == 0.0
    for f in (regression.ridge, regression.lasso):
        flat = f(X, np.full(N_ROWS, 2.5, np.float32), 0.1)
        assert np.max(np.abs(flat.coefficients)) < 1e-6
        assert float(flat.intercept) == pytest.approx(2.5)


def test_new_strengths_compile_nothing():
    X, y = design("independent")
    traced = []

    @jax.jit
    def fit(X, y, strength):
        traced.append(1)
        return regression.lasso(X, y, strength).coefficients

    first, second = fit(X, y, jnp.float32(0.1)), fit(X, -y, jnp.float32(0.2))
    assert len(traced) == 1 and not np.allclose(first, second)


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda X, y: regression.ridge(X[0], y, 1.0), "X must have shape"),
        (lambda X, y: regression.ridge(X, y[:-1], 1.0), "y must have shape"),
        (lambda X, y: regression.lasso(X, y, 1.0, weights=y[:3]), "weights must have shape"),
        (lambda X, y: regression.lasso(X, y, 1.0, valid=y > 0), "valid must have shape"),
        (lambda X, y: regression.lasso_cv(X, y, folds=1), "folds must be between 2"),
        (lambda X, y: regression.ridge_cv(X, y, np.ones((2, 2))), "strengths must have shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(*design("independent"))
