"""What holds for every method: a method gets these checks by being registered."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import chex
import golden_designs
import jax.numpy as jnp
import numpy as np
import pytest

import spexjax as sx
from spexjax.masks import sampling
from spexjax.masks.design import Role
from spexjax.methods import registry
from spexjax.methods.registry import METHODS, Method
from spexjax.spectra import spectrum
from spexjax.surrogates.fitted import Fit

pytestmark = pytest.mark.loose_promotion  # optax mixes dtypes

N, BUDGET, ORDER, SEED = 20, 400, 2, 3
# 2^n ≤ budget, for a method that needs all masks.
SMALL, SMALL_BUDGET = 8, 256
SETS = ([0], [3], [7], [2, 5], [11, 17], [3, 19])


def f(masks, noise=0.1):
    kept = np.asarray(masks, float)
    planted = sum((i - 2.3) * kept[:, [j % kept.shape[1] for j in s]].prod(1)
                  for i, s in enumerate(SETS))  # fmt: skip
    return planted + noise * np.sin(kept @ np.arange(kept.shape[1]))


def both(masks):
    return np.stack([f(masks), 3.0 - f(~np.asarray(masks, bool))], axis=1)


def settings(name):
    n, budget = (SMALL, SMALL_BUDGET) if name == "exact" else (N, BUDGET)
    return {"n": n, "budget": budget, "method": name, "max_order": ORDER, "seed": SEED}


def same(a, b):
    chex.assert_trees_all_equal(a.spectrum, b.spectrum)
    for name in ("full", "empty", "level", "faithfulness", "faithfulness_interval"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("n", "method", "calls", "budget", "seed", "max_order", "features"):
        assert getattr(a, name) == getattr(b, name), name


def check_parts_give_the_whole(name, function, tmp_path):
    """``explain`` is design, evaluate, fit; a saved design is the same design."""
    whole = sx.explain(function, **settings(name))
    design = sx.design(**settings(name))
    values = function(design.masks())
    same(whole, sx.fit(design, values))
    design.save(tmp_path / "design.npz")
    again = sx.Design.load(tmp_path / "design.npz")
    for field in dataclasses.fields(sx.Design):
        chex.assert_trees_all_equal(getattr(again, field.name), getattr(design, field.name))
    same(whole, sx.fit(again, sx.evaluate(function, again, chunk_size=100)))
    return whole


def check_masks(name):
    """Distinct masks within the budget, and fits that are told which of them they may not see."""
    design = sx.design(**settings(name))
    assert design.asked == len(design) == len(np.unique(design.packed, axis=0))
    assert len(design) <= design.budget
    assert design.held_out.any() != design.exhaustive
    assert not np.any(design.held_out & (design.role == Role.CODED))
    # Units are neither split by the masks held out, nor shared with them.
    assert not set(design.unit[design.held_out]) & set(design.unit[~design.held_out])


@pytest.mark.parametrize("name", list(METHODS))
def test_the_parts_give_the_whole(name, tmp_path):
    e = check_parts_give_the_whole(name, f, tmp_path)
    assert e.num_outputs is None and np.shape(e.faithfulness) == ()


@pytest.mark.parametrize("name", list(METHODS))
def test_vector_values_too(name, tmp_path):
    e = check_parts_give_the_whole(name, both, tmp_path)
    assert e.num_outputs == 2 and e.faithfulness.shape == (2,)
    one = sx.explain(f, **settings(name))
    masks = np.random.default_rng(0).random((50, e.n)) < 0.5
    np.testing.assert_allclose(e[0].predict(masks), one.predict(masks), atol=1e-4)


@pytest.mark.parametrize("name", list(METHODS))
def test_masks_are_distinct_and_within_the_budget(name):
    check_masks(name)


@pytest.mark.parametrize("case", list(golden_designs.MASKS))
def test_designs_are_those_of_version_0_1(case):
    name, n, budget, order = case.split()
    method = sx.ProxySpex(masks="paired") if name == "paired" else name
    design = sx.design(int(n), budget=int(budget), method=method, max_order=int(order), seed=3)
    digest = hashlib.sha256(np.ascontiguousarray(design.packed, "<u4").tobytes()).hexdigest()
    assert digest[:16] == golden_designs.MASKS[case]


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("scale,offset", [(1e-30, 0.0), (1e-9, 1e9), (1e30, -1e3), (1.0, 1e9)])
def test_scale_and_offset_do_not_matter(name, scale, offset):
    """s·f + c is explained as s times f, for c in units of s.

    At 10⁹ times the spread the last digits of f are lost, and a choice between two fits may fall
    the other way: there f has no part that cannot be fitted.
    """
    design = sx.design(**settings(name))
    values = f(design.masks(), noise=0.1 if abs(offset) < 1e6 else 0.0)
    plain, moved = sx.fit(design, values), sx.fit(design, scale * (values + offset))
    spread = np.std(values)
    masks = np.random.default_rng(0).random((200, design.n)) < 0.5
    difference = moved.predict(masks) / scale - offset - plain.predict(masks)
    assert np.abs(difference).max() < 1e-4 * spread
    assert moved.method == plain.method
    np.testing.assert_allclose(moved.faithfulness, plain.faithfulness, atol=1e-4)
    first = plain.interactions("BII", 2)
    for members, value in moved.interactions("BII", 2).top(3):
        assert value / scale == pytest.approx(first[members], abs=1e-4 * spread)


def test_what_a_float32_cannot_hold_is_refused():
    design = sx.design(**settings("linear"))
    with pytest.raises(ValueError, match="within float32's range"):
        sx.fit(design, 1e39 * f(design.masks()))


@pytest.mark.parametrize("name", list(METHODS))
def test_a_constant_is_its_own_explanation(name):
    design = sx.design(**settings(name))
    e = sx.fit(design, np.full(len(design), 0.1))
    masks = np.random.default_rng(0).random((20, design.n)) < 0.5
    np.testing.assert_allclose(e.predict(masks), 0.1, rtol=1e-6)
    assert e.faithfulness == 1


SCRIPT = """
import json, sys
import jax, numpy as np
import test_contract
from spexjax.methods.registry import METHODS
assert jax.config.jax_enable_x64
out = {}
for name in METHODS:
    design = test_contract.sx.design(**test_contract.settings(name))
    e = test_contract.sx.fit(design, test_contract.f(design.masks()))
    masks = np.random.default_rng(0).random((50, design.n)) < 0.5
    out[name] = [e.method, design.packed.tolist(), e.predict(masks).tolist()]
    assert e.spectrum.coefficients.dtype == np.float32
