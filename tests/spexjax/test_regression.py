"""Ridge and L1 regression against scikit-learn and against the definitions in float64."""

import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso, LassoCV, Ridge, RidgeCV
from sklearn.model_selection import KFold

from spexjax.regression import lasso, lasso_cv, lasso_path, ridge, ridge_cv
from spexjax.regression.least_squares import assign_folds

N, S = 118, 40


def f32(x):
    return jnp.asarray(x, jnp.float32)


def as_users_have_it(fit):
    """Compiled by XLA's own emitters, not by those that the suite is hastened by."""
    emitters = "xla_cpu_use_fusion_emitters"
    hastened = emitters in os.environ.get("XLA_FLAGS", "")
    return jax.jit(fit, compiler_options={emitters: True} if hastened else {})


def fitted(fit, X, y, *strengths, weights=None, valid=None, max_iter=1000, **options):
    """Always with all arguments, so that the tests share few programs; fewer than N rows are
    filled up with rows of weight 0."""
    rows = len(y)
    weights = np.ones(rows) if weights is None else weights
    if rows < N:
        X, y, weights = (
            np.concatenate([a, np.zeros((N - rows, *a.shape[1:]))]) for a in (X, y, weights)
        )
    valid = np.ones(S, bool) if valid is None else valid
    return fit(
        f32(X),
        f32(y),
        *map(f32, strengths),
        weights=f32(weights),
        valid=jnp.asarray(valid),
        max_iter=max_iter,
        **options,
    )


def close(ours, theirs, share=1e-3):
    ours, theirs = np.asarray(ours, float), np.asarray(theirs)
    assert np.abs(ours - theirs).max() <= share * np.abs(theirs).max()


def design(kind, rows=N):
    """X and y whose float32 values are exact in float64, so that both sides see the same."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((rows, S))
    if kind == "correlated":
        X = np.sqrt(0.95) * rng.standard_normal((rows, 1)) + np.sqrt(0.05) * X
    if kind == "deficient":
        X[:, 30:] = X[:, :10] @ rng.standard_normal((10, 10))
    if kind == "offset":
        X = 10.0 ** rng.uniform(-1, 1, S) * X + 50
    if kind == "constant":
        X[:, 7] = 0.1
    if kind == "masks":
        X = (X > 0).astype(float)
    y = X[:, :5] @ [2.0, -1.5, 1.0, -1.0, 0.5] + 0.5 * rng.standard_normal(rows) + 3
    return X.astype(np.float32).astype(float), y.astype(np.float32).astype(float)


KINDS = ("plain", "correlated", "deficient", "offset", "constant", "masks")


def vanishing(X, y):
    return np.abs((X - X.mean(0)).T @ (y - y.mean())).max() / len(y)


def objective(X, y, alpha, w, c):
    return np.mean((y - X @ w - c) ** 2) / 2 + alpha * np.abs(w).sum()


def violation(X, y, alpha, w):
    """The largest violation of the lasso's optimality conditions, from its definition."""
    X, y = X - X.mean(0), y - y.mean()
    slope = X.T @ (y - X @ w) / len(y)
    off = np.where(w == 0, np.maximum(abs(slope) - alpha, 0), abs(slope - alpha * np.sign(w)))
    return (off / np.maximum(X.std(0), 1e-3)).max()


@pytest.mark.parametrize("kind", [*KINDS, "wide"])
def test_lasso_matches_scikit_learn(kind):
    X, y = design(kind, 25 if kind == "wide" else N)
    for share in (0.3, 0.03, 0.003):
        alpha = share * vanishing(X, y)
        ours = fitted(lasso, X, y, alpha)
        assert bool(ours.info.converged)
        w, c = np.asarray(ours.coefficients, float), float(ours.intercept)
        theirs = Lasso(alpha=alpha, tol=1e-12, max_iter=1_000_000).fit(X, y)
        # A dependent column makes the minimiser of an L1 problem ambiguous, never its fit.
        if kind != "deficient":
            close(w, theirs.coef_)
        fit, level = X @ w + c - y.mean(), theirs.predict(X) - y.mean()
        close(fit, level)
        best = objective(X, y, alpha, theirs.coef_, theirs.intercept_)
        assert objective(X, y, alpha, w, c) <= best * (1 + 1e-5)
        assert violation(X, y, alpha, w) <= 1.1e-5 * max(
            1.0, (abs((X - X.mean(0)).T @ (y - y.mean())) / len(y) / X.std(0).clip(1e-3)).max()
        )


