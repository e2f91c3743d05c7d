"""``explain`` from end to end."""

import dataclasses
import os
import re
import subprocess
import sys

import chex
import jax
import numpy as np
import oracles
import pytest

import spexjax as sx
from spexjax import Explanation, PeelConfig, ProxySpex, Spex, masks, values
from spexjax.explain import explain
from spexjax.trees.boosting import BoostConfig
from spexjax.values import progress

N_FEATURES = 48
pytestmark = pytest.mark.loose_promotion


class Counted:
    """A planted function that remembers which masks it was asked for."""

    def __init__(self, terms, sigma=0.0):
        self.terms, self.sigma, self.asked = terms, sigma, []
        self.rng = np.random.default_rng(0)

    def __call__(self, bits):
        self.asked.append(np.packbits(bits, axis=1))
        return oracles.evaluate(self.terms, bits) + self.sigma * self.rng.standard_normal(len(bits))

    @property
    def calls(self):
        return sum(map(len, self.asked))

    @property
    def distinct(self):
        return len(np.unique(np.concatenate(self.asked), axis=0))


def planted(count=15, seed=0, n=N_FEATURES):
    return {(): 0.5, **oracles.planted_terms(n, count, seed)}


def smallest_budget(b=3, t=5, groups=3, step=10):
    budget = 1
    while (masks.plan_budget(N_FEATURES, budget, t, groups).b or 0) < b:
        budget += step
    return budget


# One budget in most tests: they share compiled programs.
BUDGET = smallest_budget(b=4)


def fresh(count=500, seed=9):
    return np.random.default_rng(seed).random((count, N_FEATURES)) < 0.5


def test_spex_recovers_a_planted_function_and_spends_the_budget():
    f = Counted(planted(), sigma=0.3)
    e = explain(f, N_FEATURES, budget=BUDGET, method="SPEX", seed=3)
    assert f.calls == f.distinct == e.calls == e.budget == BUDGET
    assert (e.method, e.seed, e.max_order) == ("spex", 3, 5)
    found = e.spectrum.to_dict()
    assert set(f.terms) <= set(found)
    assert all(abs(found[k] - f.terms[k]) < 0.1 for k in f.terms)
    assert e.faithfulness > 0.95
    low, high = e.faithfulness_interval
    assert low < e.faithfulness < high <= 1
    truth = oracles.evaluate(f.terms, fresh())
    assert np.var(e.predict(fresh()) - truth) < 0.01 * np.var(truth)
    assert float(e.full) == pytest.approx(oracles.evaluate(f.terms, np.ones((1, 48)))[0], abs=2)


def test_the_same_seed_gives_the_same_bits():
    f = Counted(planted(60), sigma=0.0)
    first, again = (explain(f, N_FEATURES, budget=BUDGET, seed=4) for _ in range(2))
    chex.assert_trees_all_equal(first.spectrum, again.spectrum)
    assert first.faithfulness == again.faithfulness
    other = explain(f, N_FEATURES, budget=BUDGET, seed=jax.random.key(5))
    assert other.faithfulness != first.faithfulness and isinstance(other.seed, tuple)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
@pytest.mark.parametrize("method", ["exact", "auto", "spex"])
def test_all_masks_are_asked_once_where_they_are_affordable(n, method):
    rng = np.random.default_rng(n)
    table = rng.standard_normal(2**n)
    asked = []

    def f(bits):
        index = bits @ (1 << np.arange(n))
        asked.extend(index.tolist())
        return table[index]

    e = explain(f, n, budget=600, method=method)
    assert sorted(asked) == list(range(2**n))
    assert (e.method, e.calls, float(e.faithfulness)) == ("exact", 2**n, 1.0)
    exact = oracles.fourier(table, n)
    found = e.spectrum.to_dict()
    assert all(abs(found.get(k, 0.0) - v) < 1e-5 for k, v in exact.items())
    assert float(e.full) == pytest.approx(table[-1], rel=1e-6)
    assert float(e.empty) == pytest.approx(table[0], rel=1e-6)


@pytest.mark.parametrize("budget", [1, 2, 3, 10, 60])
def test_a_tiny_budget_is_never_exceeded(budget):
    f = Counted(planted())
    e = explain(f, N_FEATURES, budget=budget)
    assert f.calls == f.distinct == e.calls == budget
    assert e.method == ("linear" if budget == 1 else "auto")
    assert np.all(np.isfinite(e.predict(fresh())))