json.dump(out, open(sys.argv[1], "w"))
"""


def test_double_precision_switched_on_changes_nothing(tmp_path):
    here = os.path.dirname(__file__)
    env = os.environ | {"JAX_ENABLE_X64": "1", "PYTHONPATH": here}
    path = tmp_path / "out.json"
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT, path], env=env, check=True)
    for name, (method, packed, predictions) in json.loads(path.read_text()).items():
        design = sx.design(**settings(name))
        np.testing.assert_array_equal(design.packed, packed)
        e = sx.fit(design, f(design.masks()))
        masks = np.random.default_rng(0).random((50, design.n)) < 0.5
        assert e.method == method
        np.testing.assert_allclose(e.predict(masks), predictions, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", list(METHODS))
def test_values_on_the_device_give_the_same(name):
    design = sx.design(**settings(name))
    values = f(design.masks(), noise=0.0).astype(np.float32)
    host, device = sx.fit(design, values), sx.fit(design, jnp.asarray(values))
    masks = np.random.default_rng(0).random((50, design.n)) < 0.5
    np.testing.assert_allclose(device.predict(masks), host.predict(masks), atol=1e-3)


@dataclasses.dataclass(frozen=True)
class Mean:
    """A method of one number."""

    shrink: float = 0.0


def mean_design(config, n, budget, max_order, key):
    return sampling.sample(key, n, budget, max_order, held_out=40)


def mean_fit(config, design, values, key):
    K = values.values.shape[1]
    empty = np.zeros((1, design.packed.shape[1]), np.uint32)
    mean = np.asarray(values.values)[~design.held_out].mean(axis=0) * (1 - config.shrink)
    found = spectrum.from_terms(empty, mean.reshape(K, 1), design.n)
    return Fit(found, found)


@pytest.fixture
def toy():
    registry.register("mean", Method(Mean, mean_design, mean_fit))
    yield "mean"
    del METHODS["mean"]


def test_a_new_method_is_checked_by_being_registered(toy, tmp_path):
    e = check_parts_give_the_whole(toy, f, tmp_path)
    assert e.method == toy and abs(e.faithfulness) < 0.1
    check_parts_give_the_whole(toy, both, tmp_path)
    check_masks(toy)
    test_scale_and_offset_do_not_matter(toy, 1e-30, 0.0)
    assert sx.explain(f, N, budget=50, method=Mean(shrink=0.5)).method == toy
    with pytest.raises(ValueError, match="is registered already"):
        registry.register("Mean", Method(Mean, mean_design, mean_fit))


@pytest.mark.parametrize("name", list(METHODS))
def test_configurations_survive_json(name):
    config = METHODS[name].config()
    assert registry.from_json(name, registry.to_json(config)) == config
