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
from spexjax.surrogates.proposals import Wider

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


# Fewer and smaller trees: what is tested is not how good they are.
FEW = (sx.boosting.BoostConfig(depth=2, trees=40, patience=10),)
QUICK = {
    "auto": sx.Auto(wider=Wider(sets=128, boosts=FEW)),
    "proxyspex": sx.ProxySpex(terms=128, boosts=FEW),
}


def settings(name):
    n, budget = (SMALL, SMALL_BUDGET) if name == "exact" else (N, BUDGET)
    method = QUICK.get(name, name)
    return {"n": n, "budget": budget, "method": method, "max_order": ORDER, "seed": SEED}


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
    uses = np.stack([design.role, design.unit, design.held_out]).astype("<i8")
    assert hashlib.sha256(uses.tobytes()).hexdigest()[:16] == golden_designs.USES[case]


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


@pytest.mark.parametrize("scale", [1e-300, 1e-46, 1e39, 1e300])
def test_what_a_float32_cannot_hold_is_refused(scale):
    design = sx.design(**settings("linear"))
    with pytest.raises(ValueError, match="within float32's range"):
        sx.fit(design, scale * f(design.masks()))


def test_values_near_the_end_of_float32_are_explained():
    design = sx.design(**settings("linear"))
    values = f(design.masks())
    wide = values / np.abs(values).max() * 3.3e38
    plain = sx.fit(design, values)
    for given in (wide, jnp.asarray(wide, jnp.float32)):
        e = sx.fit(design, given)
        np.testing.assert_allclose(e.faithfulness, plain.faithfulness, atol=1e-3)


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_masks_held_out_that_alone_differ_are_not_explained(convert):
    """A constant where it may be fitted, and something else where it is measured."""
    design = sx.design(**settings("linear"))
    values = np.where(design.held_out, f(design.masks()), 0.25).astype(np.float32)
    e = sx.fit(design, convert(values))
    assert e.faithfulness < 0 and e.faithfulness_interval[0] < 0


@pytest.mark.parametrize("n,budget", [(4, 64), (6, 10_000), (9, 5000)])
@pytest.mark.parametrize("method", ["linear", sx.baselines.Lime("cosine")])
def test_a_budget_beyond_all_masks_leaves_some_to_fit(n, budget, method):
    weights = 1.0 + np.arange(n)
    e = sx.explain(lambda m: m @ weights, n, budget=budget, method=method)
    assert e.calls == 2**n and e.faithfulness > 0.95
    np.testing.assert_allclose(e.interactions("BV").to_array(), weights, rtol=0.1)


def test_all_masks_are_measured_by_one_transform(monkeypatch):
    """What is exact takes n·2ⁿ steps, not 4ⁿ."""

    def too_slow(*_):
        raise AssertionError("every term at every mask")

    monkeypatch.setattr(sx.Spectrum, "predict_packed", too_slow)
    rng = np.random.default_rng(0)
    table = rng.standard_normal((2**12, 2))
    for values in (table, table[:, 0]):
        e = sx.fit(sx.design(12, budget=2**12, method="exact"), values)
        assert np.all(np.abs(1 - np.asarray(e.faithfulness)) < 1e-6)
    e = sx.fit(sx.design(12, budget=2**12, method="banzhaf"), table)
    monkeypatch.undo()
    masks = sx.gf2.unpack_numpy(np.arange(2**12, dtype=np.uint32)[:, None], 12)
    guess = e.predict(masks)
    expected = 1 - ((table - guess) ** 2).sum(axis=0) / ((table - table.mean(axis=0)) ** 2).sum(0)
    np.testing.assert_allclose(e.faithfulness, expected, atol=1e-5)


def test_a_game_is_asked_for_its_own_values():
    class Game:
        n_players, normalization_value = 4, 2.0

        def __call__(self, masks):
            return masks @ np.arange(1.0, 5.0) + 3.0 - self.normalization_value

    design = sx.design(4, budget=16)
    e, parts = sx.explain(Game(), budget=16), sx.fit(design, sx.evaluate(Game(), design))
    assert (float(e.full), float(e.empty)) == (13.0, 3.0)
    same(e, parts)


def test_features_and_settings_may_be_numpy():
    design = sx.design(N, budget=60, method=sx.baselines.FaithBanzhaf(order=np.int64(1)))
    e = sx.fit(design, f(design.masks()), features=np.arange(N))
    assert e.features[3] == "3"
    assert sx.explain(f, N, budget=60, method="lime", features=np.array(["a"] * N)).n == N
    with pytest.raises(ValueError, match="settings do not fit"):
        registry.from_json("faith-banzhaf", '{"order": "a"}')


def test_noise_is_in_units_of_the_values():
    design = sx.design(**settings("spex"))
    values = f(design.masks())
    first, second = sx.fit(design, values), sx.fit(design, 1000.0 * values)
    assert np.shape(first.info.noise) == ()
    assert second.info.noise == pytest.approx(1e6 * first.info.noise, rel=1e-3)
    e = sx.fit(design, np.stack([values, 1000.0 * values], axis=1))
    assert e[1].info.noise == pytest.approx(second.info.noise, rel=1e-3)


def test_a_surrogate_without_the_empty_set_is_refused(toy):
    design = sx.design(N, budget=60, method=toy)

    def without(config, design, values, key):
        one = np.full((1, design.packed.shape[1]), 1, np.uint32)
        found = spectrum.from_terms(one, np.ones((1, 1), np.float32), design.n)
        return Fit(found, found)

    METHODS[toy] = METHODS[toy]._replace(fit=without)
    with pytest.raises(ValueError, match="must hold the empty set"):
        sx.fit(design, f(design.masks()))


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
design = test_contract.sx.design(6, budget=64)
values = jax.numpy.asarray(1e9 + design.masks()[:, 0] * design.masks()[:, 1], "float64")
e = test_contract.sx.fit(design, values)
assert abs(e.interactions("Moebius").to_dict()[(0, 1)] - 1) < 1e-5, e
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


def test_a_new_method_is_checked_by_being_registered(toy, tmp_path):
    e = check_parts_give_the_whole(toy, f, tmp_path)
    assert e.method == toy and abs(e.faithfulness) < 0.1
    check_parts_give_the_whole(toy, both, tmp_path)
    check_masks(toy)
    test_scale_and_offset_do_not_matter(toy, 1e-30, 0.0)
    assert sx.explain(f, N, budget=50, method=Mean(shrink=0.5)).method == toy
    with pytest.raises(ValueError, match="registered already"):
        registry.register("Mean", Method(Mean, mean_design, mean_fit))


@pytest.mark.parametrize("name", list(METHODS))
def test_configurations_survive_json(name):
    config = METHODS[name].config()
    assert registry.from_json(name, registry.to_json(config)) == config
