"""R² and its interval; sparsity, removal and recovery."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import evaluate, planted_terms

from spexjax import metrics
from spexjax.experiments.bench import coverage as bench_coverage
from spexjax.spectra.spectrum import Spectrum


def test_r2_is_the_definition():
    rng = np.random.default_rng(0)
    f = rng.standard_normal((50, 2)) + 10
    g = f + 0.3 * rng.standard_normal((50, 2))
    expected = 1 - ((f - g) ** 2).sum(0) / ((f - f.mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(metrics.r2(np.float32(f), np.float32(g)), expected, rtol=1e-4)


def test_a_constant_function():
    ones = np.ones(5, np.float32)
    assert float(metrics.r2(ones, ones)) == 1.0
    assert float(metrics.r2(ones, 2 * ones)) == -np.inf
    assert float(metrics.r2(np.arange(5.0, dtype=np.float32), 2 * ones)) == 0.0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="predictions must have the shape of values"):
        metrics.r2(np.ones(5), np.ones(4))


def test_the_interval_surrounds_r2_and_shrinks(key):
    rng = np.random.default_rng(0)
    widths = []
    for N in (50, 800):
        f = np.float32(rng.standard_normal(N))
        g = np.float32(f + 0.5 * rng.standard_normal(N))
        low, high = metrics.r2_interval(key, f, g)
        assert low < metrics.r2(f, g) < high
        widths.append(float(high - low))
    assert widths[1] < 0.5 * widths[0]


def test_the_interval_of_outputs_is_that_of_each(key):
    rng = np.random.default_rng(0)
    f = np.float32(rng.standard_normal((40, 2)))
    g = np.float32(f + 0.2 * rng.standard_normal((40, 2)))
    both = metrics.r2_interval(key, f, g)
    one = jax.jit(metrics.r2_interval)(key, f[:, 1], g[:, 1])
    np.testing.assert_allclose([both[0][1], both[1][1]], one, rtol=1e-4)


def test_the_interval_of_a_surrogate_that_explains_nothing(key):
    f = np.float32(np.random.default_rng(0).standard_normal(100) + 7)
    low, high = metrics.r2_interval(key, f, np.full(100, f.mean() + 0.1, np.float32))
    assert -0.2 < low < float(metrics.r2(f, np.full(100, f.mean() + 0.1, np.float32)))
    assert 0 <= high < 0.05


def test_the_interval_where_there_is_nothing_to_estimate(key):
    f = np.float32(np.random.default_rng(0).standard_normal(50))
    assert [float(x) for x in metrics.r2_interval(key, f, f)] == [1.0, 1.0]
    ones = np.ones(50, np.float32)
    assert [float(x) for x in metrics.r2_interval(key, ones, ones)] == [1.0, 1.0]
    assert [float(x) for x in metrics.r2_interval(key, ones, 2 * ones)] == [-np.inf, -np.inf]


SCALES = (1e-30, 1e-15, 1e15, 1e30)


def surrogate(r2=0.8, N=64, seed=0):
    """f with outliers and a surrogate's f̂ of about this R², float64."""
    rng = np.random.default_rng(seed)
    f = rng.standard_t(4, N)
    return f, f + np.sqrt(1 - r2) * rng.standard_normal(N)


def exact_r2(f, g):
    return 1 - np.sum((f - g) ** 2) / np.sum((f - f.mean()) ** 2)


def test_level_and_scale_do_not_matter(key):
    f, g = surrogate()
    low, high = (float(x) for x in metrics.r2_interval(key, f, g))
    assert low < float(metrics.r2(f, g)) < high < 1
    for scale in (*SCALES, 1e-60, 1e60):
        for level in (0, 1e9):
            F, G = scale * (f + level), scale * (g + level)
            assert float(metrics.r2(F, G)) == pytest.approx(exact_r2(f, g), rel=1e-5)
            assert [float(x) for x in metrics.r2_interval(key, F, G)] == pytest.approx(
                [low, high], abs=1e-4
            )


def test_scale_and_level_do_not_matter_on_the_device(key):
    """As far as float32 values hold them."""
    f, g = surrogate()
    score, interval = jax.jit(jax.vmap(metrics.r2)), jax.vmap(metrics.r2_interval, (None, 0, 0))
    scales = np.array([1.0, *SCALES, 1.0])[:, None]
    levels = np.array([0, 0, 0, 0, 0, 1e3])[:, None]
    F, G = (jnp.asarray(scales * (x + levels), jnp.float32) for x in (f, g))
    found, (low, high) = score(F, G), jax.jit(interval)(key, F, G)
    np.testing.assert_allclose(found, exact_r2(f, g), atol=1e-3)
    np.testing.assert_allclose(low, low[0], atol=1e-3)
    np.testing.assert_allclose(high, high[0], atol=1e-3)
    assert bool(jnp.all((low < found) & (found < high)))


