"""shapiq and shap: what we hand over, and our methods inside shapiq's explainers."""

import sys

import numpy as np
import pytest

import spexjax as sx
from spexjax import approximator, bridges, interop

pytestmark = pytest.mark.loose_promotion
WORDS = ["never", "fails", "to", "impress", "to", "bore"]


def game(masks):
    kept = np.asarray(masks, float)
    return 1 + 2 * kept[:, 0] * kept[:, 1] - kept[:, 3] + 0.5 * kept[:, 2] * kept[:, 4] * kept[:, 5]


@pytest.fixture(scope="module")
def e():
    return sx.explain(game, 6, budget=64, method="exact", features=WORDS)


@pytest.mark.parametrize("index", list(interop.SHAPIQ_NAMES.values()))
def test_to_shapiq_agrees_with_the_exact_computer(e, index):
    shapiq = pytest.importorskip("shapiq")
    from shapiq.game_theory.exact import ExactComputer

    order = 1 if index in ("SV", "BV") else 2
    found = e.to_shapiq(index, 2)
    right = ExactComputer(n_players=6, game=game)(index, order=order)
    assert isinstance(found, shapiq.InteractionValues)
    assert found.index == right.index == index
    assert found.max_order == order and found.n_players == 6 and not found.estimated
    for members, value in found.interactions.items():
        assert type(value) is float and members == tuple(sorted(members))
        assert all(type(i) is int for i in members)
    for members, value in right.interactions.items():
        if len(members) <= order and members:
            assert found[members] == pytest.approx(value, abs=1e-5), members
    if index not in ("BV", "BII", "SII", "FBII", "FSII"):
        assert found.baseline_value == pytest.approx(right.baseline_value, abs=1e-5)


def test_plots_of_shapiq_accept_it(e):
    pytest.importorskip("shapiq")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from shapiq import plot

    values = e.to_shapiq("k-SII", 2)
    plot.network_plot(interaction_values=values, feature_names=WORDS, show=False)
    plot.force_plot(values, feature_names=np.array(WORDS), show=False)
    pyplot.close("all")


def test_explain_takes_a_game():
    shapiq = pytest.importorskip("shapiq")

    class Impress(shapiq.Game):
        def __init__(self, **kwargs):
            super().__init__(n_players=6, **kwargs)

        def value_function(self, coalitions):
            return game(coalitions)

    normalised = Impress(normalize=True, normalization_value=1.0)
    assert normalised(np.zeros((1, 6), bool)) == [0.0]
    stored = Impress(normalize=True, normalization_value=1.0)
    stored.precompute()
    for played in (normalised, stored, Impress(normalize=False)):
        found = sx.explain(played, budget=64)
        assert found.n == 6 and found.calls == 64
        assert float(found.full) == pytest.approx(2.5, abs=1e-6)
        assert float(found.empty) == pytest.approx(1, abs=1e-6)
        assert found.interactions("Moebius")[(0, 1)] == pytest.approx(2, abs=1e-5)
        assert found.to_shapiq("SV").baseline_value == pytest.approx(1, abs=1e-5)
    assert normalised(np.zeros((1, 6), bool)) == [0.0]  # as it was
    with pytest.raises(ValueError, match="n must be the game's n_players = 6, got 5"):
        sx.explain(normalised, 5, budget=64)


def test_an_imputer_is_a_game():
    """The full and the empty mask give the model's predictions, as for our own tables."""
    shapiq = pytest.importorskip("shapiq")
    from shapiq.imputer import BaselineImputer

    data = np.random.default_rng(0).standard_normal((20, 5))

    def model(x):
        return 3 + x[:, 0] * x[:, 1] + x[:, 2]

    imputer = BaselineImputer(model, data, x=data[0])
    assert isinstance(imputer, shapiq.Game)
    found = sx.explain(imputer, budget=32)
    assert float(found.full) == pytest.approx(model(data[:1])[0], abs=1e-5)
    baseline = float(np.ravel(imputer.empty_prediction)[0])
    assert float(found.empty) == pytest.approx(baseline, abs=1e-5)


def test_numbers_may_come_as_objects():
    """As from the imputers of shapiq 1.8 around a function of NumPy arrays."""

    class Objects:
        n_players, normalization_value = 6, 0.5

        def __call__(self, masks):
            return game(masks).astype(object)

    found = sx.explain(Objects(), budget=64)
    assert float(found.empty) == pytest.approx(1.5, abs=1e-6)


def test_the_number_of_inputs():
    """From n, else from f."""

    class Own:
        n = 6

        def __call__(self, masks):
            return game(masks)

    assert sx.explain(Own(), budget=64).n == sx.explain(game, 6, budget=64).n == 6
    with pytest.raises(ValueError, match="n must be given: f has no number of inputs"):
        sx.explain(game, budget=64)