@pytest.mark.parametrize("kind", [*KINDS, "wide"])
def test_ridge_matches_scikit_learn_and_the_normal_equations(kind):
    X, y = design(kind, 25 if kind == "wide" else N)
    for strength in (100.0, 1.0, 0.05):
        ours = fitted(ridge, X, y, strength)
        assert bool(ours.info.converged)
        theirs = Ridge(alpha=strength, solver="svd").fit(X, y)
        close(ours.coefficients, theirs.coef_)
        close(ours.predict(f32(X)), theirs.predict(X))
        Z = X - X.mean(0)
        close(
            ours.coefficients, np.linalg.solve(Z.T @ Z + strength * np.eye(S), Z.T @ (y - y.mean()))
        )


@pytest.mark.parametrize("kind", [*KINDS, "wide"])
def test_lasso_cv_chooses_as_scikit_learn(kind):
    X, y = design(kind, 25 if kind == "wide" else N)
    # Of 20 rows and 40 columns small violations leave fits that are far apart.
    ours = fitted(lasso_cv, X, y, path_tol=1e-3 if kind == "wide" else 1e-2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LassoCV(cv=5, tol=1e-9, max_iter=100_000).fit(X, y)
    assert ours.strengths.shape == (100,) and ours.fold_errors.shape == (100, 5)
    np.testing.assert_allclose(ours.strengths, theirs.alphas_, rtol=2e-5)
    np.testing.assert_allclose(ours.fold_errors, theirs.mse_path_, rtol=0.1)
    np.testing.assert_allclose(ours.errors, theirs.mse_path_.mean(1), rtol=0.03)
    steps = np.log(float(ours.strength) / theirs.alpha_) / np.log(
        theirs.alphas_[1] / theirs.alphas_[0]
    )
    assert abs(steps) < 1.1
    assert bool(ours.info.converged) and bool(ours.path.converged.all())
    exact = Lasso(alpha=float(ours.strength), tol=1e-12, max_iter=1_000_000).fit(X, y)
    if kind != "deficient":
        close(ours.coefficients, exact.coef_)
    close(np.asarray(ours.predict(f32(X))) - y.mean(), exact.predict(X) - y.mean())


@pytest.mark.parametrize("kind", [*KINDS, "wide"])
def test_ridge_cv_chooses_as_scikit_learn(kind):
    X, y = design(kind, 25 if kind == "wide" else N)
    ours = fitted(ridge_cv, X, y)
    grid = np.asarray(ours.strengths, float)
    assert (np.diff(grid) < 0).all()
    theirs = RidgeCV(grid, cv=5, scoring="neg_mean_squared_error").fit(X, y)
    assert abs(np.log(float(ours.strength) / theirs.alpha_)) <= 1.1 * np.log(grid[0] / grid[1])
    np.testing.assert_allclose(ours.errors.min(), -theirs.best_score_, rtol=1e-3)
    close(ours.coefficients, Ridge(alpha=float(ours.strength), solver="svd").fit(X, y).coef_)


def test_given_strengths_in_any_order():
    X, y = design("plain")
    grid = np.array([0.02, 0.5, 0.1])
    ours = fitted(lasso_cv, X, y, grid)
    np.testing.assert_allclose(ours.strengths, [0.5, 0.1, 0.02], rtol=1e-6)
    for a, strength in enumerate((0.5, 0.1, 0.02)):
        errors = []
        for train, test in KFold(5).split(X):
            fit = Lasso(alpha=strength, tol=1e-10).fit(X[train], y[train])
            errors.append(np.mean((fit.predict(X[test]) - y[test]) ** 2))
        np.testing.assert_allclose(ours.fold_errors[a], errors, rtol=1e-2)


@pytest.mark.parametrize("use_gram", [True, False])
def test_working_sets_give_what_all_columns_give(use_gram, monkeypatch):
    """Sets too small for the solution, so that they are checked, enlarged and given up."""
    monkeypatch.setattr(lasso_path, "SIZES", (8, 32))
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 90)).astype(np.float32).astype(float)
    y = (X[:, :8].sum(1) + rng.standard_normal(150)).astype(np.float32).astype(float)
    ours = lasso_cv(f32(X), f32(y), n_strengths=24, eps=0.02, use_gram=use_gram)
    theirs = LassoCV(alphas=np.asarray(ours.strengths, float), cv=5, tol=1e-10).fit(X, y)
    assert bool(ours.path.converged.all()) and bool(ours.info.converged)
    np.testing.assert_allclose(ours.fold_errors, theirs.mse_path_, rtol=2e-2)
    assert float(ours.strength) == np.float32(theirs.alpha_)
    close(ours.coefficients, theirs.coef_)
    weakest = Lasso(alpha=float(ours.strengths[-1])).fit(X, y)
    assert np.count_nonzero(theirs.coef_) > 8 and np.count_nonzero(weakest.coef_) > 32


