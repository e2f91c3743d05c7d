"""The baselines: least squares by hand, exact values, budgets, and shapiq at equal budget."""

import itertools
import warnings
from math import comb

import numpy as np
import pytest
from oracles import all_masks

import spexjax as sx
from spexjax import masks
from spexjax.codes import gf2
from spexjax.methods import baselines, orders
from spexjax.methods.baselines import (
    Banzhaf,
    FaithBanzhaf,
    FaithShapley,
    KernelShap,
    Lasso,
    Lime,
    ShapleyTaylor,
)
from spexjax.spectra import subsets
from spexjax.surrogates import low_order, shrinkage

pytestmark = pytest.mark.loose_promotion
N = 8
CONFIGS = [
    Lime(), Lime(kernel="cosine"), Banzhaf(), FaithBanzhaf(2), Lasso(2), KernelShap(),
    FaithShapley(2), ShapleyTaylor(2),
]  # fmt: skip
OWN = [("lime", "BV", 1), ("banzhaf", "BV", 1), ("faith-banzhaf", "FBII", 4),
       ("lasso", "FBII", 4), ("kernelshap", "SV", 1), ("faith-shapley", "FSII", 4),
       ("shapley-taylor", "STII", 4)]  # fmt: skip


def game(n, seed, terms=30):
    """A weighted sum of ANDs of any size."""
    rng = np.random.default_rng(seed)
    sets = rng.random((terms, n)) < rng.uniform(0.1, 0.6, (terms, 1))
    weights = rng.standard_normal(terms)

    def f(masks):
        masks = np.atleast_2d(np.asarray(masks, bool))
        return (weights * (masks[:, None] | ~sets).all(axis=2)).sum(axis=1)

    return f


class Recorded:
    """Remembers what was asked."""

    def __init__(self, f):
        self.f, self.asked = f, []

    def __call__(self, masks):
        self.asked.append(np.array(masks))
        return self.f(masks)


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
@pytest.mark.parametrize("n,budget", [(N, 120), (N, 253), (40, 200)])
def test_budget(config, n, budget):
    if n == 40 and isinstance(config, ShapleyTaylor | FaithShapley | FaithBanzhaf):
        pytest.skip("too few masks for pairs")
    f = Recorded(game(n, 0))
    e = sx.explain(f, n, budget=budget, method=config)
    asked = np.concatenate(f.asked)
    assert len(asked) == e.calls == budget == len(np.unique(asked, axis=0))
    assert float(e.full) == pytest.approx(float(f.f(np.ones((1, n)))[0]), abs=1e-5)
    assert float(e.empty) == pytest.approx(float(f.f(np.zeros((1, n)))[0]), abs=1e-5)
    assert float(e.faithfulness) < 1 and e.faithfulness_interval[0] <= e.faithfulness


def weighted_fit(X, y, w):
    root = np.sqrt(w)[:, None]
    return np.linalg.lstsq(root * X, root[:, 0] * y, rcond=None)[0]


def low_order_design(bits, order):
    sets = [s for k in range(order + 1) for s in itertools.combinations(range(bits.shape[1]), k)]
    return sets, np.array([bits[:, list(s)].all(axis=1) for s in sets]).T.astype(float)


@pytest.mark.parametrize(
    "config,order", [(Lime(), 1), (Lime("cosine", 40.0), 1), (Banzhaf(), 1), (FaithBanzhaf(2), 2)]
)
def test_unconstrained_least_squares(config, order, monkeypatch):
    monkeypatch.setattr(shrinkage, "few", lambda *_: False)
    f = Recorded(game(N, 1))
    e = sx.explain(f, N, budget=150, method=config, seed=4)
    bits = np.concatenate(f.asked)
    w = np.ones(150)
    w[:2] = 148 / (2**N - 2)  # the ends were not drawn
    if getattr(config, "kernel", "uniform") == "cosine":
        cosine = np.sqrt(bits.sum(axis=1) / N)
        w = w * np.sqrt(np.exp(-((100 * (1 - cosine)) ** 2) / 40**2))
    sets, X = low_order_design(bits, order)
    right = dict(zip(sets, weighted_fit(X, f.f(bits), w), strict=True))
    found = e.interactions("Moebius", order)
    assert found.to_dict().keys() <= right.keys()
    for s, value in right.items():
        assert found[s] == pytest.approx(value, abs=2e-3)