@pytest.mark.parametrize("r2", [-1e12, -1.0, 0.0, 0.9, 1 - 1e-8, 1 - 1e-30])
def test_r2_lies_inside_its_interval(key, r2):
    for seed in range(3):
        f, g = surrogate(r2, seed=seed)
        for scale, level in ((1, 0), (1e-30, 3e5), (1e30, 0)):
            F, G = scale * (f + level), scale * (g + level)
            score, (low, high) = metrics.r2(F, G), metrics.r2_interval(key, F, G)
            assert low <= score <= high <= 1
            assert low < high or r2 > 1 - 1e-7


def test_double_precision_switched_on_changes_no_bit(key):
    f, g = (np.float32(x) for x in surrogate())
    found = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            given = jnp.asarray(f), jnp.asarray(g)
            scores = [metrics.r2(*given), *metrics.r2_interval(key, *given), metrics.r2(f, g)]
            found.append([np.asarray(x) for x in scores])
    for a, b in zip(*found, strict=True):
        assert a.dtype == b.dtype == np.float32 and np.array_equal(a, b)


def test_a_constant_of_any_size(key):
    for size in (1e-30, 0.1, 1e30):
        c = np.full(64, size)
        assert float(metrics.r2(c, c)) == 1.0
        assert float(metrics.r2(c, c * (1 + 1e-12))) == -np.inf
        assert [float(x) for x in metrics.r2_interval(key, c, 2 * c)] == [-np.inf, -np.inf]
        on_device = jnp.asarray(c, jnp.float32)
        assert float(metrics.r2(on_device, on_device)) == 1.0
        assert float(metrics.r2(on_device, 2 * on_device)) == -np.inf


def test_device_predictions_of_host_values():
    f, g = surrogate()
    mixed = metrics.r2(f + 1e5, jnp.asarray(g + 1e5, jnp.float32))
    assert float(mixed) == pytest.approx(exact_r2(f, g), abs=1e-2)


@pytest.mark.parametrize("name,r2", [("gaussian", 0.0), ("heavy", 0.5)])
def test_the_interval_covers(name, r2):
    share = bench_coverage.coverage(bench_coverage.DRAWS[name], r2, 64, simulations=100)
    assert 0.88 <= share <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("held_out", [64, 250, 1000])
@pytest.mark.parametrize("r2", [-0.2, 0.0, 0.1, 0.5, 0.95, 0.99])
@pytest.mark.parametrize("name", ["gaussian", "heavy"])
def test_the_interval_covers_what_it_promises(name, r2, held_out):
    share = bench_coverage.coverage(bench_coverage.DRAWS[name], r2, held_out)
    assert 0.91 <= share <= 0.98


def test_sparsity_curve():
    terms = planted_terms(12, 20, 0) | {(): 0.5}
    masks = np.random.default_rng(0).random((300, 12)) < 0.5
    values = evaluate(terms, masks)
    curve = np.asarray(metrics.sparsity_curve(Spectrum.from_dict(terms, 12), masks, values))
    strongest = sorted((s for s in terms if s), key=lambda s: -abs(terms[s]))
    for s in (0, 1, 7, 20):
        kept = {k: terms[k] for k in strongest[:s]} | {(): 0.5}
        error = np.sum((values - evaluate(kept, masks)) ** 2)
        right = 1 - error / np.sum((values - values.mean()) ** 2)
        assert curve[s] == pytest.approx(right, abs=1e-5)
    assert curve[-1] == pytest.approx(1, abs=1e-6) and len(curve) == 33


@pytest.mark.parametrize("scale", SCALES)
def test_sparsity_and_removal_at_any_scale(scale):
    terms = planted_terms(12, 20, 0) | {(): 0.5}
    masks = np.random.default_rng(0).random((300, 12)) < 0.5
    spectrum = Spectrum.from_dict({k: scale * v for k, v in terms.items()}, 12)
    small = {k: v for k, v in terms.items() if k != max(terms, key=len)}
    one = metrics.sparsity_curve(Spectrum.from_dict(small, 12), masks, evaluate(terms, masks))
    less = Spectrum.from_dict({k: scale * v for k, v in small.items()}, 12)
    curve = metrics.sparsity_curve(less, masks, scale * evaluate(terms, masks))
    np.testing.assert_allclose(curve, one, atol=1e-5)

    f = lambda masks: evaluate(terms, masks)  # noqa: E731
    expected, chosen = metrics.removal_curve(f, Spectrum.from_dict(terms, 12), 3)
    ours, same = metrics.removal_curve(lambda masks: scale * f(masks), spectrum, 3)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert [x.members for x in same] == [x.members for x in chosen]


