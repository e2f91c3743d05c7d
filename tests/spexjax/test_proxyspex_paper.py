"""The published recipe's ridge regression."""

import numpy as np
import pytest

from spexjax.methods import proxyspex_paper


@pytest.mark.parametrize("columns", [6, 30])
def test_the_strength_has_the_least_error_on_each_row_left_out(columns, monkeypatch):
    strengths = np.array([0.01, 1.0, 100.0])
    monkeypatch.setattr(proxyspex_paper, "RIDGE_STRENGTHS", strengths)
    rng = np.random.default_rng(0)
    X = np.sign(rng.standard_normal((20, columns)))
    y = X[:, :3] @ [1.0, 2.0, -1.0] + 3 + rng.standard_normal(20)

    def ridge(X, y, strength):  # the intercept apart: it is not shrunk
        A, b = X - X.mean(axis=0), y - y.mean()
        w = np.linalg.solve(A.T @ A + strength * np.eye(columns), A.T @ b)
        return w, y.mean() - X.mean(axis=0) @ w

    errors = []
    for strength in strengths:
        left = []
        for i in range(20):
            w, c = ridge(np.delete(X, i, axis=0), np.delete(y, i), strength)
            left.append(y[i] - X[i] @ w - c)
        errors.append(np.sum(np.square(left)))
    right, intercept = ridge(X, y, strengths[np.argmin(errors)])
    found, constant = proxyspex_paper.ridge_left_one_out(X, y)
    np.testing.assert_allclose(found, right, atol=1e-8)
    assert constant == pytest.approx(intercept)