def padded():
    """A weighted problem, and the same with broken rows of weight 0 and columns not to be used."""
    X, y = design("plain")
    weights = np.random.default_rng(2).uniform(0.2, 3.0, N)
    rows, valid = np.arange(N) % 6 != 5, np.arange(S) % 4 != 3
    broken, level = X.copy(), y.copy()
    broken[~rows], level[~rows] = np.nan, np.inf
    given = {"weights": np.where(rows, weights, 0), "valid": valid}
    return (X[rows][:, valid], y[rows], weights[rows]), (broken, level), given, valid


@pytest.mark.parametrize("fit", [lasso, ridge])
def test_weights_and_valid_columns(fit):
    (X, y, weights), problem, given, valid = padded()
    ours = fitted(fit, *problem, 0.05, **given)
    theirs = Lasso(0.05, tol=1e-12) if fit is lasso else Ridge(0.05)
    theirs.fit(X, y, weights)
    assert not np.asarray(ours.coefficients)[~valid].any()
    close(np.asarray(ours.coefficients)[valid], theirs.coef_)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, rtol=1e-4)


@pytest.mark.parametrize("fit", [lasso_cv, ridge_cv])
def test_folds_leave_out_rows_of_weight_zero(fit):
    (X, y, weights), problem, given, valid = padded()
    grid = [0.5, 0.1, 0.02]
    ours = fitted(fit, *problem, grid, **given)
    errors = np.zeros((3, 5))
    for i, (train, test) in enumerate(KFold(5).split(X)):
        for a, strength in enumerate(grid):
            model = Lasso(strength, tol=1e-10) if fit is lasso_cv else Ridge(strength)
            model.fit(X[train], y[train], weights[train])
            error = (model.predict(X[test]) - y[test]) ** 2
            errors[a, i] = np.average(error, weights=weights[test])
    np.testing.assert_allclose(ours.fold_errors, errors, rtol=1e-2)
    np.testing.assert_allclose(ours.errors, errors.mean(1), rtol=1e-2)
    assert float(ours.strength) == np.float32(grid[errors.mean(1).argmin()])
    assert not np.asarray(ours.coefficients)[~valid].any()


@pytest.mark.parametrize("fit", [lasso, ridge, lasso_cv, ridge_cv])
def test_output_i_is_the_scalar_run(fit):
    """At strengths of its own, too."""
    X, y = design("plain")
    Y = np.stack([y, 5 * X[:, 9] - 2 * y, np.zeros(N)], 1)
    strengths = f32([[0.5, 0.1, 0.3], [0.1, 0.02, 0.2], [0.02, 0.5, 0.1]])
    strengths = strengths[1] if fit in (lasso, ridge) else strengths
    whole = as_users_have_it(fit)
    many = whole(f32(X), f32(Y), strengths)
    assert many.coefficients.shape == (S, 3) and many.intercept.shape == (3,)
    for k in range(3):
        alone = fitted(whole, X, Y[:, k], strengths[..., k])
        np.testing.assert_allclose(many.coefficients[:, k], alone.coefficients, atol=1e-6)
        for ours, theirs in zip(jax.tree.leaves(many), jax.tree.leaves(alone), strict=True):
            assert ours.shape == (*theirs.shape, 3) and ours.dtype == theirs.dtype
        if fit in (lasso_cv, ridge_cv):
            np.testing.assert_allclose(many.strengths[:, k], np.sort(strengths[:, k])[::-1])
            np.testing.assert_allclose(many.fold_errors[..., k], alone.fold_errors, rtol=1e-5)
    assert not many.coefficients[:, 2].any() and many.predict(f32(X)).shape == (N, 3)