def product(x):
    x = np.asarray(x, float)  # shapiq 1.8 hands objects over
    return x[:, 0] * x[:, 1] + x[:, 2]


@pytest.mark.parametrize(
    "index,method", [("k-SII", "auto"), ("FSII", "faith-shapley"), ("SV", "kernelshap")]
)
def test_approximator_inside_an_explainer(index, method):
    shapiq = pytest.importorskip("shapiq")
    data = np.random.default_rng(0).standard_normal((50, 6))
    order = 1 if index == "SV" else 2
    ours = bridges.approximator(6, order, index, method=method, random_state=3)
    explainer = shapiq.TabularExplainer(
        product, data, imputer="baseline", index=index,
        max_order=order, approximator=ours,
    )  # fmt: skip
    theirs = shapiq.TabularExplainer(
        product, data, imputer="baseline", index=index,
        max_order=order,
    )  # fmt: skip
    a, b = explainer.explain(data[0], budget=64), theirs.explain(data[0], budget=64)
    assert a.index == index and ours.explanation.calls == 64
    for members, value in b.interactions.items():
        if members:
            assert a[members] == pytest.approx(value, abs=1e-4), members


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spex", "proxyspex", "auto"])
def test_methods_inside_an_explainer(method):
    """With fewer calls than masks: what is fitted is right, and nothing is added or taken away."""
    shapiq = pytest.importorskip("shapiq")
    n = 12
    data = np.random.default_rng(0).standard_normal((50, n))

    def model(x):
        x = np.asarray(x, float)
        return 5 + 3 * x[:, 0] * x[:, 1] + 2 * x[:, 2] - x[:, 5] * x[:, 7]

    right = shapiq.TabularExplainer(model, data, imputer="baseline", index="FSII", max_order=2)
    right = right.explain(data[0], budget=2**n)
    ours = bridges.approximator(n, 2, "FSII", method=method, fitted_order=2)
    explainer = shapiq.TabularExplainer(
        model, data, imputer="baseline", index="FSII", max_order=2, approximator=ours
    )
    found = explainer.explain(data[0], budget=1500)
    assert ours.explanation.calls == 1500 and ours.explanation.method == method
    assert found.baseline_value == pytest.approx(right.baseline_value)
    for members, value in right.interactions.items():
        assert found[members] == pytest.approx(value, abs=2e-2), members
    again = ours.approximate(1500, explainer.imputer)
    assert again[(0, 1)] == pytest.approx(found[(0, 1)], abs=1e-6)


def test_to_shap(e):
    shap = pytest.importorskip("shap")
    found = e.to_shap()
    assert isinstance(found, shap.Explanation)
    np.testing.assert_allclose(found.values, [1, 1, 1 / 6, -1, 1 / 6, 1 / 6], atol=1e-5)
    assert found.base_values == pytest.approx(1) and found.feature_names == WORDS

    def two(masks):
        return np.stack([game(masks), -game(masks)], axis=1)

    both = sx.explain(two, 6, budget=64).to_shap()
    np.testing.assert_allclose(both.values[:, 1], -found.values, atol=1e-5)
    np.testing.assert_allclose(both.base_values, [1, -1], atol=1e-5)


def test_to_shap_of_several_rows_with_their_data():
    pytest.importorskip("shap")
    rows = [sx.explain(lambda m, c=c: m @ (c + np.arange(6.0)), 6, budget=64) for c in (0, 1)]
    table = np.arange(12.0).reshape(2, 6)
    found = sx.bridges.to_shap(rows, table)
    np.testing.assert_allclose(found.values, [np.arange(6.0), 1 + np.arange(6.0)], atol=1e-5)
    np.testing.assert_array_equal(found.data, table)
    assert found.base_values.shape == (2,)
    np.testing.assert_array_equal(rows[0].to_shap(table[0], "BV").data, table[0])
    with pytest.raises(ValueError, match="data must have shape"):
        sx.bridges.to_shap(rows, table[0])


def test_without_the_packages(e, monkeypatch):
    monkeypatch.setitem(sys.modules, "shapiq", None)
    monkeypatch.setitem(sys.modules, "shapiq.approximator.base", None)
    monkeypatch.setitem(sys.modules, "shap", None)
    approximator._approximator_class.cache_clear()
    with pytest.raises(ImportError, match="pip install shapiq"):
        e.to_shapiq()
    with pytest.raises(ImportError, match="pip install shapiq"):
        bridges.approximator(6)
    with pytest.raises(ImportError, match="pip install shap"):
        e.to_shap()


def test_unknown_index(e):
    pytest.importorskip("shapiq")
    with pytest.raises(ValueError, match="index must be one of SV, BV"):
        e.to_shapiq("Sobol")