def test_few_calls_see_more_than_a_line():
    def f(masks):
        return np.tanh(masks[:, :4].sum(axis=1) - 1.5) * (1 + masks[:, 4])

    masks = np.random.default_rng(0).random((2000, 10)) < 0.5
    found = [explain(f, 10, budget=80, method=m).predict(masks) for m in ("auto", "linear")]
    errors = [np.mean((guess - f(masks)) ** 2) for guess in found]
    assert errors[0] < 0.2 * errors[1]


def test_a_small_cube_runs_out_of_masks():
    # Coded masks coincide when n is small: what that saves buys uniform ones.
    f = Counted({(): 1.0, (0, 3): 2.0, (1,): -1.0, (2, 5, 7): 0.7})
    e = explain(f, 12, budget=4000, method=Spex(b=3))
    assert f.calls == f.distinct == 4000
    assert e.method == "spex"
    assert {k for k, v in e.spectrum.to_dict().items() if abs(v) > 0.05} == set(f.terms)


def test_the_ends_are_always_asked_for():
    f = Counted(planted())
    explain(f, N_FEATURES, budget=100, method="linear")
    first_two = np.unpackbits(f.asked[0][:2], axis=1)[:, :N_FEATURES]
    np.testing.assert_array_equal(first_two.sum(axis=1), [N_FEATURES, 0])


def test_a_linear_function_is_left_linear():
    f = Counted({(): 1.0, **{(i,): 1.0 / (i + 1) for i in range(20)}}, sigma=0.05)
    e = explain(f, N_FEATURES, budget=BUDGET, method="auto")
    found = e.spectrum.to_dict()
    assert all(len(k) <= 1 for k, v in found.items() if abs(v) > 0.02)
    assert e.faithfulness > 0.98


def test_pure_noise_is_reported_as_such():
    f = Counted({(): 1.0}, sigma=1.0)
    e = explain(f, N_FEATURES, budget=BUDGET, method="spex")
    assert e.faithfulness < 0.1
    assert float(e.spectrum.energy()) < 0.1


def test_max_order_bounds_the_sets():
    f = Counted(planted(10, 2))
    budget = smallest_budget(b=4, t=2)
    e = explain(f, N_FEATURES, budget=budget, method="spex", max_order=2)
    assert max(map(len, e.spectrum.to_dict())) <= 2
    assert budget < BUDGET


def test_vector_values_equal_scalar_runs():
    parts = [planted(8, s) for s in range(2)]

    def f(bits):
        return np.stack([oracles.evaluate(p, bits) for p in parts], axis=1)

    both = explain(f, N_FEATURES, budget=BUDGET, method="spex")
    assert both.faithfulness.shape == (2,) and both.num_outputs == 2
    assert both.predict(fresh()).shape == (500, 2)
    for i, part in enumerate(parts):
        alone = explain(Counted(part), N_FEATURES, budget=BUDGET, method="spex")
        expected, found = alone.spectrum.to_dict(), both[i].spectrum.to_dict()
        assert set(expected) == set(found)
        assert all(abs(expected[k] - found[k]) < 1e-4 for k in expected)
        assert float(both[i].faithfulness) == pytest.approx(float(alone.faithfulness), abs=1e-4)
        assert float(both[i].full) == pytest.approx(float(alone.full), rel=1e-6)


def test_a_shared_support_for_many_outputs():
    rng = np.random.default_rng(0)
    sets = list(planted(8))
    weights = rng.standard_normal((len(sets), 80))
    signs = {k: {k: 1.0} for k in sets}

    def f(bits):
        return np.stack([oracles.evaluate(signs[k], bits) for k in sets], axis=1) @ weights

    e = explain(f, N_FEATURES, budget=BUDGET, method="spex")
    assert e.spectrum.supports.ndim == 2 and e.num_outputs == 80
    assert np.min(e.faithfulness) > 0.99
    found = e[7].spectrum.to_dict()
    assert all(abs(found[k] - w) < 0.05 for k, w in zip(sets, weights[:, 7], strict=True))