def test_removal_where_the_full_mask_is_worth_nothing():
    spectrum = Spectrum.from_dict({(): 1.0, (0,): 1.0}, 3)
    curve, _ = metrics.removal_curve(lambda masks: 0.0 * masks[:, 0], spectrum, 2)
    assert not curve.any()
    curve, _ = metrics.removal_curve(lambda masks: 1e-20 * (~masks[:, 0]), spectrum, 2)
    assert curve == pytest.approx([1e12, 1e12])


def test_removal_curve():
    terms = {(): 3.0, (0,): -1.0, (2, 3): 0.5, (4,): -0.25}
    asked = []

    def f(masks):
        asked.append(np.array(masks))
        return evaluate(terms, masks)

    spectrum = Spectrum.from_dict(terms, 5)
    for limit in (None, 10.0):
        curve, chosen = metrics.removal_curve(f, spectrum, 7, time_limit=limit)
        assert len(curve) == len(chosen) == 5  # no more than n
        full = 3 + 1 + 0.5 + 0.25
        assert curve[:2] == pytest.approx([2 / full, 3 / full])
        assert chosen[0].members == (0,)
        masks = asked.pop()
        assert masks[-1].all() and (~masks[:-1]).sum(axis=1).tolist() == [1, 2, 3, 4, 5]
    curve, chosen = metrics.removal_curve(f, spectrum, 2, mode="keep")
    assert chosen[0].members == (0,) and asked[-1][0].tolist() == [True] + [False] * 4
    assert curve[0] == pytest.approx(abs(full - (3 + 1 + 0.5 - 0.25)) / full)


def test_recovery():
    mobius = {(): 9.0, (0, 1): 4.0, (2,): -3.0, (3, 4): 2.0, (5,): 1.0}
    fourier = {}
    for big, value in mobius.items():
        for size in range(len(big) + 1):
            for small in itertools.combinations(big, size):
                fourier[small] = fourier.get(small, 0) + (-1) ** size * value / 2 ** len(big)
    spectrum = Spectrum.from_dict(fourier, 6)
    marked = {0, 2, 3, 4}
    for k, right in [(1, 0.5), (2, 0.75), (3, 2.5 / 3), (4, 2.5 / 4), (8, 2.5 / 8)]:
        assert metrics.recovery_at_k(spectrum, marked, k) == pytest.approx(right)
    with pytest.raises(ValueError, match="k must be at least 1"):
        metrics.recovery_at_k(spectrum, marked, 0)
    for wrong in ({0, 6}, {-1}):
        with pytest.raises(ValueError, match="annotated must be positions from 0 to 5"):
            metrics.recovery_at_k(spectrum, wrong, 1)


def test_recovery_is_the_definition():
    """Möbius coefficients by inclusion and exclusion over all masks below each set."""
    n, k = 6, 7
    terms = planted_terms(n, 60, 3)  # so many that no two strengths are equal
    strength = {}
    for size in range(1, n + 1):
        for members in itertools.combinations(range(n), size):
            masks = np.zeros((2**size, n), bool)
            for row, chosen in zip(masks, itertools.product([0, 1], repeat=size), strict=True):
                row[list(members)] = chosen
            signs = (-1.0) ** (size - masks.sum(axis=1))
            strength[members] = abs(float(signs @ evaluate(terms, masks)))
    top = sorted(strength, key=lambda s: -strength[s])[:k]
    assert strength[top[-1]] > 1.001 * sorted(strength.values())[-k - 1]
    for marked in ({0}, {1, 4}, set(range(n)), set()):
        right = np.mean([len(marked & set(s)) / len(s) for s in top])
        found = metrics.recovery_at_k(Spectrum.from_dict(terms, n), marked, k)
        assert found == pytest.approx(right)


def test_removal_is_the_definition_on_any_surrogate():
    """The quotient is f's, the choice the surrogate's: the r inputs that move it most."""
    n = 7
    terms, other = planted_terms(n, 15, 4), planted_terms(n, 15, 5)
    curve, chosen = metrics.removal_curve(
        lambda masks: evaluate(other, masks), Spectrum.from_dict(terms, n), 4, time_limit=20.0
    )
    ones = np.ones((1, n), bool)
    for r in range(1, 5):
        best = 0.0
        for members in itertools.combinations(range(n), r):
            mask = ones.copy()
            mask[0, list(members)] = False
            change = abs((evaluate(terms, ones) - evaluate(terms, mask))[0])
            best = max(best, float(change))
            if members == chosen[r - 1].members:
                own, full = change, evaluate(other, ones)[0]
                quotient = abs(full - evaluate(other, mask)[0]) / abs(full)
        assert own == pytest.approx(best, rel=1e-4)
        assert curve[r - 1] == pytest.approx(quotient, rel=1e-5)