@pytest.mark.parametrize("config,order", [(KernelShap(), 1), (FaithShapley(2), 2)])
def test_least_squares_exact_at_the_ends(config, order, monkeypatch):
    """Lagrange's conditions on the masks asked for, with one weight per mask of each size."""
    monkeypatch.setattr(shrinkage, "few", lambda *_: False)
    f = Recorded(game(N, 2))
    e = sx.explain(f, N, budget=200, method=config, seed=1)
    bits = np.concatenate(f.asked)
    y = f.f(bits)
    ends = e.predict(bits[:2])
    np.testing.assert_allclose(ends, y[:2], atol=1e-4)
    size = bits.sum(axis=1)
    count = np.bincount(size, minlength=N + 1)
    w = np.array([1 / (s * (N - s) * count[s]) if 0 < s < N else 0.0 for s in size])
    sets, X = low_order_design(bits, order)
    gram, constraint = X.T @ (w[:, None] * X), X[:2]
    system = np.block([[gram, constraint.T], [constraint, np.zeros((2, 2))]])
    solution = np.linalg.solve(system, np.concatenate([X.T @ (w * y), y[:2]]))
    for s, value in zip(sets, solution, strict=False):
        assert e.interactions("FSII", order)[s] == pytest.approx(value, abs=5e-3)


@pytest.mark.parametrize("name,index,order", OWN)
def test_exact_from_the_full_table(name, index, order):
    f = game(N, 3)
    truth = sx.explain(f, N, budget=2**N, method="exact")
    e = sx.explain(f, N, budget=2**N + 7, method=name)
    assert e.calls == 2**N and e.method == name
    right, found = (x.interactions(index, order).to_dict() for x in (truth, e))
    for s in right.keys() | found.keys():
        assert found.get(s, 0) == pytest.approx(right.get(s, 0), abs=1e-5), s
    bits = all_masks(N)
    error = np.sum((f(bits) - np.asarray(e.predict(bits))) ** 2)
    r2 = 1 - error / np.sum((f(bits) - f(bits).mean()) ** 2)
    assert float(e.faithfulness) == pytest.approx(r2, abs=1e-5)


def test_exact_with_the_cosine_kernel():
    f = game(6, 4)
    e = sx.explain(f, 6, budget=64, method=Lime("cosine"))
    bits = all_masks(6)
    w = np.sqrt(np.exp(-((100 * (1 - np.sqrt(bits.sum(axis=1) / 6))) ** 2) / 25**2))
    sets, X = low_order_design(bits, 1)
    right = weighted_fit(X, f(bits), w)
    for s, value in zip(sets, right, strict=True):
        assert e.interactions("Moebius", 1)[s] == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_outputs_are_explained_as_if_alone(config):
    first, second = game(N, 5), game(N, 6)

    def both(masks):
        return np.stack([first(masks), second(masks)], axis=1)

    for budget in (150, 2**N):
        e = sx.explain(both, N, budget=budget, method=config, seed=2)
        alone = sx.explain(second, N, budget=budget, method=config, seed=2)
        bits = all_masks(N)
        np.testing.assert_allclose(e[1].predict(bits), alone.predict(bits), atol=5e-3)
        assert float(e.faithfulness[1]) == pytest.approx(float(alone.faithfulness), abs=5e-3)


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_held_out_masks_do_not_train_the_fit_that_is_measured(config):
    """With noise in place of their values the fit that is measured stays the same: R² ≤ 0."""
    design = sx.design(N, budget=200, method=config)
    assert design.held_out.sum() == 32
    values = game(N, 7)(design.masks())
    noise = 30 * np.random.default_rng(0).standard_normal(200)
    spoilt = sx.fit(design, np.where(design.held_out, noise, values))
    assert float(spoilt.faithfulness) < 0.1
    assert float(sx.fit(design, values).faithfulness) > -0.1


def test_orders(monkeypatch):
    monkeypatch.setattr(orders, "_MOST_CELLS", 1 << 21)
    f = game(30, 8)
    for method, budget, order in [
        ("faith-banzhaf", 300, 1), ("faith-banzhaf", 1100, 2), ("faith-shapley", 1100, 2),
        ("lasso", 300, 2), ("shapley-taylor", 300, 1), ("shapley-taylor", 1200, 2),
    ]:  # fmt: skip
        e = sx.explain(f, 30, budget=budget, method=method)
        assert np.bitwise_count(np.asarray(e.spectrum.supports)).sum(axis=1).max() == order
    e = sx.explain(f, 30, budget=1100, method="faith-banzhaf", max_order=1)
    assert np.bitwise_count(np.asarray(e.spectrum.supports)).sum(axis=1).max() == 1