@pytest.mark.parametrize("fit", [lasso, ridge])
def test_hardly_any_rows(fit):
    X, y = design("plain", 2)
    one = fitted(fit, X[:1], y[:1], 0.1)
    assert bool(one.info.converged)
    assert not one.coefficients.any() and np.isclose(one.intercept, y[0])
    two = fitted(fit, X, y, 0.1)
    reference = (Lasso(0.1, tol=1e-10) if fit is lasso else Ridge(0.1)).fit(X, y)
    assert bool(two.info.converged)
    close(two.predict(f32(X)), reference.predict(X))


def test_an_array_of_one_row():
    fit = lasso(jnp.ones((1, 3)), jnp.ones(1), 0.1)
    assert not fit.coefficients.any() and float(fit.intercept) == 1.0
    assert bool(fit.info.converged) and fit.info.gap.shape == ()


def test_nothing_to_explain():
    X, _ = design("plain")
    for ours in (
        fitted(lasso, X, np.zeros(N), 0.1),
        fitted(ridge, X, np.zeros(N), 0.1),
        fitted(lasso_cv, X, np.zeros(N)),
        fitted(ridge_cv, X, np.full(N, 2.0)),
        fitted(lasso_cv, np.ones((N, S)), 0.1 * np.arange(N)),
    ):
        assert not ours.coefficients.any() and bool(ours.info.converged)
        assert np.isfinite(ours.intercept)
    assert np.isclose(ours.intercept, 0.1 * (N - 1) / 2)


@pytest.mark.parametrize("fit", [lasso, ridge, lasso_cv, ridge_cv])
def test_the_scale_of_y_does_not_matter(fit):
    """Squares of 1e-30 and of 1e30 are not float32 numbers."""
    X, y = design("plain")
    given = {lasso: lambda s: (0.05 * s,), ridge: lambda s: (1.0,)}.get(fit, lambda s: ())
    one = fitted(fit, X, y, *given(1.0))
    for scale in (1e-30, 1e-19, 1e-9, 1e9, 1e19, 1e30):
        ours = fitted(fit, X, scale * y, *given(scale))
        assert bool(ours.info.converged)
        close(np.asarray(ours.coefficients, float) / scale, one.coefficients, 1e-4)
        assert float(ours.intercept) / scale == pytest.approx(float(one.intercept), rel=1e-4)
        if fit in (lasso_cv, ridge_cv):
            own = scale if fit is lasso_cv else 1.0
            assert float(ours.strength) / own == pytest.approx(float(one.strength), rel=1e-4)
            if 1e-15 < scale < 1e15:
                # 1e-3, since the folds are solved to path_tol only.
                errors = np.asarray(ours.errors, float) / scale**2
                np.testing.assert_allclose(errors, one.errors, rtol=1e-3)


@pytest.mark.parametrize("fit", [lasso, ridge])
def test_the_scale_of_x_and_of_weights_does_not_matter(fit):
    X, y = design("plain")
    one = fitted(fit, X, y, 0.05, weights=np.ones(N))
    for scale in (1e-15, 1e15):
        # ridge: strength relative to the square; lasso: to the scale, which the weights leave out.
        strength = 0.05 * (scale if fit is lasso else scale**2)
        ours = fitted(fit, scale * X, y, strength)
        assert bool(ours.info.converged)
        close(np.asarray(ours.coefficients, float) * scale, one.coefficients, 1e-4)
        heavy = np.full(N, scale**2)
        ours = fitted(fit, X, y, 0.05 if fit is lasso else 0.05 * scale**2, weights=heavy)
        close(ours.coefficients, one.coefficients, 1e-4)


def test_what_values_spoil_is_reported_not_raised():
    X, y = design("correlated")
    spoilt, level = X.copy(), y.copy()
    spoilt[3, 4], level[0] = np.nan, np.inf
    for fit in (lasso, ridge):
        assert bool(fitted(fit, X, y, 0.1).info.converged)
        assert not bool(fitted(fit, spoilt, y, 0.1).info.converged)
        assert not bool(fitted(fit, X, level, 0.1).info.converged)
        assert not bool(fitted(fit, X, y, 1e-4, max_iter=1).info.converged)