ON_DEVICE = """
import jax, jax.numpy as jnp, numpy as np
from jax._src.array import ArrayImpl
import spexjax as sx
from spexjax.surrogates.proposals import Wider

# What NumPy reads of an array on two devices passes through here.
pulled, read = set(), ArrayImpl._value
ArrayImpl._value = property(lambda x: pulled.add(x.shape) or read.fget(x))
mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
rows = jax.NamedSharding(mesh, jax.P("d"))
weights = jnp.linspace(-1, 1, 20, dtype=jnp.float32)
call = lambda m: m.astype(jnp.float32) @ weights + 2.0 * (m[:, 3] & m[:, 5])
f = sx.values.on_device(jax.jit(call, out_shardings=rows))
small = Wider(sets=128, boosts=(sx.boosting.BoostConfig(depth=3, trees=60, patience=15),))
for method in ("linear", "spex", sx.Auto(wider=small)):
    with jax.transfer_guard_device_to_host("disallow"):
        e = sx.explain(f, 20, budget=450, method=method, max_order=2)
    assert e.faithfulness > 0.8, e
    # The coded masks, the others, and the bucket of these. All 450 leave once, when the fit is
    # done: errors are told on the host.
    sizes = {264, 186, 256}
    assert not [s for s in pulled if sizes & set(s)], pulled
assert pulled  # the watch sees what leaves: coefficients, errors of folds, trees
"""


def test_values_of_a_jax_function_stay_on_the_device():
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    env = os.environ | {"XLA_FLAGS": flags}
    subprocess.run([sys.executable, "-c", ON_DEVICE], env=env, check=True)