def test_refuses():
    f = game(30, 9)
    with pytest.raises(masks.BudgetError, match="budget must be at least 4528, the number of sets"):
        sx.explain(f, 30, budget=500, method=FaithShapley(3))
    least = 1 + sum(1 + m for m in range(1, 30))
    with pytest.raises(masks.BudgetError, match="for method 'shapley-taylor' of order 2") as error:
        sx.explain(f, 30, budget=300, method=ShapleyTaylor(2))
    needed = int(str(error.value).split("at least ")[1].split()[0])
    assert least <= needed - masks.held_out_size(needed) <= least + 2
    assert sx.explain(f, 30, budget=needed, method=ShapleyTaylor(2)).calls == needed
    for order in (0, 5):
        with pytest.raises(ValueError, match="order must be from 1 to 4"):
            sx.explain(f, 30, budget=500, method=Lasso(order))
    with pytest.raises(
        masks.BudgetError, match="budget must be at least 2 for method 'kernelshap'"
    ):
        sx.explain(f, 30, budget=1, method="kernelshap")
    with pytest.raises(ValueError, match="kernel must be"):
        sx.explain(f, 30, budget=50, method=Lime(kernel="gauss"))
    with pytest.raises(ValueError, match="width must be above 0"):
        sx.explain(f, 30, budget=50, method=Lime(kernel="cosine", width=0.0))


@pytest.mark.parametrize("name", list(baselines.BASELINES))
@pytest.mark.parametrize("n,budget", [(1, 1), (1, 2), (2, 3), (20, 2), (20, 5)])
def test_tiny_budgets(name, n, budget, monkeypatch):
    monkeypatch.setattr(orders, "_MOST_CELLS", 1 << 14)  # low orders: quick
    f = game(n, 10, terms=3)
    if budget == 1 and name in ("kernelshap", "faith-shapley", "shapley-taylor"):
        return
    if name == "shapley-taylor" and n == 20:
        with pytest.raises(masks.BudgetError, match="budget must be at least"):
            sx.explain(f, n, budget=budget, method=name)
        return
    e = sx.explain(f, n, budget=budget, method=name)
    assert e.calls == min(budget, 2**n)
    assert np.isfinite(np.asarray(e.predict(np.ones((1, n), bool)))).all()


CASES = [
    (KernelShap(), "SV", 1, "KernelSHAP", 600),
    (Banzhaf(), "BV", 1, "RegressionFBII", 600),
    (Lime(), "BV", 1, "RegressionFBII", 600),
    (FaithBanzhaf(2), "FBII", 2, "RegressionFBII", 600),
    (Lasso(2), "FBII", 2, "RegressionFBII", 600),
    (FaithShapley(2), "FSII", 2, "RegressionFSII", 600),
    (ShapleyTaylor(2), "STII", 2, "PermutationSamplingSTII", 600),
]


@pytest.mark.parametrize("config,index,order,peer,budget", CASES, ids=lambda x: str(x))
def test_error_beside_shapiq(config, index, order, peer, budget):
    """Root mean squared error over 20 random games of 10 players, at equal budget."""
    approximator = pytest.importorskip("shapiq.approximator")
    n = 10
    squares = np.zeros(2)
    for seed in range(20):
        f = game(n, 100 + seed)
        truth = sx.explain(f, n, budget=2**n, method="exact").interactions(index, order)
        ours = sx.explain(f, n, budget=budget, method=config, seed=seed)
        ours = ours.interactions(index, order).to_dict()
        kind = getattr(approximator, peer)
        given = {} if peer == "KernelSHAP" else {"max_order": order}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = kind(n=n, random_state=seed, **given).approximate(budget, f).interactions
        sets = [s for k in range(1, order + 1) for s in itertools.combinations(range(n), k)]
        assert len(sets) == sum(comb(n, k) for k in range(1, order + 1))
        for i, found in enumerate((ours, theirs)):
            squares[i] += sum((found.get(s, 0.0) - truth[s]) ** 2 for s in sets)
    assert squares[0] <= 1.1**2 * squares[1]


def test_columns_are_signs_of_the_sets():
    sets = subsets.terms(5, 3)
    assert len(sets.sizes) == 26 == subsets.count(5, 3)
    bits = all_masks(5)
    p = low_order.padded(gf2.pack_numpy(bits, 1), sets, 5)
    assert int(p.valid.sum()) == 26 and int(p.even.sum()) >= 11
    found = np.asarray(low_order.columns(p.bits, p.members))[:32, :26]
    for column, members, size in zip(found.T, sets.members, sets.sizes, strict=True):
        inside = members[members >= 0]
        assert len(inside) == size
        np.testing.assert_array_equal(column, (-1.0) ** bits[:, inside].sum(axis=1))
