"""Integrated gradients: exact where they can be, refused where there are no derivatives."""

import logging

import jax.numpy as jnp
import numpy as np
import pytest

import spexjax as sx
from spexjax.methods import integrated_gradients, registry
from spexjax.methods.integrated_gradients import IntegratedGradients

RNG = np.random.default_rng(3)
EMBEDDINGS, BASELINE = RNG.normal(size=(2, 7, 4))  # 7 words, 4 directions
DIRECTION = RNG.normal(size=4)


def words(shares):
    """Embeddings between the baseline's and the words'."""
    base = jnp.asarray(BASELINE, jnp.float32)
    return base + shares[..., None] * (jnp.asarray(EMBEDDINGS, jnp.float32) - base)


def linear(shares):
    return words(shares).sum(axis=1) @ jnp.asarray(DIRECTION, jnp.float32) + jnp.float32(2)


def bilinear(shares):
    """Products of neighbours: the diagonal's integral shares each equally."""
    return (shares[:, 1:] * shares[:, :-1]).sum(axis=1) + shares[:, 0]


def test_linear_functions_are_explained_exactly():
    f = sx.values.differentiable(linear)
    e = sx.explain(f, 7, method="Integrated-Gradients", budget=80, seed=4)
    shares = (EMBEDDINGS - BASELINE) @ DIRECTION
    ix = e.interactions("SV")
    np.testing.assert_allclose(ix.to_array(), shares, rtol=2e-5, atol=2e-5)
    assert e.full == pytest.approx(2 + (EMBEDDINGS @ DIRECTION).sum(), rel=1e-5)
    assert float(e.faithfulness) == pytest.approx(1, abs=1e-6)
    assert (e.method, e.max_order, e.seed, e.calls) == ("integrated-gradients", 1, 4, 80)
    masks = RNG.random((30, 7)) < 0.5
    np.testing.assert_allclose(e.predict(masks), f(masks), rtol=1e-5, atol=1e-5)


def test_of_a_multilinear_function_it_is_the_shapley_value():
    f = sx.values.differentiable(bilinear)
    e = sx.explain(f, 6, method=IntegratedGradients(steps=2), budget=66)
    exact = sx.explain(f, 6, method="exact", budget=64)
    np.testing.assert_allclose(
        e.interactions("SV").to_array(), exact.interactions("SV").to_array(), atol=1e-5
    )
    masks = np.array(np.meshgrid(*[[False, True]] * 6)).reshape(6, -1).T
    inner = masks[(masks.sum(axis=1) > 0) & (masks.sum(axis=1) < 6)]
    assert e.calls == 66  # all masks, and two points
    # Pairs are left out.
    r2 = float(sx.metrics.r2(f(inner), e.predict(inner)))
    assert float(e.faithfulness) < 0.9
    assert e.faithfulness == pytest.approx(r2, abs=1e-5)


def smooth(shares):
    return jnp.tanh(2 * words(shares).sum(axis=1)) @ jnp.asarray(DIRECTION, jnp.float32)


def test_they_add_up_and_a_rule_with_too_few_points_is_told(caplog):
    f = sx.values.differentiable(smooth)
    with caplog.at_level(logging.WARNING, "spexjax"):
        few = sx.explain(f, 7, method=IntegratedGradients(1), budget=40)
    assert "1 steps add up to" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "spexjax"):
        many = sx.explain(f, 7, method=IntegratedGradients(64), budget=100)
    assert not caplog.text
    change = float(np.diff(f(np.array([[False] * 7, [True] * 7])))[0])
    assert many.interactions("SV").to_array().sum() == pytest.approx(change, rel=1e-4)
    assert few.interactions("SV").to_array().sum() != pytest.approx(change, rel=0.01)
    # The surrogate is right where everything is there, however few the points.
    assert few.predict(np.ones((1, 7), bool))[0] == pytest.approx(float(few.full), rel=1e-5)


