"""Least squares of few equations: strengths by cross-validation, which vanish where they may."""

import numpy as np
import pytest

import spexjax as sx
from spexjax.methods.baselines import FaithBanzhaf, FaithShapley
from spexjax.spectra import subsets
from spexjax.surrogates import shrinkage

N = 10
SETS = subsets.terms(N, 2)
TWICE = 2 + 2 * len(SETS.sizes)


def pairs_alone(masks):
    """A function of pairs of inputs."""
    kept = np.asarray(masks, float)
    return kept[:, 0] * kept[:, 3] - 2 * kept[:, 5] * kept[:, 1] + kept[:, 7]


def rough(masks):
    """The same, and what is in no pair."""
    return pairs_alone(masks) + np.sin(7.0 * (masks @ np.sqrt(np.arange(2.0, N + 2))))


def criterion(X, y, strength):
    """Generalised cross-validation as it is defined, and the coefficients."""
    A = X.T @ X + strength * np.eye(X.shape[1])
    hat = X @ np.linalg.solve(A, X.T)
    return np.mean((y - hat @ y) ** 2) / (1 - np.trace(hat) / len(y)) ** 2, np.linalg.solve(
        A, X.T @ y
    )


@pytest.mark.parametrize("rows", [15, 20, 40])
def test_the_strength_of_the_least_criterion(rows):
    rng = np.random.default_rng(rows)
    X = rng.standard_normal((rows, 20))
    y = X[:, :4] @ rng.standard_normal((4, 2)) + rng.standard_normal((rows, 2))
    found = shrinkage._ridge(X, y)
    unit = np.sum(X**2) / 20
    strengths = unit * np.geomspace(shrinkage._LEAST, shrinkage._LARGEST, shrinkage._STRENGTHS)
    for k in range(2):
        _, F = min((criterion(X, y[:, k], s) for s in strengths), key=lambda pair: pair[0])
        np.testing.assert_allclose(found[:, k], F, atol=1e-8)


@pytest.mark.parametrize("config", [FaithShapley(2), FaithBanzhaf(2)])
def test_nothing_is_shrunk_where_least_squares_leave_nothing(config):
    e = sx.explain(pairs_alone, N, budget=TWICE, method=config)
    F = {k: v for k, v in e.spectrum.to_dict().items() if abs(v) > 1e-3}
    assert F.keys() == {(), (0,), (1,), (3,), (5,), (7,), (0, 3), (1, 5)}
    assert F[1, 5] == pytest.approx(-0.5, abs=1e-4) and F[0, 3] == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("config,index", [(FaithShapley(2), "FSII"), (FaithBanzhaf(2), "FBII")])
def test_errors_are_smaller_than_without(config, index, monkeypatch):
    masks = (np.arange(2**N)[:, None] >> np.arange(N) & 1).astype(bool)
    exact = sx.explain(rough, N, budget=2**N, method="exact").interactions(index, 2)
    right = np.array([exact[tuple(s[s >= 0].tolist())] for s in SETS.members[1:]])

    def error(seed):
        e = sx.explain(rough, N, budget=TWICE, method=config, seed=seed)
        ends = masks[[0, -1]]
        if index == "FSII":
            np.testing.assert_allclose(e.predict(ends), rough(ends), atol=1e-4)
        ix = e.interactions(index, 2)
        found = np.array([ix[tuple(s[s >= 0].tolist())] for s in SETS.members[1:]])
        return np.sum((found - right) ** 2)

    ours = sum(error(seed) for seed in range(3))
    monkeypatch.setattr(shrinkage, "few", lambda *_: False)
    assert ours < 0.7 * sum(error(seed) for seed in range(3))


def test_where_equations_are_many_nothing_is_tried():
    assert shrinkage.few(2 * len(SETS.sizes), SETS)
    assert not shrinkage.few(len(SETS.sizes), SETS)
    assert not shrinkage.few(11 * len(SETS.sizes), SETS)
    assert not shrinkage.few(10_000, subsets.terms(100, 2))  # too large a matrix