@pytest.mark.parametrize("fit", [lasso, ridge, lasso_cv, ridge_cv])
def test_shapes_that_do_not_fit_raise(fit):
    X, y = jnp.zeros((6, 3)), jnp.zeros(6)
    cv = fit in (lasso_cv, ridge_cv)
    rest = () if cv else (0.1,)
    cases = {
        "X must": lambda: fit(y, y, *rest),
        "y must": lambda: fit(X, jnp.zeros(5), *rest),
        "weights must": lambda: fit(X, y, *rest, weights=jnp.ones(5)),
        "valid must": lambda: fit(X, y, *rest, valid=jnp.ones(4, bool)),
        "strength": lambda: fit(X, y, jnp.ones((2, 2))),
        "strengths? must": lambda: fit(X, jnp.zeros((6, 2)), jnp.ones((3, 3) if cv else 3)),
    }
    if cv:
        cases["folds must"] = lambda: fit(X, y, folds=7)
        cases["folds must be between 2"] = lambda: fit(X, y, folds=1)
    for message, call in cases.items():
        with pytest.raises(ValueError, match=message):
            call()


def test_new_values_compile_nothing():
    X, y = design("plain")
    calls = {
        lasso: lambda s: fitted(lasso, X + s, y, s),
        ridge: lambda s: fitted(ridge, X * s, y, s),
        lasso_cv: lambda s: fitted(lasso_cv, X, s * y, [s, 0.3, 0.1]),
        ridge_cv: lambda s: fitted(ridge_cv, X, s - y, [s, 0.3, 0.1]),
    }
    for fit, call in calls.items():
        call(0.2)
        compiled = fit._cache_size()
        call(0.7)
        assert fit._cache_size() == compiled


def test_vmap_over_problems():
    X, y = design("plain")
    batch, level = f32(np.stack([X, X[::-1] + 1])), f32(np.stack([y, 2 * y]))
    for fit in (lasso, ridge):
        mapped = jax.vmap(fit)(batch, level, f32([0.1, 0.3]))
        for i in range(2):
            alone = fitted(fit, batch[i], level[i], (0.1, 0.3)[i])
            close(mapped.coefficients[i], alone.coefficients, 1e-4)


def test_the_gram_is_only_a_shortcut():
    X, y = design("offset")
    gram = fitted(ridge_cv, X, y, [0.5, 0.1, 0.02])
    rows = ridge_cv(f32(X), f32(y), f32([0.5, 0.1, 0.02]), use_gram=False)
    np.testing.assert_allclose(gram.fold_errors, rows.fold_errors, rtol=1e-2)
    close(gram.coefficients, rows.coefficients, 1e-3)


@pytest.mark.parametrize("fit", [lasso_cv, ridge_cv])
def test_double_precision_switched_on_changes_no_bit(fit, key):
    X, y = design("plain")
    fit = as_users_have_it(fit)
    with jax.enable_x64(False):
        one = jax.tree.map(np.asarray, fit(f32(X), f32(y), key=key))
    with jax.enable_x64(True):
        other = jax.tree.map(np.asarray, fit(X, y, key=key))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)


def test_same_key_same_answer_bit_for_bit(key):
    X, y = design("plain")
    a, b = (lasso_cv(f32(X), f32(y), key=key) for _ in range(2))
    assert all(np.array_equal(x, z) for x, z in zip(a, b, strict=True) if not isinstance(x, tuple))
    contiguous = fitted(lasso_cv, X, y)
    assert not np.allclose(a.fold_errors, contiguous.fold_errors, rtol=1e-2)
    np.testing.assert_allclose(a.strengths, contiguous.strengths, rtol=1e-6)


@pytest.mark.parametrize("rows", [5, 23, 40])
@pytest.mark.parametrize("shuffled", [False, True])
def test_folds_are_those_of_kfold(rows, shuffled, key):
    """Over the rows present, which need not be the first ones."""
    present = np.zeros(40, bool)
    present[np.random.default_rng(rows).permutation(40)[:rows]] = True
    fold, members = assign_folds(jnp.asarray(present), 5, key if shuffled else None)
    assert (np.asarray(fold)[~present] == 5).all() and members.shape == (5, 8)
    at = np.flatnonzero(present)
    for i, (_, test) in enumerate(KFold(5).split(at)):
        mine = np.flatnonzero(np.asarray(fold) == i)
        if shuffled:
            assert len(mine) == len(test)
        else:
            np.testing.assert_array_equal(mine, at[test])
        listed = np.asarray(members[i])
        np.testing.assert_array_equal(np.sort(listed[listed < 40]), mine)