def test_several_outputs_are_several_explanations():
    f = sx.values.differentiable(lambda s: jnp.stack([linear(s), bilinear(s)], axis=1))
    e = sx.explain(f, 7, method="integrated-gradients", budget=90)
    for k, one in enumerate((linear, bilinear)):
        alone = sx.explain(
            sx.values.differentiable(one), 7, method="integrated-gradients", budget=90
        )
        np.testing.assert_allclose(
            e[k].interactions("SV").to_array(), alone.interactions("SV").to_array(), atol=1e-5
        )


def test_the_budget_is_spent_and_foretold(tmp_path):
    for budget, steps, masks in ((3, 1, 2), (100, 73, 27), (600, 256, 344)):
        cost = sx.preview(20, budget=budget, method="integrated-gradients")
        assert (cost.gradients, cost.masks) == (steps, masks)
    assert "344 model calls and 256 gradients" in str(cost)
    f = sx.values.differentiable(linear)
    e = sx.explain(f, 7, method="integrated-gradients", budget=100, features=list("abcdefg"))
    e.save(tmp_path / "e.json")
    again = sx.Explanation.load(tmp_path / "e.json")
    assert (again.method, again.calls, again.features) == (e.method, e.calls, e.features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 2}, "under the 3 calls"),
        ({"method": IntegratedGradients(9), "budget": 10}, "under the 11 calls"),
        ({"budget": 0}, "budget must be at least 1"),
        ({"n": 2.5}, "n must be an int"),
        ({"features": ["a"]}, "features must have n = 7"),
        ({"target": "SV"}, "a target has its own method"),
    ],
)
def test_arguments_are_checked(change, message):
    f = sx.values.differentiable(linear)
    given = {"n": 7, "budget": 50, "method": "integrated-gradients"} | change
    with pytest.raises(ValueError, match=message):
        sx.explain(f, **given)


def test_steps_are_from_one():
    with pytest.raises(ValueError, match="steps must be at least 1"):
        IntegratedGradients(0)


def test_functions_without_derivatives_are_refused_unasked():
    def f(masks):
        raise AssertionError("was asked")

    for one in (f, sx.values.on_device(f)):
        with pytest.raises(ValueError, match=r"value_and_gradient.*differentiable"):
            sx.explain(one, 7, method="integrated-gradients", budget=50)


def test_masks_alone_do_not_do():
    for method in ("integrated-gradients", IntegratedGradients()):
        with pytest.raises(ValueError, match="not for masks alone"):
            sx.design(7, budget=50, method=method)
    with pytest.raises(ValueError, match="did you mean 'integrated-gradients'"):
        sx.explain(linear, 7, budget=50, method="integrated-gradient")
    with pytest.raises(ValueError, match="is registered already"):
        registry.register("integrated-gradients", registry.Method(dict, None, None))


class Broken:
    """Returns what it is told to."""

    def __init__(self, values, gradients):
        self.returned = values, gradients

    def __call__(self, masks):
        return masks.sum(axis=1)

    def value_and_gradient(self, shares):
        return tuple(np.full((len(shares), *shape), value) for shape, value in self.returned)


@pytest.mark.parametrize(
    ("values", "gradients", "message"),
    [
        (((1, 1), 1.0), ((4,), 1.0), "values of shape"),
        (((), 1.0), ((3,), 1.0), "derivatives of shape"),
        (((2,), 1.0), ((4,), 1.0), "derivatives of shape"),
        (((), np.nan), ((4,), 1.0), "NaN or infinity"),
        (((), 1.0), ((4,), np.inf), "NaN or infinity"),
    ],
)
def test_what_comes_back_is_checked(values, gradients, message):
    with pytest.raises(ValueError, match=message):
        sx.explain(Broken(values, gradients), 4, method="integrated-gradients", budget=20)


def test_the_rule_is_exact_for_polynomials():
    points, weights = integrated_gradients.quadrature(5)
    assert ((points > 0) & (points < 1)).all()
    np.testing.assert_allclose([weights @ points**k for k in range(10)], 1 / np.arange(1, 11))