def test_saving_and_loading(tmp_path):
    e = explain(Counted(planted()), N_FEATURES, budget=BUDGET, features=["the"] * N_FEATURES)
    path = tmp_path / "e.json"
    e.save(path)
    back = Explanation.load(path)
    assert back.spectrum.to_dict() == e.spectrum.to_dict()
    for name in ("n", "method", "calls", "budget", "seed", "max_order", "features"):
        assert getattr(back, name) == getattr(e, name)
    np.testing.assert_array_equal(back.faithfulness, e.faithfulness)
    np.testing.assert_array_equal(back.predict(fresh()), e.predict(fresh()))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": "other"}', '{"format": "spexjax.explanation", "version": 9}', "7"],
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "e.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"JSON|explanation|format|version"):
        Explanation.load(path)


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"n": 2.5}, "n must be an int"),
        ({"budget": 0}, "budget must be at least 1"),
        ({"budget": 10.0}, "budget must be an int"),
        ({"budget": True}, "budget must be an int"),
        ({"chunk_size": 0}, "chunk_size must be at least 1"),
        ({"max_order": 0}, "max_order must be at least 1"),
        ({"features": ["a"]}, "features must have n = 48 labels, got 1"),
        ({"method": "spx"}, "did you mean 'spex'"),
        ({"method": 7}, "method must be a name or a configuration"),
        ({"method": "exact"}, "budget must be at least 2\\^n"),
        ({"method": "spex"}, f"budget must be at least {smallest_budget(step=1)} "),
        ({"method": Spex(b=6)}, "b = 6; got 100"),
        ({"seed": 1.5}, "seed must be an int"),
        ({"seed": "x"}, "seed must be an int"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    arguments = {"n": N_FEATURES, "budget": 100} | changes
    with pytest.raises(ValueError, match=message):
        explain(Counted(planted()), **arguments)


def test_a_budget_below_what_exact_needs():
    with pytest.raises(masks.BudgetError, match="at least 2"):
        explain(Counted(planted()), n=N_FEATURES, budget=100, method="exact")


def test_a_failing_function_loses_nothing():
    def f(bits):
        out = bits.sum(axis=1).astype(float)
        out[7] = np.nan if len(bits) < 50 else 0.0
        return out

    with pytest.raises(values.ValueFunctionError, match="NaN") as caught:
        explain(f, N_FEATURES, budget=120, chunk_size=50)
    assert len(caught.value.values) == 119  # all but the one that was NaN


def test_predict_checks_its_masks():
    e = explain(Counted(planted()), N_FEATURES, budget=50)
    with pytest.raises(ValueError, match="masks must be bool with shape \\(N, 48\\)"):
        e.predict(np.ones((3, 5), bool))
    with pytest.raises(ValueError, match="one output"):
        e[0]


def test_the_hard_decoder_and_other_settings_run():
    f = Counted(planted(6))
    config = Spex(b=3, t=5, groups=2, decoder="hard", peel=PeelConfig(max_rounds=5))
    e = explain(f, N_FEATURES, budget=smallest_budget(groups=2), method=config)
    assert e.faithfulness > 0.9


def test_one_place_for_the_decoder():
    hard = PeelConfig(decoder="hard")
    assert Spex(peel=hard).search == Spex(decoder="hard").search == hard
    assert dataclasses.replace(Spex(), peel=hard).search == hard
    assert Spex().search.decoder == "soft"
    with pytest.raises(ValueError, match="name one of them"):
        Spex(decoder="soft", peel=hard)
    hard = [Spex(t=5, decoder="hard"), Spex(t=5, peel=PeelConfig(decoder="hard"))]
    f = Counted(planted(12), sigma=0.5)
    design = sx.design(N_FEATURES, budget=smallest_budget(), method=hard[0])
    values = f(design.masks())
    found = [
        sx.fit(sx.design(N_FEATURES, budget=smallest_budget(), method=m), values) for m in hard
    ]
    chex.assert_trees_all_equal(found[0].spectrum, found[1].spectrum)


@pytest.mark.parametrize("field,value", [("t", 0), ("b", -1), ("groups", 0), ("t", 2.0)])
def test_bad_settings_of_spex_are_named(field, value):
    with pytest.raises(ValueError, match=f"{field} must be an int from"):
        Spex(**{field: value})


def test_linear_is_ridge():
    """Against ridge in closed form, at one of the strengths tried."""
    f = Counted(planted(), sigma=0.3)
    design = sx.design(N_FEATURES, budget=300, method="linear")
    y = f(design.masks())
    e = sx.fit(design, y)
    assert e.method == "linear" and len(e.spectrum.to_dict()) == 1 + N_FEATURES
    X = 1.0 - 2.0 * design.masks()
    w = np.array([e.spectrum.to_dict()[(i,)] for i in range(N_FEATURES)])
    centred, target = X - X.mean(axis=0), y - y.mean()
    left = centred.T @ (target - centred @ w)
    # The gradient of the penalty is a multiple of w.
    strength = left @ w / (w @ w)
    assert strength > 0
    np.testing.assert_allclose(left, strength * w, atol=1e-3 * np.abs(left).max())


def test_small_effects_on_a_large_offset_are_found():
    def f(m):
        return 1e8 + 0.01 * m[:, 0] * m[:, 1] + m[:, 2]

    e = explain(f, 10, budget=1024)
    found = e.interactions("Moebius", 2).top(3)
    assert [members for members, _ in found] == [(2,), (0, 1)]
    assert found[(0, 1)] == pytest.approx(0.01, abs=1e-4) and e.faithfulness > 1 - 1e-4
    masks = np.random.default_rng(0).random((50, 10)) < 0.5
    np.testing.assert_allclose(e.predict(masks), f(masks), atol=1e-3)

    def noisy(m):
        return 1e6 + m[:, 0] + 0.0 * m[:, 1]

    assert explain(noisy, 10, budget=1024).faithfulness == pytest.approx(1.0, abs=1e-6)


def test_trees_grow_above_2048_inputs():
    config = ProxySpex(terms=128, boosts=(BoostConfig(depth=2, trees=12, patience=4),))

    def f(bits):
        return 3.0 * (bits[:, 2090] & bits[:, 7]) + bits[:, 7] + bits[:, 2090]

    e = explain(f, 2100, budget=200, method=config, max_order=2)
    assert e.method == "proxyspex" and (7, 2090) in e.spectrum.to_dict()


def test_progress_says_what_a_fit_is_at(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", -1.0)
    explain(lambda m: m[:, 0] * 1.0, 20, budget=500, progress=True)
    lines = [s for s in capsys.readouterr().err.splitlines() if s.startswith("fit: ")]
    told = [re.fullmatch(r"fit: ([a-z ]+), (\d+)% done", line).groups() for line in lines]
    assert list(dict.fromkeys(phase for phase, _ in told)) == [
        "decoding", "growing trees", "fitting"
    ]  # fmt: skip
    shares = [int(share) for _, share in told]
    assert shares == sorted(shares) and shares[0] == 0 and 50 < shares[-1] < 100
